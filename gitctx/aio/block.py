"""`async with` over a sync `with`: entered and left by worker threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from gitctx.aio.calls import Calls, LaneName

T = TypeVar("T")


class _Entered(NamedTuple, Generic[T]):
    """A block that was entered, and what it gave."""

    manager: AbstractContextManager[T]
    value: T


class Block(Generic[T]):
    """For `async with`. Cancelled while it is entered, it is left again before the cancellation goes on; its end is
    always seen through.
    """

    def __init__(
        self,
        calls: Calls,
        lane: LaneName,
        operation: str,
        make: Callable[[], AbstractContextManager[T]],
        *,
        idle: bool,
    ) -> None:
        self._calls = calls
        self._lane = lane
        self._operation = operation
        self._make = make
        self._idle = idle
        self._manager: AbstractContextManager[T] | None = None

    async def __aenter__(self) -> T:
        entered = self._enter() if self._idle else await self._enter_in_thread()
        self._manager = entered.manager
        return entered.value

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._manager is not None
        leave = self._manager.__exit__
        return await self._calls.write("writes", self._operation, lambda: leave(kind, error, trace), withdraws=False)

    def _enter(self) -> _Entered[T]:
        manager = self._make()
        return _Entered(manager, manager.__enter__())

    async def _enter_in_thread(self) -> _Entered[T]:
        return await self._calls.write(
            self._lane, self._operation, self._enter, undo=lambda entered: entered.manager.__exit__(None, None, None)
        )
