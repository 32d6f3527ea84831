"""One writer, one key a write: what an acknowledged, versioned, attributed update costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.workload import Update, entries, updates
from benchmarks.writers import OpenWriter, TidiesBeside, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.dulwich_git import DulwichWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.plain_git import GitPythonWriter, PlumbingWriter, Pygit2Writer
from benchmarks.writers.servers import notes, servers
from benchmarks.writers.sqlite import SqliteWriter
from benchmarks.writers.syncs import SyncsAlone

NAME = "one-writer"

DURABLE = "gitctx durable"
UNMERGED = "gitctx durable, unmerged"
RELAXED = "gitctx relaxed"
SYNCED = "pygit2, fsync on"
UNSYNCED = "pygit2, no fsync"
PLUMBING = "git plumbing loop"
JSON_FILE = "JSON file, lock, snapshots"
GITPYTHON = "GitPython index commit"
DULWICH = "dulwich, blob and two trees"
SYNCS = "the syncs alone"

DURABLY: Mapping[str, OpenWriter] = {
    DURABLE: ContextWriter.durable,
    UNMERGED: ContextWriter.unmerged,
    SYNCS: SyncsAlone,
    SYNCED: Pygit2Writer.synced,
    JSON_FILE: JsonFileWriter,
    "SQLite WAL, FULL": SqliteWriter.full,
}
RELAXEDLY: Mapping[str, OpenWriter] = {
    RELAXED: ContextWriter.relaxed,
    UNSYNCED: Pygit2Writer.unsynced,
    DULWICH: DulwichWriter,
    PLUMBING: PlumbingWriter,
    GITPYTHON: GitPythonWriter,
    "SQLite WAL, NORMAL": SqliteWriter.normal,
}


SLOW: Mapping[str, int] = {PLUMBING: 4, GITPYTHON: 8, DULWICH: 2}
"""These make so many times fewer writes in a round: theirs are long enough to be timed."""


class _Size(NamedTuple):
    rounds: int
    writes: int
    entries: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=21, writes=40, entries=1000),
    "quick": _Size(rounds=5, writes=20, entries=1000),
    "tiny": _Size(rounds=1, writes=2, entries=20),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure all contenders, each on a store of its own with the same entries."""
    size = _SIZES[scale]
    filled = entries(size.entries)
    keys = list(filled)[: max(10, size.entries // 10)]
    writers: dict[str, Writer] = {}
    turns: dict[str, Callable[[], float]] = {}
    for number, (name, open_writer) in enumerate({**DURABLY, **servers(), **RELAXEDLY}.items()):
        place = folder / str(number)
        place.mkdir()
        writers[name] = open_writer(place)
        writers[name].fill(filled)
        line = updates(keys)
        writers[name].write(next(line))
        turns[name] = _turn(writers[name], line, _per_round(name, size))
    samples = interleave(turns, rounds=size.rounds)
    for name, writer in writers.items():
        done, wanted = writer.versions(), 1 + size.rounds * _per_round(name, size)
        if done != wanted:
            raise AssertionError(f"{name} holds {done} versions after {wanted} writes")
        writer.close()
    rows = {name: Row(name, found) for name, found in samples.items()}
    durable, relaxed = rows[DURABLE], rows[RELAXED]
    return Section(
        name=NAME,
        title="One writer",
        what=f"acknowledged updates of one key each, in a store of {size.entries} entries, history kept",
        unit="writes/s",
        rows=list(rows.values()),
        reference=DURABLE,
        checks=[
            Check("durable / pygit2 with fsync", durable.ratio_to(rows[SYNCED]), at_least=1.5, aim=2.5),
            Check("durable / git plumbing loop", durable.ratio_to(rows[PLUMBING]), at_least=5),
            Check("durable / JSON file", durable.ratio_to(rows[JSON_FILE]), at_least=2, aim=10),
            Check("durable, packs not merged / pygit2 with fsync", rows[UNMERGED].ratio_to(rows[SYNCED])),
            Check("durable / the syncs alone", durable.ratio_to(rows[SYNCS]), at_least=1 / 1.5),
            Check("relaxed / pygit2 without fsync", relaxed.ratio_to(rows[UNSYNCED]), at_least=1.3, aim=2),
            Check("relaxed / git plumbing loop", relaxed.ratio_to(rows[PLUMBING]), at_least=12, aim=20),
        ],
        notes=[
            "synced before they return: gitctx durable, pygit2 with fsync, SQLite FULL, Redis, etcd; the JSON text",
            "unmerged: the merging of small packs is put off; in the other rows it ends within the time that is taken",
            "the git loop, GitPython and dulwich have their defaults: no object is synced",
            "the syncs alone: the files of one pack per write and of one ref, nothing computed",
            *notes(),
        ],
    )


def _per_round(name: str, size: _Size) -> int:
    return max(1, size.writes // SLOW.get(name, 1))


def _turn(writer: Writer, line: Iterator[Update], count: int) -> Callable[[], float]:
    def turn() -> float:
        work = list(islice(line, count))

        def write_all() -> None:
            for update in work:
                writer.write(update)
            if isinstance(writer, TidiesBeside):
                writer.finish()

        return count / seconds(write_all)

    return turn
