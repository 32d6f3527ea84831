"""A writer that lives long: its memory, descriptors and packs must stop growing."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.measure import Check, Row, Scale, Section
from benchmarks.workload import entries, updates
from benchmarks.writers import OpenWriter
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.sqlite import SqliteWriter

NAME = "memory"

RELAXED = "gitctx relaxed"
CONTENDERS: Mapping[str, OpenWriter] = {RELAXED: ContextWriter.relaxed, "SQLite NORMAL": SqliteWriter.normal}
SAMPLES = 100
_PATIENCE_S = 600.0


class _Size(NamedTuple):
    writes: int
    limit_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(writes=100_000, limit_s=100.0),
    "quick": _Size(writes=5_000, limit_s=10.0),
    "tiny": _Size(writes=20, limit_s=10.0),
}


class _Sample(NamedTuple):
    writes: int
    resident_mb: float
    descriptors: int
    packs: int


def run(folder: Path, scale: Scale) -> Section:
    """Measure each contender in a process of its own, all at the same time: nothing is timed here."""
    size = _SIZES[scale]
    spawning = multiprocessing.get_context("spawn")
    lives: dict[str, Connection] = {}
    for number, (name, open_writer) in enumerate(CONTENDERS.items()):
        place = folder / str(number)
        place.mkdir()
        lives[name], theirs = spawning.Pipe()
        spawning.Process(target=_live, args=(open_writer, place, size, theirs), daemon=True).start()
        theirs.close()
    rows: list[Row] = []
    notes: list[str] = []
    checks: list[Check] = []
    for name, connection in lives.items():
        if not connection.poll(_PATIENCE_S):
            raise AssertionError(f"{name} is still writing")
        samples: Sequence[_Sample] = connection.recv()
        before, *later = samples
        done = later[-1].writes
        rows.append(Row(f"{name}, before the first write", (before.resident_mb,), {"descriptors": before.descriptors}))
        rows.append(Row(f"{name}, {size.writes:,} writes", tuple(each.resident_mb for each in later), _details(later)))
        if done < size.writes:
            notes.append(f"{name} was stopped after {done:,} writes: {size.limit_s:g} s were over")
        if name == RELAXED:
            checks = _checks([each.resident_mb for each in later])
    return Section(
        name=NAME,
        title="A writer that lives long",
        what="resident memory of a process while it makes one write after the other",
        unit="MB",
        rows=rows,
        reference=f"{RELAXED}, before the first write",
        checks=checks,
        notes=["descriptors and packs: the most there were", *notes],
    )


def _details(samples: Sequence[_Sample]) -> Mapping[str, float]:
    return {
        "writes": samples[-1].writes,
        "descriptors": max(each.descriptors for each in samples),
        "packs": max(each.packs for each in samples),
    }


def _checks(resident_mb: Sequence[float]) -> list[Check]:
    tenth = max(1, len(resident_mb) // 10)
    second, last = resident_mb[tenth : 2 * tenth], resident_mb[-tenth:]
    return [
        Check("most resident memory of a relaxed writer, MB", max(resident_mb), at_most=150, aim=80),
        Check(
            "last tenth of its memory / second tenth",
            statistics.median(last) / statistics.median(second),
            at_most=1.1,
        ),
    ]


def _live(open_writer: OpenWriter, place: Path, size: _Size, connection: Connection) -> None:
    """Write, and look at this very process now and then."""
    process = psutil.Process()
    writer = open_writer(place)
    filled = entries(1000)
    writer.fill(filled)
    line = updates(list(filled))
    started = time.monotonic()
    samples: list[_Sample] = []
    for done in range(size.writes + 1):
        if done % max(1, size.writes // SAMPLES) == 0:
            packs = len(list(place.glob("store.git/objects/pack/*.pack")))
            samples.append(_Sample(done, process.memory_info().rss / 2**20, process.num_fds(), packs))
            if time.monotonic() - started > size.limit_s:
                break
        writer.write(next(line))
    connection.send(samples)
    writer.close()
