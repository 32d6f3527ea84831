"""Async iterators over sync ones, a chunk per hop into a worker thread."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Generic, NamedTuple, Protocol, TypeVar

from gitctx.aio.calls import Calls, LaneName
from gitctx.store.withdrawal import Withdrawal

T = TypeVar("T")

_MOST = 256
_LONGEST_S = 0.01
"""A chunk ends with so many items, or with the first that comes after so long."""


class Chunk(NamedTuple, Generic[T]):
    """What one pull gave: items, whether that was all, and what went wrong after them."""

    items: tuple[T, ...]
    ended: bool = False
    error: Exception | None = None


class Source(Protocol[T]):
    """Where chunks come from. Worker threads call it, one at a time; it knows nothing of who waits for them."""

    def take(self) -> Chunk[T]:
        """What comes quickly, at least one item if there is one more."""

    def close(self) -> None:
        """No more is wanted."""


class IteratorSource(Generic[T]):
    """Chunks of an iterator, which is made when the first is asked for."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make
        self._iterator: Iterator[T] | None = None

    def take(self) -> Chunk[T]:
        """See `Source.take`."""
        items: list[T] = []
        until = time.monotonic() + _LONGEST_S
        try:
            if self._iterator is None:
                self._iterator = self._make()
            for item in self._iterator:
                items.append(item)
                if len(items) >= _MOST or time.monotonic() > until:
                    return Chunk(tuple(items))
        except Exception as error:  # noqa: BLE001 (the caller gets it, after the items before it)
            return Chunk(tuple(items), True, error)
        return Chunk(tuple(items), True)

    def close(self) -> None:
        """See `Source.close`."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


class Pulls(AsyncIterator[T]):
    """What a source gives, for `async for`. It begins with the first item that is asked for.

    A pull that is cancelled loses nothing: it goes on, and whoever asks next gets what it brought. `aclose` (or
    `contextlib.aclosing`) ends it early.
    """

    def __init__(self, calls: Calls, lane: LaneName, source: Source[T]) -> None:
        self._calls = calls
        self._lane = lane
        self._source = source
        self._ready: deque[T] = deque()
        self._pull: tuple[Future[Chunk[T]], Withdrawal] | None = None
        self._error: Exception | None = None
        self._ended = False

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            self._raise_error()
            if self._ended:
                raise StopAsyncIteration
            await self._wait(self._source.take)
        return self._ready.popleft()

    async def aclose(self) -> None:
        """End it. A pull that waits for something to happen is woken, and waited for."""
        self._ended = True
        if self._pull is not None:
            self._pull[1].withdraw()
            await asyncio.wait((asyncio.wrap_future(self._pull[0]),))
        self._pull = self._error = None
        self._ready.clear()
        await self._calls.read("reads", self._source.close)

    def __del__(self) -> None:
        pull = getattr(self, "_pull", None)
        if pull is not None:
            pull[1].withdraw()

    async def _wait(self, take: Callable[[], Chunk[T]]) -> None:
        """Until the pull that is under way has brought something; if there is none, it is begun with `take`."""
        if self._pull is None:
            self._pull = self._calls.begin(self._lane, take)
        pull = self._pull
        await asyncio.wait((asyncio.wrap_future(pull[0]),))
        if self._pull is pull:  # of several who waited for it, one takes it
            self._pull = None
            self._accept(pull[0].result())

    def _accept(self, chunk: Chunk[T]) -> None:
        self._ready.extend(chunk.items)
        self._ended = self._ended or chunk.ended
        self._error = chunk.error

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
