"""Several processes on one store: how much goes through in all, and whether each gets its share."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section, interleave, percentile
from benchmarks.workload import entries, updates
from benchmarks.writers import OpenWriter, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.sqlite import SqliteWriter

NAME = "contention"

CONTENDERS: Mapping[str, OpenWriter] = {"gitctx durable": ContextWriter.durable, "SQLite FULL": SqliteWriter.full}
FAIR_SHARE = 0.5
_PATIENCE_S = 120.0


class _Size(NamedTuple):
    rounds: int
    window_s: float
    processes: tuple[int, ...]


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=3, window_s=3.0, processes=(1, 4, 8, 16)),
    "quick": _Size(rounds=1, window_s=0.8, processes=(1, 4, 16)),
    "tiny": _Size(rounds=1, window_s=0.1, processes=(2,)),
}


class _Window(NamedTuple):
    """What one run of several processes gave: writes of each, and the latency of every write in seconds."""

    counts: list[int]
    latencies: list[float]
    elapsed_s: float

    @property
    def rate(self) -> float:
        return sum(self.counts) / self.elapsed_s

    @property
    def acknowledged(self) -> int:
        """All writes, with the one of each process that warmed it up."""
        return sum(self.counts) + len(self.counts)

    @property
    def share(self) -> float:
        """The slowest process's writes over the mean."""
        return min(self.counts) / (sum(self.counts) / len(self.counts))


def run(folder: Path, scale: Scale) -> Section:
    """Measure every number of processes on one store per contender, in turns."""
    size = _SIZES[scale]
    windows: dict[str, list[_Window]] = {}
    turns: dict[str, Callable[[], float]] = {}
    writers: dict[str, Writer] = {}
    for number, (name, open_writer) in enumerate(CONTENDERS.items()):
        place = folder / str(number)
        place.mkdir()
        writers[name] = open_writer(place)
        writers[name].fill(entries(200))
        for processes in size.processes:
            label = f"{name}, {_shown(processes)}"
            windows[label] = []
            turns[label] = _turn(open_writer, place, processes, size.window_s, windows[label])
    samples = interleave(turns, rounds=size.rounds)
    for name, writer in writers.items():
        acknowledged = sum(
            window.acknowledged for label in windows if label.startswith(name) for window in windows[label]
        )
        if writer.versions() != acknowledged:
            raise AssertionError(f"{name} holds {writer.versions()} versions after {acknowledged} acknowledged writes")
        writer.close()
    most = size.processes[-1]
    reference, gitctx = f"SQLite FULL, {_shown(most)}", f"gitctx durable, {_shown(most)}"
    rows = [Row(label, samples[label], _details(windows[label])) for label in turns]
    by_name = {row.name: row for row in rows}
    return Section(
        name=NAME,
        title="Several processes on one store",
        what=f"acknowledged writes of all processes together, each to keys of its own, in windows of {size.window_s} s",
        unit="writes/s",
        rows=rows,
        reference=reference,
        checks=[
            Check(
                f"slowest of {most} processes / mean",
                by_name[gitctx].details["slowest_over_mean"],
                at_least=FAIR_SHARE,
            ),
            Check(f"p99 / median latency, {most} processes", _spread(by_name[gitctx])),
        ],
        notes=["every acknowledged write was found in history"],
    )


def _shown(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"


def _spread(row: Row) -> float:
    return row.details["p99_ms"] / row.details["p50_ms"]


def _details(windows: list[_Window]) -> dict[str, float]:
    """Over all rounds: the worst share, and percentiles of all latencies."""
    latencies = [latency for window in windows for latency in window.latencies]
    return {
        "slowest_over_mean": min(window.share for window in windows),
        "p50_ms": percentile(latencies, 0.50) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "max_ms": max(latencies) * 1000,
    }


def _turn(
    open_writer: OpenWriter, place: Path, processes: int, window_s: float, into: list[_Window]
) -> Callable[[], float]:
    def turn() -> float:
        window = _measure(open_writer, place, processes, window_s)
        into.append(window)
        return window.rate

    return turn


def _measure(open_writer: OpenWriter, place: Path, processes: int, window_s: float) -> _Window:
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(processes)
    results: Queue[tuple[list[float], float, float]] = spawning.Queue()
    workers = [
        spawning.Process(target=_work, args=(open_writer, place, number, window_s, barrier, results), daemon=True)
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=_PATIENCE_S) for _ in workers]
    for worker in workers:
        worker.join(_PATIENCE_S)
    started = min(start for _, start, _ in found)
    ended = max(end for _, _, end in found)
    latencies = [latency for mine, _, _ in found for latency in mine]
    return _Window([len(mine) for mine, _, _ in found], latencies, ended - started)


def _work(
    open_writer: OpenWriter,
    place: Path,
    number: int,
    window_s: float,
    barrier: Barrier,
    results: Queue[tuple[list[float], float, float]],
) -> None:
    """One process: write until the window is over, starting together with the others."""
    writer = open_writer(place)
    keys = [f"agent-{number:02}/status-{part}" for part in range(10)]
    line = updates(keys, actor=f"coder-{number}", seed=time.time_ns())
    writer.write(next(line))
    latencies: list[float] = []
    barrier.wait(_PATIENCE_S)
    started = now = time.monotonic()
    while now - started < window_s:
        update = next(line)
        before = time.monotonic()
        writer.write(update)
        now = time.monotonic()
        latencies.append(now - before)
    results.put((latencies, started, now))
    writer.close()
