"""Sessions, for asyncio."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from gitctx.aio.bridge import Method, Part, reading, writing
from gitctx.aio.calls import Calls
from gitctx.errors import GitctxError
from gitctx.sessions import ends
from gitctx.sessions.session import Session
from gitctx.sessions.sessions import Sessions
from gitctx.values import Recovery, SessionId, SessionRecord

if TYPE_CHECKING:
    from gitctx.aio.context import AsyncContext
    from gitctx.aio.live import AsyncLive
    from gitctx.sync.live import Live

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class AsyncSession(Part[Session]):
    """A session that was started here. With `async with` it ends gracefully with its block."""

    def __init__(self, session: Session, calls: Calls) -> None:
        super().__init__(lambda: session, calls)
        self._session = session

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave = self._session.__exit__
        await self._ended_by(lambda: leave(kind, error, trace))

    async def _ended_by(self, end: Callable[[], R]) -> R:
        try:
            return await self._calls.write("writes", "end", end, withdraws=False)
        finally:
            if not self._session.held:
                ends.expect_no_more(self._session)  # only the main thread can take our signal handlers away

    @property
    def id(self) -> SessionId:
        """The session's id."""
        return self._session.id

    @property
    def record(self) -> SessionRecord:
        """See `Session.record`."""
        return self._session.record

    @property
    def held(self) -> bool:
        """Whether this process holds the lease's lock."""
        return self._session.held

    @property
    def recovery(self) -> Recovery:
        """What was recovered when this session started."""
        return self._session.recovery

    @cached_property
    def context(self) -> AsyncContext:
        """The context in which this session reads and writes. Its threads are those of the context that started it."""
        from gitctx.aio.context import AsyncContext

        return AsyncContext(self._session.context, self._calls, lent=True)

    @cached_property
    def sync(self) -> AsyncLive:
        """See `Session.sync`."""
        from gitctx.aio.live import AsyncLive

        return AsyncLive(lambda: cast("Live", self._session.sync), self._calls)

    beat = writing(Session.beat)

    async def end(self, *, reason: str = "", graceful: bool = True) -> SessionRecord:
        """See `Session.end`."""
        return await self._ended_by(lambda: self._session.end(reason=reason, graceful=graceful))


class Starting:
    """A session on its way: `await` it, or use it with `async with`. Cancelled, it is ended again if it had started."""

    def __init__(self, calls: Calls, work: Callable[[], Session], *, on_signals: bool) -> None:
        self._calls = calls
        self._work = work
        self._on_signals = on_signals
        self._session: AsyncSession | None = None

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self._start().__await__()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._start()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.__aexit__(kind, error, trace)

    async def _start(self) -> AsyncSession:
        session = await self._calls.write(
            "writes", "start", self._work, undo=lambda started: started.end(reason="cancelled while it started")
        )
        if session.held:
            ends.expect(session, on_signals=self._on_signals)  # a worker thread can't set signal handlers
        return AsyncSession(session, self._calls)


def _starting(function: Callable[Concatenate[S, P], Session]) -> Method[S, P, Starting]:
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(self: Part[S], /, *args: P.args, **kwargs: P.kwargs) -> Starting:
        find = self._find
        on_signals = kwargs.get("on_signals", parameters["on_signals"].default)
        return Starting(self._calls, lambda: _ready(function(find(), *args, **kwargs)), on_signals=bool(on_signals))

    return cast("Method[S, P, Starting]", call)


def _ready(session: Session) -> Session:
    """Let it look at the disk for its context here, in the worker thread, rather than when it is asked for that."""
    with suppress(GitctxError):
        _ = session.context
    return session


class AsyncSessions(Part[Sessions]):
    """`Sessions` for asyncio."""

    start = _starting(Sessions.start)
    record = reading(Sessions.record)
    get = reading(Sessions.get)
    list = reading(Sessions.list)
    open_ids = reading(Sessions.open_ids)
    state = reading(Sessions.state)
    require_active = reading(Sessions.require_active)
    anchored = reading(Sessions.anchored)
    handover = reading(Sessions.handover)
    recover = writing(Sessions.recover, withdraws=False, whole=False)
    beat = writing(Sessions.beat)
    tell_beats = writing(Sessions.tell_beats)
    end = writing(Sessions.end, withdraws=False)
