"""Many tasks at once: their writes share publications, and each cancelled one is what it was said to be."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

import gitctx
from gitctx import failpoints
from gitctx.aio import AsyncContext, cancelled_write
from gitctx.config import Config
from gitctx.store import Store
from gitctx_testkit.audit import assert_written_once, ids_in_history, reflog_lines
from gitctx_testkit.processes import Talk, children

PATIENT = Config(durability="relaxed", queue_patience_s=30.0)


class Fates(NamedTuple):
    """Ids of writes, by what was said of them."""

    acknowledged: list[str]
    made: list[str]
    not_made: list[str]


@pytest.mark.parametrize("grouping", ["together"], indirect=True)
def test_writes_of_many_tasks_share_a_move_of_the_branch_and_have_a_commit_each(store: Store) -> None:
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        failpoints.deactivate()
        held.set()
        go_on.wait(60)

    async def run() -> set[str]:
        async with gitctx.open_async(store.path, actor="planner", config=PATIENT) as ctx:
            failpoints.activate("queue.after_acquire", hold)
            writes = [asyncio.create_task(ctx.put("first", "1"))]
            while not held.is_set():
                await asyncio.sleep(0.001)
            writes += [asyncio.create_task(ctx.put(f"k/{number}", "1")) for number in range(31)]
            writer = ctx.store.context._get_writer()
            while len(writer._waiting) < len(writes):
                await asyncio.sleep(0.001)
            go_on.set()
            return {written.revision for written in await asyncio.gather(*writes)}

    before = len(reflog_lines(store.path))
    try:
        assert len(asyncio.run(run())) == 32
    finally:
        failpoints.deactivate()
        go_on.set()
    assert len(reflog_lines(store.path)) - before == 1


async def one_write(ctx: AsyncContext, rng: random.Random, name: str, number: int) -> None:
    """Some write that is known by its id."""
    id = f"{name}-{number}"
    match rng.randrange(5):
        case 0:
            await ctx.update("count", lambda value: (value or 0) + 1, id=id)
        case 1:
            async with ctx.batch(id=id) as batch:
                batch.put(f"{name}/a", f"{number}")
                batch.append("shared", f"{name} {number}")
        case 2:
            await ctx.append("shared", f"{name} {number}", id=id)
        case _:
            await ctx.put(f"{name}/{rng.randrange(3)}", f"{number}", id=id)


async def writer(ctx: AsyncContext, name: str, count: int, fates: Fates) -> None:
    """Writes one after the other, of which most are given too little time."""
    rng = random.Random(name)
    for number in range(count):
        id = f"{name}-{number}"
        try:
            async with asyncio.timeout(rng.choice([0.0, 0.0005, 0.002, 0.005, 0.02, 0.1, 60.0])):
                await one_write(ctx, rng, name, number)
            fates.acknowledged.append(id)
        except TimeoutError as error:
            found = cancelled_write(error)
            if found is None:  # the time was up before the call
                fates.not_made.append(id)
                continue
            assert found.fate in {"made", "not_made"}, found
            (fates.made if found.fate == "made" else fates.not_made).append(id)


def program(path: Path, name: str, *, tasks: int, count: int) -> Callable[[Talk], Fates]:
    """A program whose tasks write and are cancelled."""

    async def run() -> Fates:
        fates = Fates([], [], [])
        async with gitctx.open_async(path, actor=name, config=PATIENT) as ctx:
            await asyncio.gather(*[writer(ctx, f"{name}-{task}", count, fates) for task in range(tasks)])
        return fates

    return lambda talk: asyncio.run(run())


@pytest.mark.parametrize(
    ("programs", "tasks", "count"), [(3, 12, 12), pytest.param(4, 40, 150, marks=pytest.mark.soak)]
)
def test_every_cancelled_write_is_made_or_not_made_as_it_was_said(
    store: Store, programs: int, tasks: int, count: int
) -> None:
    """Beside other programs, too, which make the writes of those who wait."""
    with children(*[program(store.path, f"p{one}", tasks=tasks, count=count) for one in range(programs)]) as running:
        fates = [child.result() for child in running]
    acknowledged, made, not_made = ([id for each in fates for id in getattr(each, field)] for field in Fates._fields)
    assert len(acknowledged) + len(made) + len(not_made) == programs * tasks * count
    assert acknowledged
    assert made, "no write was cancelled after it had begun: this tests nothing"
    assert not_made
    assert_written_once(store.path, acknowledged)
    assert_written_once(store.path, made)
    counts = Counter(ids_in_history(store.path))
    assert [id for id in not_made if counts[id]] == []


@pytest.mark.parametrize("grouping", ["together"], indirect=True)
def test_a_cancelled_write_that_another_program_has_begun_is_not_said_to_be_withdrawn(store: Store) -> None:
    """That program could still publish it, so its writer has to see to it that the answer stays true."""

    def server(talk: Talk) -> None:
        def pause() -> None:
            talk.say("there")
            talk.hear()

        failpoints.activate("queue.after_acquire", pause)
        failpoints.activate("write.before_swap", pause)
        gitctx.open(store.path, actor="server", config=PATIENT).put("server", "x", id="server")

    def cancelled(talk: Talk) -> str:
        async def run() -> str:
            brisk = replace(PATIENT, queue_patience_s=0.3)
            async with gitctx.open_async(store.path, actor="w", config=brisk) as ctx:
                failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
                task = asyncio.create_task(ctx.put("k", "1", id="w"))
                await asyncio.to_thread(talk.hear)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError as error:
                    found = cancelled_write(error)
                    return found.fate if found is not None else ""
            return "acknowledged"

        return asyncio.run(run())

    with children(server) as (standing,):
        assert standing.talk.hear() == "there"
        with children(cancelled) as (child,):
            assert child.talk.hear() == "asked"
            standing.talk.say("go on")
            assert standing.talk.hear() == "there", "it has built the other's write and is about to publish it"
            child.talk.say("cancel")
            assert child.result() == "made"
        assert_written_once(store.path, ["w"])
        standing.talk.say("go on")
        assert standing.talk.hear() == "there", "it lost the race and tries again"
        standing.talk.say("go on")
        standing.result()
    assert_written_once(store.path, ["server", "w"])
