"""Several processes on one store: how much goes through in all, and whether each gets its share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.hands import OwnKeys
from benchmarks.measure import Check, Row, Scale, Section, interleave
from benchmarks.together import Window, details, processes
from benchmarks.workload import entries
from benchmarks.writers import OpenWriter, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.servers import notes, servers
from benchmarks.writers.sqlite import SqliteWriter

NAME = "contention"

DURABLE, FULL = "gitctx durable", "SQLite FULL"
FAIR_SHARE = 0.5


class _Size(NamedTuple):
    rounds: int
    window_s: float
    processes: tuple[int, ...]


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=4, window_s=1.0, processes=(1, 4, 8, 16)),
    "quick": _Size(rounds=1, window_s=0.5, processes=(1, 8, 16)),
    "tiny": _Size(rounds=1, window_s=0.05, processes=(2,)),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure every number of processes on one store per contender, in turns."""
    size = _SIZES[scale]
    contenders: Mapping[str, OpenWriter] = {
        DURABLE: ContextWriter.durable,
        FULL: SqliteWriter.full,
        "JSON file": JsonFileWriter,
        **servers(),
    }
    windows: dict[str, dict[int, list[Window]]] = {}
    turns: dict[str, Callable[[], float]] = {}
    writers: dict[str, Writer] = {}
    for number, (name, open_writer) in enumerate(contenders.items()):
        place = folder / str(number)
        place.mkdir()
        writers[name] = open_writer(place)
        writers[name].fill(entries(200))
        windows[name] = {many: [] for many in size.processes}
        for many in size.processes:
            turns[_label(name, many)] = _turn(open_writer, place, many, size.window_s, windows[name][many])
    samples = interleave(turns, rounds=size.rounds)
    for name, writer in writers.items():
        acknowledged = sum(window.versions for found in windows[name].values() for window in found)
        if writer.versions() != acknowledged:
            raise AssertionError(f"{name} holds {writer.versions()} versions after {acknowledged} acknowledged writes")
        writer.close()
    rows = {
        _label(name, many): Row(_label(name, many), samples[_label(name, many)], details(found))
        for name, by_number in windows.items()
        for many, found in by_number.items()
    }
    eight = 8 if 8 in size.processes else size.processes[-1]
    return Section(
        name=NAME,
        title="Several processes on one store",
        what=f"acknowledged writes of all processes together, each to keys of its own, in windows of {size.window_s} s",
        unit="writes/s",
        rows=list(rows.values()),
        reference=_label(FULL, eight),
        checks=_checks(rows, eight, size.processes[-1]),
        notes=["every acknowledged write was found in history", *notes()],
    )


def _checks(rows: Mapping[str, Row], eight: int, most: int) -> Sequence[Check]:
    ours, many = rows[_label(DURABLE, eight)], rows[_label(DURABLE, most)]
    return [
        Check(
            f"durable / SQLite FULL, {eight} processes",
            ours.ratio_to(rows[_label(FULL, eight)]),
            at_least=0.5,
            aim=1.0,
        ),
        Check(f"durable / JSON file, {eight} processes", ours.ratio_to(rows[_label("JSON file", eight)])),
        Check(f"slowest of {eight} processes / mean", ours.details["slowest_over_mean"], at_least=FAIR_SHARE),
        Check(f"slowest of {most} processes / mean", many.details["slowest_over_mean"], at_least=FAIR_SHARE),
        Check(
            f"p99 / median latency, {eight} processes",
            ours.details["p99_ms"] / ours.details["p50_ms"],
            at_most=20,
            aim=10,
        ),
        Check(f"p99 / median latency, {most} processes", many.details["p99_ms"] / many.details["p50_ms"]),
    ]


def _label(name: str, many: int) -> str:
    return f"{name}, {many} process{'es' if many > 1 else ''}"


def _turn(open_writer: OpenWriter, place: Path, many: int, window_s: float, into: list[Window]) -> Callable[[], float]:
    seeds = count(100 * many)

    def turn() -> float:
        into.append(processes(partial(OwnKeys, open_writer), place, many, window_s, seed=next(seeds)))
        return into[-1].rate

    return turn
