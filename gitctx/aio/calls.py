"""Calls from asyncio into worker threads, and what a cancellation means for each kind of them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import weakref
from asyncio import CancelledError
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

from gitctx.aio.cancelling import CancelledWrite, after_failure, note
from gitctx.aio.lanes import Lane
from gitctx.errors import InvalidInput, Withdrawn
from gitctx.store.withdrawal import Withdrawal, set_current

R = TypeVar("R")

LaneName = Literal["reads", "writes", "waits"]

LIMITS: dict[LaneName, int] = {"reads": 8, "writes": 64, "waits": 256}
"""Threads per lane and context. `writes`: as many as are published together. `waits`: whatever may take long, or waits
for somebody else; each of these has a thread while it lasts."""


_all: weakref.WeakSet[Calls] = weakref.WeakSet()


class Calls:
    """The worker threads of one context, and what is under way in them. Bound to no event loop."""

    def __init__(self) -> None:
        self._lanes = {name: Lane(name, limit) for name, limit in LIMITS.items()}
        self._begin_anew()
        self._closed = False
        _all.add(self)

    def _begin_anew(self) -> None:
        """Nothing is under way. Also in a forked child: what its parent waits for is done there."""
        self._under_way: dict[Future[Any], tuple[LaneName, Withdrawal]] = {}

    def begin(self, lane: LaneName, work: Callable[[], R]) -> tuple[Future[R], Withdrawal]:
        """Have a thread do work in the caller's context (of contextvars). Raises InvalidInput once it was closed."""
        if self._closed:
            raise InvalidInput("this context was closed", hint="open another one with gitctx.open_async")
        withdrawal = Withdrawal()
        context = contextvars.copy_context()
        context.run(set_current, withdrawal)
        future = self._lanes[lane].submit(partial(context.run, work))
        self._under_way[future] = lane, withdrawal
        future.add_done_callback(self._has_ended)
        return future, withdrawal

    def _has_ended(self, future: Future[Any]) -> None:
        self._under_way.pop(future, None)

    async def read(self, lane: LaneName, work: Callable[[], R]) -> R:
        """Wait for something that changes nothing. Cancelled, it is left to itself at once."""
        future, withdrawal = self.begin(lane, work)
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait((waiting,))
        except CancelledError:
            future.cancel()
            withdrawal.withdraw()
            _expect_nothing(waiting)
            raise
        return waiting.result()

    async def write(
        self,
        lane: LaneName,
        operation: str,
        work: Callable[[], R],
        *,
        withdraws: bool = True,
        whole: bool = True,
        undo: Callable[[R], object] | None = None,
    ) -> R:
        """Wait for something that changes the store.

        Cancelled, it is withdrawn if it hasn't begun (and `withdraws`); else its end is waited for, and `undo` called
        with what it returned. Then the CancelledError goes on, with a note of what became of it. Of what isn't one
        `whole` write an error doesn't tell how far it came.
        """
        future, withdrawal = self.begin(lane, work)
        waiting = asyncio.wrap_future(future)
        try:
            await asyncio.wait((waiting,))
        except CancelledError as error:
            if withdraws and future.cancel():
                note(error, CancelledWrite(operation, "not_made"))
                raise
            if withdraws:
                withdrawal.withdraw()
            await _see_through(waiting)
            fate = await self._fate(operation, waiting, undo)
            note(error, fate if whole or fate.error is None else replace(fate, fate="unknown"))
            raise
        return waiting.result()

    async def _fate(
        self, operation: str, ended: asyncio.Future[R], undo: Callable[[R], object] | None
    ) -> CancelledWrite:
        failed = ended.exception()
        if isinstance(failed, Withdrawn):
            return CancelledWrite(operation, "not_made")
        if failed is not None:
            return after_failure(operation, failed)
        made = CancelledWrite(operation, "made", ended.result())
        if undo is None:
            return made
        undoing = asyncio.wrap_future(self._lanes["waits"].submit(partial(undo, ended.result())))
        await _see_through(undoing)
        undone = undoing.exception()
        return replace(made, fate="undone") if undone is None else replace(made, error=undone)

    async def close(self) -> None:
        """Wait for what is under way. What only waits for somebody else is woken and withdrawn."""
        self._closed = True
        while under_way := self._under_way.copy():
            for lane, withdrawal in under_way.values():
                if lane == "waits":
                    withdrawal.withdraw()
            await asyncio.wait([asyncio.wrap_future(future) for future in under_way])
        for each in self._lanes.values():
            each.close()


async def _see_through(waiting: asyncio.Future[Any]) -> None:
    """Wait for the end, whoever wants to cancel that."""
    while not waiting.done():
        with suppress(CancelledError):
            await asyncio.wait((waiting,))


def _expect_nothing(waiting: asyncio.Future[Any]) -> None:
    """Nobody will ask for the outcome, and asyncio shouldn't complain of that."""
    waiting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def _forget_in_child() -> None:
    for calls in list(_all):
        calls._begin_anew()


os.register_at_fork(after_in_child=_forget_in_child)
