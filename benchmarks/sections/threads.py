"""Eight threads of one process on one store: writes that wait at the same time should share the waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.hands import OwnKeys
from benchmarks.measure import Check, Row, Scale, Section, interleave
from benchmarks.together import Hire, Window, details, tasks, threads
from benchmarks.workload import entries
from benchmarks.writers import OpenWriter, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.servers import notes, servers
from benchmarks.writers.sqlite import SqliteWriter

NAME = "threads"

MANY = 8
DURABLE, RELAXED = "gitctx durable", "gitctx relaxed"
FULL = "SQLite FULL"
JSON_FILE = "JSON file"


class _Size(NamedTuple):
    rounds: int
    window_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=5, window_s=0.8),
    "quick": _Size(rounds=2, window_s=0.3),
    "tiny": _Size(rounds=1, window_s=0.02),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure threads and asyncio tasks; gitctx's share one open store, the others have a connection each."""
    size = _SIZES[scale]
    contenders: Mapping[str, OpenWriter] = {
        DURABLE: ContextWriter.durable,
        RELAXED: ContextWriter.relaxed,
        FULL: SqliteWriter.full,
        JSON_FILE: JsonFileWriter,
        **servers(),
    }
    writers: dict[str, Writer] = {}
    windows: dict[str, list[Window]] = {}
    turns: dict[str, Callable[[], float]] = {}
    seeds = count()
    for number, (name, open_writer) in enumerate(contenders.items()):
        place = folder / str(number)
        place.mkdir()
        writer = writers[name] = open_writer(place)
        writer.fill(entries(200))
        shared = isinstance(writer, ContextWriter)
        hire: Hire = partial(OwnKeys, _always(writer) if shared else open_writer)
        ways: dict[str, tuple[Callable[..., Window], int]] = {f"{MANY} threads": (threads, MANY)}
        if name in (DURABLE, FULL):
            ways["1 thread"] = (threads, 1)
        if name == DURABLE:
            ways[f"{MANY} asyncio tasks"] = (tasks, MANY)
        for way, (work, many) in ways.items():
            label = f"{name}, {way}"
            windows[label] = []
            turns[label] = _turn(partial(work, hire, place, many, size.window_s), windows[label], seeds)
    samples = interleave(turns, rounds=size.rounds)
    for name, writer in writers.items():
        acknowledged = sum(
            window.versions for label in windows if label.startswith(f"{name}, ") for window in windows[label]
        )
        if writer.versions() != acknowledged:
            raise AssertionError(f"{name} holds {writer.versions()} versions after {acknowledged} acknowledged writes")
        writer.close()
    rows = {label: Row(label, samples[label], details(windows[label])) for label in turns}
    eight = rows[f"{DURABLE}, {MANY} threads"]
    return Section(
        name=NAME,
        title="Threads of one process",
        what=f"acknowledged writes of all threads together, each to keys of its own, in windows of {size.window_s} s",
        unit="writes/s",
        rows=list(rows.values()),
        reference=f"{FULL}, {MANY} threads",
        checks=[
            Check(
                f"durable / SQLite FULL, {MANY} threads",
                eight.ratio_to(rows[f"{FULL}, {MANY} threads"]),
                at_least=1.0,
                aim=3.0,
            ),
            Check(
                f"durable / JSON file, {MANY} threads",
                eight.ratio_to(rows[f"{JSON_FILE}, {MANY} threads"]),
                at_least=2.0,
            ),
            Check(f"durable, {MANY} threads / 1 thread", eight.ratio_to(rows[f"{DURABLE}, 1 thread"])),
        ],
        notes=[
            "gitctx's threads share one open store; the others have a connection each",
            "asyncio's own pool has at most 4 threads more than the machine has cores",
            *notes(),
        ],
    )


def _always(writer: Writer) -> OpenWriter:
    return lambda _: writer


def _turn(work: Callable[..., Window], into: list[Window], seeds: Iterator[int]) -> Callable[[], float]:
    def turn() -> float:
        into.append(work(seed=next(seeds)))
        return into[-1].rate

    return turn
