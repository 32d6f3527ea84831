"""Async iterators over sync ones, a chunk per hop into a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from gitctx.aio.calls import Calls, LaneName
from gitctx.store.withdrawal import Withdrawal

T = TypeVar("T")

_MOST = 256
_LONGEST_S = 0.01
"""A chunk ends with so many items, or with the first that comes after so long."""


class _Chunk(NamedTuple, Generic[T]):
    """What one pull gave: items, whether that was all, and what went wrong after them."""

    items: list[T]
    ended: bool
    error: Exception | None


class Pulls(AsyncIterator[T]):
    """What a sync iterator gives, for `async for`. It begins with the first item that is asked for.

    A pull that is cancelled loses nothing: it goes on, and whoever asks next gets what it brought. `aclose` (or
    `contextlib.aclosing`) ends it early; a pull that waits for something to happen is woken then.
    """

    def __init__(self, calls: Calls, lane: LaneName, make: Callable[[], Iterator[T]]) -> None:
        self._calls = calls
        self._lane = lane
        self._make = make
        self._source: Iterator[T] | None = None
        self._ready: deque[T] = deque()
        self._pull: tuple[Future[_Chunk[T]], Withdrawal] | None = None
        self._error: Exception | None = None
        self._ended = False

    def __aiter__(self) -> Pulls[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """End it. Waits for the pull that is under way."""
        self._ended = True
        if self._pull is not None:
            self._pull[1].withdraw()
            await asyncio.wait((asyncio.wrap_future(self._pull[0]),))
        self._pull = self._error = None
        self._ready.clear()
        close = getattr(self._source, "close", None)
        self._source = None
        if close is not None:
            await self._calls.read("reads", close)

    def __del__(self) -> None:
        if self._pull is not None:
            self._pull[1].withdraw()

    async def _wait(self) -> None:
        """Until the pull that is under way has brought something; begin one if none is."""
        if self._pull is None:
            self._pull = self._calls.begin(self._lane, self._take)
        pull = self._pull
        await asyncio.wait((asyncio.wrap_future(pull[0]),))
        if self._pull is pull:  # of several who waited for it, one takes it
            self._pull = None
            chunk = pull[0].result()
            self._ready.extend(chunk.items)
            self._ended = chunk.ended
            self._error = chunk.error

    def _take(self) -> _Chunk[T]:
        """In a worker thread: what comes quickly, at least one item."""
        items: list[T] = []
        until = time.monotonic() + _LONGEST_S
        try:
            if self._source is None:
                self._source = self._make()
            for item in self._source:
                items.append(item)
                if len(items) >= _MOST or time.monotonic() > until:
                    return _Chunk(items, False, None)
        except Exception as error:  # noqa: BLE001 (the caller gets it, after the items before it)
            return _Chunk(items, True, error)
        return _Chunk(items, True, None)
