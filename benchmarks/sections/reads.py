"""Reading: a known key, a folder, and right after somebody else's write."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pygit2

from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.workload import Update, entries
from benchmarks.writers import OpenWorkplace, Workplace
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.plain_git import environment
from benchmarks.writers.sqlite import SqliteWriter

NAME = "reads"

GET, SELECT = "gitctx get", "SQLite select by key"
MOVED, CHANGED = "gitctx get, another wrote in between", "SQLite select, another wrote in between"
LIST, SELECT_FOLDER = "gitctx list of a folder of 50", "SQLite select of a folder of 50"


class _Size(NamedTuple):
    rounds: int
    reads: int
    slow_reads: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=21, reads=1000, slow_reads=20),
    "quick": _Size(rounds=7, reads=500, slow_reads=5),
    "tiny": _Size(rounds=1, reads=5, slow_reads=1),
}

_Read = Callable[[str], object]


def run(folder: Path, scale: Scale) -> Section:
    """Measure reads of random keys out of 1,000, in one process that has everything open."""
    size = _SIZES[scale]
    filled = entries(1000)
    stores = {kind: _made(folder, kind, filled) for kind in _KINDS}
    store, table, file = stores["gitctx"], stores["sqlite"], stores["json"]
    assert isinstance(store, ContextWriter)
    assert isinstance(table, SqliteWriter)
    context, connection = store.context(), table.connection
    repo = pygit2.Repository(str(store.store.path))

    def parse(key: str) -> bytes:
        found = repo.revparse_single(f"context:{key}")
        assert isinstance(found, pygit2.Blob)
        return found.data

    def walk(key: str) -> bytes:
        node: pygit2.Object = repo.references["refs/heads/context"].peel(pygit2.Tree)
        for name in key.split("/"):
            assert isinstance(node, pygit2.Tree)
            node = node[name]
        assert isinstance(node, pygit2.Blob)
        return node.data

    def show(key: str) -> bytes:
        command = ["git", "--git-dir", str(store.store.path), "show", f"context:{key}"]
        return subprocess.run(command, env=environment(), capture_output=True, check=True).stdout

    by_key: dict[str, tuple[_Read, int]] = {
        GET: (store.read, size.reads),
        SELECT: (table.read, size.reads),
        "JSON file, loaded": (file.read, size.slow_reads),
        "pygit2 revparse_single": (parse, size.reads),
        "pygit2 walk of the tree": (walk, size.reads),
        "git show": (show, size.slow_reads),
    }
    for name, (read, _) in by_key.items():
        for key in list(filled)[:20]:
            if read(key) != filled[key]:
                raise AssertionError(f"{name} read another value of {key}")

    def select_folder(key: str) -> Sequence[object]:
        first, end = _folder(key) + "/", _folder(key) + "0"
        statement = "select key, length(value), revision from entries where key >= ? and key < ? order by key"
        return connection.execute(statement, (first, end)).fetchall()

    rng = random.Random(3)
    keys = [rng.choice(list(filled)) for _ in range(size.reads)]
    turns = {name: _turn(read, keys[:number]) for name, (read, number) in by_key.items()}
    turns[MOVED] = _turn_after(_opened(folder, "gitctx"), context.get, keys[: size.slow_reads])
    turns[CHANGED] = _turn_after(_opened(folder, "sqlite"), table.read, keys[: size.slow_reads])
    turns[LIST] = _turn(lambda key: list(context.list(_folder(key))), keys[: size.slow_reads])
    turns[SELECT_FOLDER] = _turn(select_folder, keys[: size.slow_reads])
    samples = interleave(turns, rounds=size.rounds)
    for workplace in stores.values():
        workplace.close()
    rows = {name: Row(name, found) for name, found in samples.items()}

    def speed(ours: str, theirs: str) -> float:
        return rows[theirs].ratio_to(rows[ours])

    return Section(
        name=NAME,
        title="Reads",
        what=f"time of one read of a random key in a store of {len(filled):,} entries, in one process",
        unit="µs",
        rows=list(rows.values()),
        reference=GET,
        checks=[
            Check("speed of get / SQLite's select", speed(GET, SELECT), at_least=0.3, aim=1.0),
            Check("speed of get / SQLite's select, another wrote in between", speed(MOVED, CHANGED)),
            Check("speed of list / SQLite's select of a folder", speed(LIST, SELECT_FOLDER)),
            Check("speed of get / loading the JSON file", speed(GET, "JSON file, loaded")),
        ],
        notes=["git show starts a process for each read"],
    )


_KINDS: Mapping[str, OpenWorkplace] = {
    "gitctx": ContextWriter.durable,
    "sqlite": SqliteWriter.full,
    "json": JsonFileWriter,
}


def _made(folder: Path, kind: str, filled: Mapping[str, bytes]) -> Workplace:
    (folder / kind).mkdir()
    workplace = _opened(folder, kind)
    workplace.fill(filled)
    return workplace


def _opened(folder: Path, kind: str) -> Workplace:
    return _KINDS[kind](folder / kind)


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _turn(read: _Read, keys: Sequence[str]) -> Callable[[], float]:
    def read_all() -> None:
        for key in keys:
            read(key)

    return lambda: seconds(read_all) / len(keys) * 1e6


def _turn_after(other: Workplace, read: _Read, keys: Sequence[str]) -> Callable[[], float]:
    """Reads right after a write through another handle, which isn't timed."""
    numbers = count()

    def turn() -> float:
        taken_s = 0.0
        for key in keys:
            other.write(Update("elsewhere/other.md", b"%d" % next(numbers), "coder-1", "meanwhile"))
            taken_s += seconds(lambda key=key: read(key))  # type: ignore[misc]
        return taken_s / len(keys) * 1e6

    return turn
