"""Eight agents at work for a year: the store keeps itself small, and every write is in history or counted by a base.

Time goes by faster than outside: for each second on the wall it is hours or days later in the store.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import psutil
import pytest

from benchmarks.hands import NOTES, Agent
from benchmarks.workload import Append, Read, Together, Write, agent_steps
from gitctx.config import Config, RetryPolicy, utc_now
from gitctx.context import Context, upkeep
from gitctx.errors import EntryNotFound
from gitctx.store import Store
from gitctx.values import WriteId
from gitctx_testkit.audit import ids_in_history
from gitctx_testkit.git import git
from gitctx_testkit.maintained import everything_is_due, maintenance_ended
from gitctx_testkit.processes import Child, Talk, children
from gitctx_testkit.rotating import counted, revisions

PROCESSES = 8
_STEPS_A_DAY = 400
"""So many steps an agent does before it begins another log."""


@dataclass(frozen=True)
class Life:
    """How many writes in all, how fast time goes by, what the settings keep, and whether maintenance is due at once."""

    writes: int
    days_per_s: float
    keep_writes: int
    keep_days: float
    grace_s: float
    samples: int = 50
    eager: bool = False


SHORT = Life(writes=3_200, days_per_s=1, keep_writes=200, keep_days=0, grace_s=3600, samples=10, eager=True)
LONG = Life(writes=1_000_000, days_per_s=0.4, keep_writes=10_000, keep_days=10, grace_s=14 * 86_400)
"""About a year at a thousand writes a second; everything but `keep_days` is as it comes (90 would be a quarter)."""


@dataclass(frozen=True)
class Clock:
    """The time in the store."""

    start: datetime
    started_s: float
    days_per_s: float

    def __call__(self) -> datetime:
        return self.start + timedelta(days=(time.time() - self.started_s) * self.days_per_s)


@dataclass(frozen=True)
class Sample:
    """A process after a part of its writes: the 99th percentile of their times in seconds, bytes of memory, files."""

    p99_s: float
    memory: int
    descriptors: int


def work(path: Path, ids: Path, who: int, life: Life, clock: Clock) -> Callable[[Talk], list[Sample]]:
    """Write as an agent does; the id of each acknowledged write becomes a line of the file `ids`."""

    def run(_: Talk) -> list[Sample]:
        config = Config(
            durability="durable" if who % 2 else "relaxed", clock=clock, retry=RetryPolicy(deadline_s=120.0)
        )
        ctx = Context(Store.open(path, config), actor=f"coder-{who}")
        share = life.writes // PROCESSES
        chunk = share // life.samples
        process, samples, latencies = psutil.Process(), list[Sample](), list[float]()
        with ExitStack() as held, ids.open("w") as acknowledged:
            if life.eager:
                held.enter_context(everything_is_due())
                upkeep.LOOK_EVERY_S = 0.2
            for done, (id, took) in enumerate(islice(writes(ctx, who), share), 1):
                acknowledged.write(f"{id}\n")
                latencies.append(took)
                if done % chunk == 0:
                    p99 = statistics.quantiles(latencies, n=100)[-1]
                    samples.append(Sample(p99, memory_of(process), process.num_fds()))
                    latencies.clear()
            maintenance_ended(600)
        return samples

    return run


def writes(ctx: Context, who: int) -> Iterator[tuple[WriteId | None, float]]:
    """The writes of an agent, with how long each took. It begins another log each day and removes the last but one."""
    day = 0
    while True:
        for step in islice(agent_steps(list(NOTES), number=who, seed=day), _STEPS_A_DAY):
            started = time.monotonic()
            match step:
                case Read(key):
                    ctx.get(key)
                    continue
                case Write(update):
                    written = ctx.put(update.key, update.value, message=update.message)
                case Append(update):
                    written = ctx.append(update.key, update.value, message=update.message)
                case Together(updates):
                    with ctx.batch(updates[0].message) as batch:
                        for update in updates:
                            batch.put(update.key, update.value)
                    assert batch.written is not None
                    written = batch.written
            yield written.id, time.monotonic() - started
        for key in [f"log/coder-{who}-{day - 1}.md", *([f"log/all-{day - 2}.md"] if who == 0 else [])]:
            started = time.monotonic()
            try:
                written = ctx.remove(key)
            except EntryNotFound:
                continue
            yield written.id, time.monotonic() - started
        day += 1


def memory_of(process: psutil.Process) -> int:
    """Resident bytes without those of mapped files: packs are mapped, and the system takes these pages back."""
    told = process.memory_info()
    return int(told.rss - getattr(told, "shared", 0))


def watch_size(path: Path, running: Sequence[Child[list[Sample]]]) -> list[int]:
    """The bytes of all files of a store, looked at again and again until all processes are done."""
    sizes = []
    while not all(child.talk.heard() for child in running):
        sizes.append(size_of(path))
        time.sleep(0.2)
    return sizes


def size_of(path: Path) -> int:
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return size


def worth_keeping(ctx: Context) -> int:
    """Bytes of the live entries, and of the commits and values of all history that is kept, each once."""
    path = ctx.store.path
    objects = git(path, "rev-list", "--objects", "--no-object-names", "--all")
    told = git(path, "cat-file", "--batch-check=%(objecttype) %(objectsize)", stdin=objects)
    kept = sum(int(size) for kind, size in map(str.split, told.splitlines()) if kind != "tree")
    return kept + sum(info.size for info in ctx.list())


@pytest.mark.alone
@pytest.mark.parametrize("life", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
def test_a_store_that_agents_write_to_for_a_year_stays_small_and_accounts_for_every_write(
    store: Store, tmp_path: Path, life: Life
) -> None:
    live_for(life, store, tmp_path)


def live_for(life: Life, store: Store, notes: Path) -> None:
    clock = Clock(utc_now(), time.time(), life.days_per_s)
    ctx = Context(Store.open(store.path, replace(store.config, clock=clock)), actor="planner")
    ctx.configure("rotation.keep_writes", life.keep_writes)
    ctx.configure("rotation.keep_days", life.keep_days)
    ctx.configure("maintenance.grace_s", life.grace_s)
    with ctx.batch() as batch:
        for key, value in Agent.before().items():
            batch.put(key, value)
    before = len(revisions(store.path))

    logs = [notes / f"ids-{who}" for who in range(PROCESSES)]
    with children(*(work(store.path, logs[who], who, life, clock) for who in range(PROCESSES))) as running:
        sizes = watch_size(store.path, running)
        lives = [child.result() for child in running]

    acknowledged = [log.read_text().split() for log in logs]
    assert [len(ids) for ids in acknowledged] == [life.writes // PROCESSES] * PROCESSES
    in_history = ids_in_history(store.path)
    assert max(Counter(in_history).values()) == 1
    squashed = counted(store.path)
    assert squashed >= life.keep_writes, "there was no rotation"
    assert len(revisions(store.path)) - 1 + squashed == before + sum(map(len, acknowledged))
    position = {id: number for number, id in enumerate(reversed(in_history))}
    for ids in acknowledged:
        kept = [id for id in ids if id in position]
        assert kept == ids[len(ids) - len(kept) :], "what was squashed is older than what is kept"
        assert [position[id] for id in kept] == sorted(position[id] for id in kept)
    worth = worth_keeping(ctx)
    size = size_of(store.path)
    print(f"{size / 1e6:.1f} MB on disk for {worth / 1e6:.1f} MB, {max(sizes) / 1e6:.1f} MB at most")
    assert size <= 3 * worth
    if not life.eager:
        assert_flat("bytes on disk", sizes, 1.5)
        for each in lives:
            assert_flat("bytes of memory", [sample.memory for sample in each], 1.2)
            assert_flat("open files", [sample.descriptors for sample in each], 1.5)
            assert_flat("99th percentile", [sample.p99_s for sample in each], 3.0)


def assert_flat(what: str, values: Sequence[float], most: float) -> None:
    """The most of the last third isn't much more than the most of the first third, after a tenth to warm up."""
    tenth, third = len(values) // 10, len(values) // 3
    first, last = max(values[tenth : tenth + third]), max(values[-third:])
    print(f"{what}: {first:.6g}, later {last:.6g}")
    assert last <= most * first, f"{what} grew from {first:.6g} to {last:.6g}"
