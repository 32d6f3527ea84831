"""Closing waits for what is under way, wakes what waits for others; and no thread keeps a program from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gitctx
from gitctx.aio.lanes import Lane
from gitctx.errors import InvalidInput, Withdrawn
from gitctx.store import Store
from gitctx_testkit.git import clean_environment
from gitctx_testkit.processes import wait_until


def test_closing_waits_for_writes_under_way(store: Store) -> None:
    async def run() -> None:
        ctx = await gitctx.open_async(store.path, actor="planner")
        writes = [asyncio.create_task(ctx.put(f"k/{number}", "1")) for number in range(100)]
        await asyncio.sleep(0)
        await ctx.close()
        assert {info.key for info in gitctx.open(store.path, actor="reader").list()} == {f"k/{n}" for n in range(100)}
        assert len({written.revision for written in await asyncio.gather(*writes)}) == 100
        await ctx.close()

    asyncio.run(run())


def test_closing_wakes_who_waits_for_a_claim(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            await ctx.claims.claim("work")
            waiting = asyncio.create_task(ctx.claims.claim("work", wait_s=600))
            await asyncio.sleep(0.05)
        with pytest.raises(Withdrawn):
            await waiting

    asyncio.run(run())


def test_a_closed_context_says_so(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            pass
        with pytest.raises(InvalidInput, match="closed"):
            await ctx.put("a", "1")
        with pytest.raises(InvalidInput, match="closed"):
            await anext(ctx.list())

    asyncio.run(run())


ENDS = """
import asyncio, threading, gitctx
async def main():
    ctx = await gitctx.open_async({path!r}, actor="planner")
    await ctx.claims.claim("work")
    waits = asyncio.create_task(ctx.claims.claim("work", wait_s=600))
    watch = ctx.watch()
    watches = asyncio.create_task(anext(watch))
    absent = asyncio.create_task(ctx.wait("nowhere"))
    hangs = asyncio.create_task(ctx._calls.read("reads", threading.Event().wait))
    await asyncio.sleep(0.1)
    print("leaving", flush=True)
asyncio.run(main())
"""


def test_a_program_ends_though_calls_wait_and_hang(store: Store) -> None:
    """Nothing is closed here, a claim is waited for, and one thread never comes back."""
    code = ENDS.format(path=str(store.path))
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_threads_end_when_the_context_was_closed(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            await asyncio.gather(*[ctx.put(f"k/{number}", "1") for number in range(40)])

    def ours() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name in ("gitctx-writes", "gitctx-reads")}

    before = ours()
    asyncio.run(run())
    wait_until(lambda: not ours() - before)


def test_a_lane_has_no_more_threads_than_its_limit_and_does_everything_in_order() -> None:
    lane, go_on = Lane("test", 3), threading.Event()
    running: list[int] = []
    futures = [lane.submit(lambda number=number: (running.append(number), go_on.wait(30))) for number in range(50)]
    wait_until(lambda: len(running) == 3)
    assert sum(thread.name == "gitctx-test" for thread in threading.enumerate()) == 3
    assert futures[30].cancel()
    go_on.set()
    for future in futures[:30] + futures[31:]:
        future.result(30)
    assert sorted(running) == [number for number in range(50) if number != 30]
    lane.close()
    wait_until(lambda: not any(thread.name == "gitctx-test" for thread in threading.enumerate()))


def test_threads_that_have_nothing_to_do_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gitctx.aio.lanes._IDLE_S", 0.01)
    lane = Lane("idle", 4)
    for _ in range(3):
        assert lane.submit(lambda: 1).result(30) == 1
        wait_until(lambda: not any(thread.name == "gitctx-idle" for thread in threading.enumerate()))
