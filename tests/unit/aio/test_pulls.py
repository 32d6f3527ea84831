"""Async iterators: nothing is lost, doubled or out of order, however a pull ends, and hops are few."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from gitctx.aio import AsyncContext
from gitctx.aio.calls import Calls
from gitctx.aio.pulls import IteratorSource, Pulls
from gitctx.context import Context


def run(test: Callable[[Calls], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        calls = Calls()
        await test(calls)
        await calls.close()

    asyncio.run(inside())


def test_every_item_comes_once_in_order_and_an_error_at_its_place() -> None:
    def source() -> Iterator[int]:
        yield from range(1000)
        raise LookupError

    async def test(calls: Calls) -> None:
        pulls = Pulls(calls, "reads", IteratorSource(source))
        got = [await anext(pulls) for _ in range(1000)]
        with pytest.raises(LookupError):
            await anext(pulls)
        assert got == list(range(1000))
        assert [item async for item in pulls] == []

    run(test)


def test_a_cancelled_pull_loses_no_item() -> None:
    release, began = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        threading.Event().wait(0.02)  # so long that the first item is a chunk of its own
        yield 1
        began.set()
        assert release.wait(30)
        yield from (2, 3)

    async def test(calls: Calls) -> None:
        pulls = Pulls(calls, "waits", IteratorSource(source))
        assert await anext(pulls) == 1
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(pulls), 0.01)
        release.set()
        assert [item async for item in pulls] == [2, 3]

    run(test)


def test_tasks_that_share_an_iterator_share_its_items() -> None:
    async def test(calls: Calls) -> None:
        pulls: Pulls[int] = Pulls(calls, "reads", IteratorSource(lambda: iter(range(2000))))

        async def some() -> list[int]:
            return [item async for item in pulls]

        taken = await asyncio.gather(*[some() for _ in range(8)])
        assert sorted(item for each in taken for item in each) == list(range(2000))

    run(test)


def test_an_iterator_can_be_closed_before_its_end() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10_000_000)
        finally:
            closed.set()

    async def test(calls: Calls) -> None:
        pulls = Pulls(calls, "reads", IteratorSource(source))
        assert await anext(pulls) == 0
        await pulls.aclose()
        assert closed.is_set()
        assert [item async for item in pulls] == []

    run(test)


def test_an_error_in_the_arguments_comes_with_the_first_item(ctx: Context) -> None:
    async def inside() -> None:
        async with AsyncContext(ctx) as face:
            writes = face.log("no//key")
            with pytest.raises(ValueError, match="no//key"):
                await anext(writes)

    asyncio.run(inside())


def test_reading_many_entries_takes_few_hops(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with ctx.batch() as batch:
        for number in range(600):
            batch.put(f"many/{number:03}", "1")
    hops: list[str] = []
    begin = Calls.begin

    def counting(calls: Calls, lane: Any, work: Any) -> Any:
        hops.append(lane)
        return begin(calls, lane, work)

    async def inside() -> None:
        async with AsyncContext(ctx) as face:
            monkeypatch.setattr(Calls, "begin", counting)
            assert [info.key async for info in face.list()] == [f"many/{number:03}" for number in range(600)]

    asyncio.run(inside())
    assert len(hops) < 200
