"""Reading the value of a known key."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.workload import Update, entries
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.plain_git import environment
from benchmarks.writers.sqlite import SqliteWriter

NAME = "reads"

GET = "gitctx get"
SELECT = "SQLite select by key"


class _Size(NamedTuple):
    rounds: int
    reads: int
    shows: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=21, reads=1000, shows=20),
    "quick": _Size(rounds=9, reads=500, shows=5),
    "tiny": _Size(rounds=1, reads=5, shows=1),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure reads of random keys out of 1,000; gitctx also right after a write of another process's kind."""
    size = _SIZES[scale]
    filled = entries(1000)
    store, other, table = ContextWriter.durable(folder), ContextWriter.relaxed(folder), SqliteWriter.full(folder)
    store.fill(filled)
    table.fill(filled)
    context = store.context()
    rng = random.Random(3)
    keys = [rng.choice(list(filled)) for _ in range(size.reads)]
    numbers = iter(range(1_000_000))

    def get(key: str) -> None:
        context.get(key)

    def select(key: str) -> None:
        table.connection.execute("select value from entries where key = ?", (key,)).fetchone()

    def get_after_write(key: str) -> float:
        number = next(numbers)
        other.write(Update("elsewhere/other.md", b"%d" % number, "coder-1", "meanwhile"))
        return seconds(lambda: context.get(key))

    def show(key: str) -> None:
        command = ["git", "--git-dir", str(store.store.path), "show", f"context:{key}"]
        subprocess.run(command, env=environment(), capture_output=True, check=True)

    turns: dict[str, Callable[[], float]] = {
        GET: lambda: _per_read(get, keys),
        SELECT: lambda: _per_read(select, keys),
        "gitctx get, head moved in between": lambda: sum(map(get_after_write, keys[: size.shows])) / size.shows * 1e6,
        "git show": lambda: _per_read(show, keys[: size.shows]),
    }
    samples = interleave(turns, rounds=size.rounds)
    table.close()
    rows = [Row(name, found) for name, found in samples.items()]
    speed = 1 / rows[0].ratio_to(rows[1])
    return Section(
        name=NAME,
        title="Reads",
        what=f"time of one read of a random key in a store of {len(filled):,} entries, in one process",
        unit="µs",
        rows=rows,
        reference=GET,
        checks=[Check("speed of get / speed of SQLite's select", speed)],
        notes=["git show starts a process for each read"],
    )


def _per_read(read: Callable[[str], None], keys: list[str]) -> float:
    def read_all() -> None:
        for key in keys:
            read(key)

    return seconds(read_all) / len(keys) * 1e6
