"""Watching, waiting and exchange with asyncio: nothing is missed by a cancellation, and nothing waits on unasked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import gitctx
from gitctx.aio import AsyncContext, cancelled_write
from gitctx.context import Context
from gitctx.errors import EntryNotFound, InvalidInput, RevisionNotFound, WaitTimeout
from gitctx.store import Store
from gitctx_testkit.git import git


def run(store: Store, test: Callable[[AsyncContext], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            await asyncio.wait_for(test(ctx), 60)

    asyncio.run(inside())


def waiting_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "gitctx-waits"}


def test_changes_come_in_their_order_from_when_the_watch_began(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        await ctx.put("plan/before", "1")
        async with ctx.watch("plan/") as watch:
            for number in range(20):
                await ctx.put(f"plan/{number}", "1")
                await ctx.put(f"other/{number}", "1")
            keys = [(await anext(watch)).key for _ in range(20)]
        assert keys == [f"plan/{number}" for number in range(20)]
        assert watch.closed
        assert [change.key async for change in ctx.changes("plan/")] == ["plan/before", *keys]

    run(store, test)


def test_a_watch_whose_waits_are_cancelled_again_and_again_misses_nothing(store: Store) -> None:
    count = 300

    def write() -> None:
        ctx = Context(Store.open(store.path), actor="other")
        for number in range(count):
            ctx.put(f"k/{number}", "1")

    async def test(ctx: AsyncContext) -> None:
        writer = threading.Thread(target=write)
        seen: list[str] = []
        async with ctx.watch("k/") as watch:
            writer.start()
            while len(seen) < count:
                try:
                    async with asyncio.timeout(0.002):
                        async for change in watch:
                            seen.append(change.key)  # noqa: PERF401 (what came before the cancellation counts)
                except TimeoutError:
                    continue
        writer.join()
        assert seen == [f"k/{number}" for number in range(count)]

    run(store, test)


def test_a_watch_can_be_gone_on_from_where_it_was_left(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        start = await ctx.head
        async with ctx.watch() as watch:
            assert watch.revision == start
            first = await ctx.put("a", "1")
            async with ctx.batch() as batch:
                for key in "bcd":
                    batch.put(key, "2")
            assert (await anext(watch)).key == "a"
            assert watch.revision == first.revision
            assert (await anext(watch)).key == "b"
            assert watch.revision == first.revision  # the batch isn't told to its end
        async with ctx.watch(since=watch.revision) as again:
            assert [change.key for change in await again.next_revision()] == ["b", "c", "d"]
            assert batch.written is not None
            assert again.revision == batch.written.revision

    run(store, test)


def test_a_watch_ends_when_its_time_is_up_and_next_says_that_nothing_came(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        assert [change async for change in ctx.watch(timeout_s=0.05)] == []
        async with ctx.watch() as watch:
            assert await watch.next(0.01) is None
            assert await watch.next_revision(0.01) == ()
            await ctx.put("a", "1")
            change = await watch.next(30)
            assert change is not None
            assert (change.key, change.kind) == ("a", "added")

    run(store, test)


def test_closing_a_watch_or_its_context_wakes_who_waits_in_it(store: Store) -> None:
    async def wait(watch: Any) -> list[Any]:
        return [change async for change in watch]

    async def test(ctx: AsyncContext) -> None:
        watch = ctx.watch()
        waiting = asyncio.create_task(wait(watch))
        await asyncio.sleep(0.05)
        await watch.close()
        assert await waiting == []
        async with gitctx.open_async(store.path, actor="other") as other:
            waiting = asyncio.create_task(wait(other.watch()))
            await asyncio.sleep(0.05)
        assert await waiting == []

    run(store, test)


def test_a_watch_that_nobody_has_any_more_frees_its_thread(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitctx.aio.lanes._IDLE_S", 0.01)

    before = waiting_threads()

    async def test(ctx: AsyncContext) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(ctx.watch()), 0.02)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ctx.wait("nowhere"), 0.02)
        while waiting_threads() - before:
            await asyncio.sleep(0.01)

    run(store, test)


def test_a_watch_from_a_revision_that_is_not_there_says_so(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        with pytest.raises(RevisionNotFound):
            await ctx.watch(since="no-such-mark").__aenter__()
        with pytest.raises(RevisionNotFound):
            await anext(ctx.watch(since="0" * 40))
        with pytest.raises(InvalidInput):
            _ = ctx.watch().revision

    run(store, test)


def test_a_watch_that_lost_its_place_goes_on_anew(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        await ctx.put("a", "1")
        await ctx.put("b", "1")
        async with ctx.watch(since="0" * 40) as watch:
            with pytest.raises(RevisionNotFound):
                await anext(watch)
            await watch.begin_anew()
            assert {(await anext(watch)).key, (await anext(watch)).key} == {"a", "b"}
            await ctx.put("c", "1")
            assert (await anext(watch)).key == "c"

    run(store, test)


def test_waiting_for_a_key(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        waiting = asyncio.create_task(ctx.wait("a"))
        await ctx.put("a", "1")
        entry = await waiting
        assert entry is not None
        assert entry.text() == "1"
        with pytest.raises(WaitTimeout):
            await ctx.wait("a", until="absent", timeout_s=0.01)
        gone = asyncio.create_task(ctx.wait("a", until="absent"))
        await ctx.remove("a")
        assert await gone is None
        with pytest.raises(EntryNotFound):
            await ctx.get("a")

    run(store, test)


def test_a_session_is_kept_in_step_in_the_background(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        seen: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        async with ctx.sessions.start(actor="coder-1", on_signals=False) as session:
            assert session.sync.state == "off"
            await session.sync.start(lambda change: loop.call_soon_threadsafe(seen.put_nowait, change.key))
            await session.context.put("mine", "1")
            await ctx.put("theirs", "1")
            assert await seen.get() == "theirs"
            assert session.context.session == session.id
            await session.context.close()
            assert session.sync.state == "running"
        assert session.sync.state == "off"

    run(store, test)


def test_a_callback_is_told_until_its_context_is_closed(store: Store) -> None:
    async def refused(change: Any) -> None:
        raise AssertionError

    async def test(ctx: AsyncContext) -> None:
        seen: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        async with gitctx.open_async(store.path, actor="other") as other:
            live = await other.on_change(lambda change: loop.call_soon_threadsafe(seen.put_nowait, change.key), "plan")
            await ctx.put("other/a", "1")
            await ctx.put("plan/a", "1")
            assert await seen.get() == "plan/a"
            assert (live.state, live.last_error) == ("running", None)
            with pytest.raises(InvalidInput, match="coroutine function"):
                await other.on_change(refused)
        assert live.state == "off"

    run(store, test)


def test_exchange_and_conflicts(store: Store, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")

    async def test(ctx: AsyncContext) -> None:
        await ctx.put("a", "1")
        await ctx.sync.add_remote("origin", str(tmp_path / "remote.git"))
        assert [remote.name for remote in await ctx.sync.remotes()] == ["origin"]
        assert (await ctx.sync.exchange()).changed
        assert await ctx.sync.holds_store("origin")
        assert await ctx.sync.conflicts.list() == []
        claim = await ctx.sync.claim("work")
        assert (await ctx.claims.get("work")).id == claim.id

    run(store, test)


def test_an_exchange_that_goes_on_is_ended_by_a_cancellation(store: Store, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")

    async def test(ctx: AsyncContext) -> None:
        await ctx.sync.add_remote("origin", str(tmp_path / "remote.git"))
        reports: list[Any] = []
        stop = threading.Event()
        task = asyncio.create_task(
            ctx.sync.keep_exchanging(on_report=lambda name, report: reports.append((name, report)), stop=stop)
        )
        while not reports:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert stop.is_set()
        fate = cancelled_write(caught.value)
        assert fate is not None
        assert fate.fate == "made"
        assert {name for name, _ in reports} == {"origin"}

    run(store, test)


def test_a_remote_claim_that_is_waited_for_can_be_cancelled(store: Store, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")

    async def test(ctx: AsyncContext) -> None:
        await ctx.sync.add_remote("origin", str(tmp_path / "remote.git"))
        await ctx.sync.claim("work")
        async with gitctx.open_async(store.path, actor="other") as other:
            task = asyncio.create_task(other.sync.claim("work", wait_s=600))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await ctx.claims.get("work")).actor == "planner"

    run(store, test)
