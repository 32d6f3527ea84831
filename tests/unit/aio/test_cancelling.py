"""A write that is cancelled is made or not made when its CancelledError arrives, and that says which."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import gitctx
from gitctx import failpoints
from gitctx.aio import AsyncContext, CancelledWrite, cancelled_write
from gitctx.aio.calls import LIMITS
from gitctx.context import Context
from gitctx.errors import ClaimNotFound, EntryNotFound, MergeConflict, PreconditionFailed
from gitctx.store import Store, View
from gitctx_testkit.audit import ids_in_history
from gitctx_testkit.processes import wait_until


@contextmanager
def a_write_that_stands(point: str) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The next write in this program stops at a failpoint: an event that it has, and one that lets it go on."""
    stands, go_on = threading.Event(), threading.Event()

    def stand() -> None:
        failpoints.deactivate()
        stands.set()
        go_on.wait(30)

    failpoints.activate(point, stand)
    try:
        yield stands, go_on
    finally:
        failpoints.deactivate()
        go_on.set()


def run(store: Store, test: Callable[[AsyncContext], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            await test(ctx)

    asyncio.run(inside())


async def until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.001)


async def fate_of(task: asyncio.Future[Any]) -> CancelledWrite:
    """What became of a write whose task was cancelled."""
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    found = cancelled_write(caught.value)
    assert found is not None
    assert str(found) in caught.value.__notes__
    return found


def test_a_write_that_no_thread_has_begun_is_withdrawn(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        with a_write_that_stands("queue.after_acquire") as (stands, go_on):
            first = asyncio.create_task(ctx.put("first", "1"))
            await until(stands)
            others = [asyncio.create_task(ctx.put(f"other/{number}", "1")) for number in range(LIMITS["writes"])]
            await asyncio.sleep(0.01)
            others[-1].cancel()
            fate = await fate_of(others[-1])
            assert not first.done()  # so nothing was waited for
            assert fate == CancelledWrite("put", "not_made")
            go_on.set()
            await asyncio.gather(first, *others[:-1])
        with pytest.raises(EntryNotFound):
            await ctx.get(f"other/{LIMITS['writes'] - 1}")

    run(store, test)


def test_a_write_that_waits_for_its_turn_is_withdrawn_when_that_comes(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        with a_write_that_stands("queue.after_acquire") as (stands, go_on):
            first = asyncio.create_task(ctx.put("first", "1"))
            await until(stands)
            second = asyncio.create_task(ctx.put("second", "2", id="the-second"))
            writer = ctx.store.context._writer
            assert writer is not None
            while len(writer._waiting) < 2:
                await asyncio.sleep(0.001)
            second.cancel()
            await asyncio.sleep(0.01)
            assert not second.done()
            go_on.set()
            assert await fate_of(second) == CancelledWrite("put", "not_made")
            await first
        assert "the-second" not in ids_in_history(store.path)
        assert (await ctx.put("second", "2", id="the-second")).changed  # and can be repeated

    run(store, test)


def test_a_write_that_has_begun_is_seen_through_however_often_it_is_cancelled(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        with a_write_that_stands("write.before_objects") as (stands, go_on):
            task = asyncio.create_task(ctx.put("a", "1", id="the-write"))
            await until(stands)
            for _ in range(5):
                task.cancel()
                await asyncio.sleep(0.001)
            assert not task.done()
            go_on.set()
            fate = await fate_of(task)
        assert fate.fate == "made"
        assert fate.result.revision == await ctx.head
        assert (await ctx.put("a", "1", id="the-write")).revision == fate.result.revision
        assert ids_in_history(store.path).count("the-write") == 1

    run(store, test)


def timeout(write: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    async def inside() -> None:
        async with asyncio.timeout(0.02):
            await write

    return inside()


@pytest.mark.parametrize("limited", [timeout, lambda write: asyncio.wait_for(write, 0.02)], ids=["timeout", "wait_for"])
def test_a_time_limit_raises_timeout_error_and_tells_what_became_of_the_write(store: Store, limited: Any) -> None:
    async def test(ctx: AsyncContext) -> None:
        with a_write_that_stands("write.before_objects") as (stands, go_on):
            task = asyncio.create_task(limited(ctx.put("a", "1")))
            await until(stands)
            await asyncio.sleep(0.05)
            assert not task.done()
            go_on.set()
            with pytest.raises(TimeoutError) as caught:
                await task
        fate = cancelled_write(caught.value)
        assert fate is not None
        assert fate.result.revision == await ctx.head
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(store, test)


def test_the_outer_of_two_time_limits_is_the_one_that_raises(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        with a_write_that_stands("write.before_objects") as (stands, go_on):
            asyncio.get_running_loop().call_later(0.1, go_on.set)
            raised: list[str] = []

            async def inner() -> None:
                try:
                    async with asyncio.timeout(0.01):
                        await ctx.put("a", "1")
                except TimeoutError:
                    raised.append("inner")

            with pytest.raises(TimeoutError) as caught:
                await asyncio.wait_for(inner(), 0.02)
            assert cancelled_write(caught.value) is not None
            assert stands.is_set()
            assert raised == []

    run(store, test)


def test_an_error_beside_the_cancellation_is_told(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def refuse(value: Any) -> Any:
            reached.set()
            go_on.wait(30)
            raise PreconditionFailed("not like this", hint="")

        task = asyncio.create_task(ctx.update("a", refuse))
        await until(reached)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        fate = await fate_of(task)
        assert (fate.fate, type(fate.error)) == ("not_made", PreconditionFailed)
        assert "not like this" in str(fate)

    run(store, test)


def test_a_claim_that_is_waited_for_can_be_cancelled_and_is_not_made_later(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        async with gitctx.open_async(store.path, actor="coder-2") as other:
            await ctx.claims.claim("work")
            task = asyncio.create_task(other.claims.claim("work", wait_s=600))
            await asyncio.sleep(0.05)
            task.cancel()
            assert await fate_of(task) == CancelledWrite("claim", "not_made")
            await ctx.claims.release("work")
        with pytest.raises(ClaimNotFound):
            await ctx.claims.get("work")

    run(store, test)


def test_a_claim_that_was_to_be_held_is_released_if_its_block_is_never_entered(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        async def hold() -> None:
            async with ctx.claims.hold("work"):
                raise AssertionError

        with a_write_that_stands("write.before_objects") as (stands, go_on):
            task = asyncio.create_task(hold())
            await until(stands)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            assert (await fate_of(task)).fate == "undone"
        assert await ctx.claims.list() == []

    run(store, test)


def test_a_session_whose_start_is_cancelled_has_ended(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        with a_write_that_stands("session.after_register") as (stands, go_on):
            task = asyncio.ensure_future(start(ctx))
            await until(stands)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            fate = await fate_of(task)
        assert fate.fate == "undone"
        record = await ctx.sessions.record(fate.result.id)
        assert record.end_reason == "cancelled while it started"

    async def start(ctx: AsyncContext) -> None:
        async with ctx.sessions.start(actor="coder-1", on_signals=False):
            raise AssertionError

    run(store, test)


def test_a_block_that_is_cancelled_is_left_before_the_cancellation_goes_on(store: Store) -> None:
    async def test(ctx: AsyncContext) -> None:
        entered = asyncio.Event()

        async def hold() -> None:
            async with ctx.sessions.start(actor="coder-1", on_signals=False), ctx.claims.hold("work"):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ctx.claims.list() == []
        assert [status.record.end_reason for status in await ctx.sessions.list()] == ["CancelledError"]

    run(store, test)


def test_a_cancelled_read_is_left_at_once_and_is_no_base_of_the_next_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody got to see mustn't hide that somebody else has changed the entry."""
    reached, go_on = threading.Event(), threading.Event()
    entry = View.entry

    def slowly(view: View, key: str) -> Any:
        reached.set()
        go_on.wait(30)
        return entry(view, key)

    async def test(ctx: AsyncContext) -> None:
        await ctx.put("a", "mine")
        Context(store, actor="other").put("a", "theirs")
        monkeypatch.setattr(View, "entry", slowly)
        task = asyncio.create_task(ctx.get("a"))
        await until(reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert cancelled_write(caught.value) is None
        go_on.set()
        wait_until(lambda: not ctx._calls._under_way)
        with pytest.raises(MergeConflict):
            await ctx.put("a", "mine again", strategy="fail")

    run(store, test)


def test_an_exception_that_cancelled_nothing_tells_nothing() -> None:
    assert cancelled_write(TimeoutError()) is None
    loop = ValueError()
    loop.__context__ = KeyError()
    loop.__context__.__context__ = loop
    assert cancelled_write(loop) is None
