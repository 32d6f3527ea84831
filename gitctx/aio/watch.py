"""Watching, for asyncio: each pull waits in a worker thread until something happened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gitctx.aio.calls import Calls
from gitctx.aio.pulls import Chunk, Pulls
from gitctx.errors import InvalidInput
from gitctx.store.withdrawal import woken_by
from gitctx.values import WatchedChange

if TYPE_CHECKING:
    from types import TracebackType

    from gitctx.sync.watch import Watch
    from gitctx.values import Revision


class _WatchSource:
    """The watch below, made by the first call. `reached` is up to where it had told everything after the last pull."""

    def __init__(self, make: Callable[[], Watch]) -> None:
        self._make = make
        self.watch: Watch | None = None
        self.reached: Revision | None = None
        self.anew = False
        """Whether the next pull begins anew."""

    def begin(self) -> Chunk[WatchedChange]:
        """Only make it."""
        return self._told(lambda watch: ())

    def take(self) -> Chunk[WatchedChange]:
        """Wait for the next revision that changed something; that is all if the watch's time is up."""
        return self._told(_next_of_iteration, ends=True)

    def next_revision(self, timeout_s: float | None) -> Chunk[WatchedChange]:
        """Wait for the next revision, so long at most."""
        return self._told(lambda watch: watch.next_revision(timeout_s))

    def close(self) -> None:
        """No more is wanted."""
        if self.watch is not None:
            self.watch.close()

    def _told(self, ask: Callable[[Watch], tuple[WatchedChange, ...]], *, ends: bool = False) -> Chunk[WatchedChange]:
        try:
            watch = self.watch
            if watch is None:
                watch = self.watch = self._make()
            if self.anew:
                self.anew = False
                watch.begin_anew()
            with woken_by(watch.close):
                changes = ask(watch)
            self.reached = watch.revision
        except Exception as error:  # noqa: BLE001 (the caller gets it; the call may be repeated)
            return Chunk((), False, error)
        return Chunk(changes, ended=watch.closed or (ends and not changes))


def _next_of_iteration(watch: Watch) -> tuple[WatchedChange, ...]:
    change = next(watch, None)
    if change is None:
        return ()
    return (change,) if change.last_of_revision else (change, *watch.next_revision(0.0))


class AsyncWatch(Pulls[WatchedChange]):
    """`Watch` for asyncio: for `async for`, best within `async with`, which waits until it has begun.

    Without that it begins soon after the call. A wait that is cancelled loses no change: whoever asks next gets it.
    """

    def __init__(self, calls: Calls, make: Callable[[], Watch]) -> None:
        self._changes = _WatchSource(make)
        super().__init__(calls, "waits", self._changes)
        self._revision: Revision | None = None
        self._reached: Revision | None = None
        self._pull = calls.begin("waits", self._changes.begin)

    async def __aenter__(self) -> AsyncWatch:
        while self._reached is None:
            await self._wait(self._changes.begin)
            self._raise_error()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __anext__(self) -> WatchedChange:
        return self._handed_out(await super().__anext__())

    @property
    def revision(self) -> Revision:
        """Up to here everything was handed out: where another watch may go on. Raises InvalidInput before it begun."""
        if self._revision is None:
            raise InvalidInput(
                "this watch hasn't begun yet", hint="use it with `async with`, or ask for a change first"
            )
        return self._revision

    @property
    def paused(self) -> bool:
        """Whether the store was paused at the last look."""
        return self._changes.watch is not None and self._changes.watch.paused

    @property
    def closed(self) -> bool:
        """Whether the watch was closed."""
        return self._ended or (self._changes.watch is not None and self._changes.watch.closed)

    async def close(self) -> None:
        """End the watch: whoever waits in it is woken and told nothing more."""
        await self.aclose()

    async def begin_anew(self) -> None:
        """See `Watch.begin_anew`. What a wait that was cancelled has brought by now is still told before."""
        self._ready.clear()
        self._changes.anew = True

    async def next(self, timeout_s: float | None = None) -> WatchedChange | None:
        """See `Watch.next`."""
        if not await self._is_there(timeout_s):
            return None
        return self._handed_out(self._ready.popleft())

    async def next_revision(self, timeout_s: float | None = None) -> tuple[WatchedChange, ...]:
        """See `Watch.next_revision`."""
        if not await self._is_there(timeout_s):
            return ()
        changes = [self._ready.popleft()]
        while self._ready and self._ready[0].revision == changes[0].revision:
            changes.append(self._ready.popleft())
        self._handed_out(changes[-1])
        return tuple(changes)

    async def _is_there(self, timeout_s: float | None) -> bool:
        """Wait for a change, so long at most, if none is there."""
        own = partial(self._changes.next_revision, timeout_s)
        while not self._ready:
            self._raise_error()
            if self._ended:
                return False
            ours = self._pull is None
            await self._wait(own)
            if ours and not self._ready and self._error is None:
                return False
        return True

    def _accept(self, chunk: Chunk[WatchedChange]) -> None:
        super()._accept(chunk)
        self._reached = self._changes.reached
        if not self._ready:
            self._revision = self._reached

    def _handed_out(self, change: WatchedChange) -> WatchedChange:
        if not self._ready:
            self._revision = self._reached
        return change
