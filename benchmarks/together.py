"""Several writers at once, as processes or as threads: they start together and go on until a window of time is over."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from queue import Queue
from typing import NamedTuple, Protocol

from benchmarks.measure import percentile

PATIENCE_S = 120.0
_PRELOADED = [
    *(f"benchmarks.{name}" for name in ("growth", "hands", "watchers")),
    *(f"benchmarks.writers.{name}" for name in ("context", "sqlite", "json_file", "redis_server", "etcd_server")),
    "gitctx.store.writer",
    "gitctx.sync.watch",
]
_WARM_UP = 2
"""Steps of each writer before the window."""


class Barrier(Protocol):
    """Where all wait for all: of threads or of processes."""

    def wait(self, timeout: float | None = None) -> int:
        """Raises BrokenBarrierError when the time is over."""


class Results(Protocol):
    """A queue of threads or of processes."""

    def put(self, item: Effort) -> None:
        """Hand in what one writer did."""


class Effort(NamedTuple):
    """What one writer did: the latency of each step in its window in seconds, from when to when, and how many versions
    and changed keys it left in all.
    """

    latencies: list[float]
    started: float
    ended: float
    versions: int
    keys: int


class Window(NamedTuple):
    """What all writers did in one window."""

    efforts: Sequence[Effort]

    @property
    def rate(self) -> float:
        """Steps per second of all together."""
        elapsed_s = max(each.ended for each in self.efforts) - min(each.started for each in self.efforts)
        return sum(len(each.latencies) for each in self.efforts) / elapsed_s

    @property
    def share(self) -> float:
        """The slowest writer's steps over the mean."""
        counts = [len(each.latencies) for each in self.efforts]
        return min(counts) * len(counts) / sum(counts)

    @property
    def versions(self) -> int:
        """Acknowledged versions, those of the warm-up among them."""
        return sum(each.versions for each in self.efforts)

    @property
    def keys(self) -> int:
        """Acknowledged changes of single keys, those of the warm-up among them."""
        return sum(each.keys for each in self.efforts)


class Hand(Protocol):
    """One writer at work."""

    def step(self) -> int:
        """Do one thing; how many keys it changed: 0 is a read."""

    def close(self) -> None:
        """Let go of everything."""


Hire = Callable[[Path, int, int], Hand]
"""Makes the writer of a folder, a number (0, 1, ...) and a seed. For processes it must be picklable."""


def processes(hire: Hire, place: Path, count: int, window_s: float, *, seed: int) -> Window:
    """A window of so many processes."""
    starting = context()
    barrier, results = starting.Barrier(count), starting.Queue()
    workers = [
        starting.Process(target=_work, args=(hire, place, number, window_s, seed, barrier, results), daemon=True)  # type: ignore[attr-defined]
        for number in range(count)
    ]
    for worker in workers:
        worker.start()
    efforts = [results.get(timeout=PATIENCE_S) for _ in workers]
    for worker in workers:
        worker.join(PATIENCE_S)
    return Window(efforts)


def threads(hire: Hire, place: Path, count: int, window_s: float, *, seed: int) -> Window:
    """A window of so many threads of this process."""
    barrier = threading.Barrier(count)
    results: Queue[Effort] = Queue()
    workers = [
        threading.Thread(target=_work, args=(hire, place, number, window_s, seed, barrier, results), daemon=True)
        for number in range(count)
    ]
    for worker in workers:
        worker.start()
    efforts = [results.get(timeout=PATIENCE_S) for _ in workers]
    for worker in workers:
        worker.join(PATIENCE_S)
    return Window(efforts)


def tasks(hire: Hire, place: Path, count: int, window_s: float, *, seed: int) -> Window:
    """A window of so many asyncio tasks, each step in a thread of asyncio's own pool."""

    async def work(hand: Hand, barrier: asyncio.Barrier) -> Effort:
        changed = [await asyncio.to_thread(hand.step) for _ in range(_WARM_UP)]
        latencies: list[float] = []
        await barrier.wait()
        started = now = time.monotonic()
        while now - started < window_s or not latencies:
            before = time.monotonic()
            changed.append(await asyncio.to_thread(hand.step))
            now = time.monotonic()
            latencies.append(now - before)
        return _effort(latencies, started, now, changed)

    async def work_together() -> list[Effort]:
        barrier = asyncio.Barrier(count)
        hands = [hire(place, number, seed) for number in range(count)]
        return await asyncio.gather(*(work(hand, barrier) for hand in hands))

    return Window(asyncio.run(work_together()))


def details(windows: Sequence[Window]) -> dict[str, float]:
    """Over all windows: the worst share, and percentiles of all latencies."""
    latencies = [latency for window in windows for each in window.efforts for latency in each.latencies]
    return {
        "slowest_over_mean": min(window.share for window in windows),
        "p50_ms": percentile(latencies, 0.50) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "max_ms": max(latencies) * 1000,
    }


def context() -> BaseContext:
    """Processes are forked from a small one that has imported what they need: 16 start in a blink."""
    found = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        found.set_forkserver_preload(_PRELOADED)
    return found


def _work(hire: Hire, place: Path, number: int, window_s: float, seed: int, barrier: Barrier, results: Results) -> None:
    hand = hire(place, number, seed)
    changed = [hand.step() for _ in range(_WARM_UP)]
    latencies: list[float] = []
    barrier.wait(PATIENCE_S)
    started = now = time.monotonic()
    while now - started < window_s or not latencies:
        before = time.monotonic()
        changed.append(hand.step())
        now = time.monotonic()
        latencies.append(now - before)
    results.put(_effort(latencies, started, now, changed))
    hand.close()


def _effort(latencies: list[float], started: float, ended: float, changed: Sequence[int]) -> Effort:
    return Effort(latencies, started, ended, sum(1 for keys in changed if keys), sum(changed))
