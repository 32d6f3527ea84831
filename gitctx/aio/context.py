"""The context, for asyncio: each method of `gitctx.Context` under its name, to be awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitctx.aio.bridge import Part, carried, holding, iterating, reading, watching, writing
from gitctx.aio.calls import Calls
from gitctx.context.context import Context

if TYPE_CHECKING:
    from types import TracebackType

    from gitctx.aio.checkpoints import AsyncCheckpoints
    from gitctx.aio.claims import AsyncClaims
    from gitctx.aio.live import AsyncLive
    from gitctx.aio.maintenance import AsyncMaintenance
    from gitctx.aio.recovery import AsyncRecovery
    from gitctx.aio.rotation import AsyncRotation
    from gitctx.aio.sessions import AsyncSessions
    from gitctx.aio.sync import AsyncSync
    from gitctx.store import Store
    from gitctx.values import Recovered, Revision, SessionId, WatchedChange


class AsyncContext(Part[Context]):
    """A `Context` for asyncio, made of a sync one. Safe in tasks, and in several event loops.

    A write that is cancelled is settled before its CancelledError goes on: see `gitctx.aio.cancelled_write`. Functions
    that are passed in (to `update`, as a strategy) are plain ones, and are called in a worker thread.
    """

    def __init__(self, context: Context, calls: Calls | None = None, *, lent: bool = False) -> None:
        """`calls` are those of another context if they are `lent`: closing this one leaves them alone."""
        super().__init__(lambda: context, calls or Calls())
        self._context = context
        self._lent = lent
        self._live: list[AsyncLive] = []

    async def __aenter__(self) -> AsyncContext:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for what is under way, and let the threads go. What waits for somebody else (a claim, say) is woken, and
        raises Withdrawn; what `on_change` began is stopped. Afterwards every call raises InvalidInput.
        """
        while self._live:
            await self._live.pop().stop()
        if not self._lent:
            await self._calls.close()

    # -- plain --------------------------------------------------------------------------------------------------------

    @property
    def actor(self) -> str:
        """Who writes."""
        return self._context.actor

    @property
    def session(self) -> SessionId | None:
        """The session that writes belong to."""
        return self._context.session

    @property
    def recovered(self) -> Recovered | None:
        """See `Context.recovered`."""
        return self._context.recovered

    @property
    def store(self) -> Store:
        """The store below, which knows nothing of asyncio: its methods block."""
        return self._context.store

    # -- parts --------------------------------------------------------------------------------------------------------

    @cached_property
    def sessions(self) -> AsyncSessions:
        """The sessions of the store."""
        from gitctx.aio.sessions import AsyncSessions

        return AsyncSessions(lambda: self._context.sessions, self._calls)

    @cached_property
    def claims(self) -> AsyncClaims:
        """Claims on pieces of work, as this actor and session makes them."""
        from gitctx.aio.claims import AsyncClaims

        return AsyncClaims(lambda: self._context.claims, self._calls)

    @cached_property
    def checkpoints(self) -> AsyncCheckpoints:
        """Names for contents, and restoring one."""
        from gitctx.aio.checkpoints import AsyncCheckpoints

        return AsyncCheckpoints(lambda: self._context.checkpoints, self._calls)

    @cached_property
    def recovery(self) -> AsyncRecovery:
        """Looking for damage in the store, and mending it."""
        from gitctx.aio.recovery import AsyncRecovery

        return AsyncRecovery(lambda: self._context.recovery, self._calls)

    @cached_property
    def maintenance(self) -> AsyncMaintenance:
        """Keeping the store small and quick."""
        from gitctx.aio.maintenance import AsyncMaintenance

        return AsyncMaintenance(lambda: self._context.maintenance, self._calls)

    @cached_property
    def rotation(self) -> AsyncRotation:
        """Squashing old history, so that the store stays small."""
        from gitctx.aio.rotation import AsyncRotation

        return AsyncRotation(lambda: self._context.rotation, self._calls)

    @cached_property
    def sync(self) -> AsyncSync:
        """Exchange with other machines, and the conflicts that it leaves open."""
        from gitctx.aio.sync import AsyncSync

        return AsyncSync(lambda: self._context.sync, self._calls)

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Coroutine[Any, Any, Revision]:
        """The revision that the context is at now: `await ctx.head`."""
        return self._calls.read("reads", lambda: self._context.head)

    get = reading(Context.get)
    list = iterating(Context.list)
    diff = reading(Context.diff)
    log = iterating(Context.log)
    show = reading(Context.show)
    last_write = reading(Context.last_write)
    changes = iterating(Context.changes)
    watch = watching(Context.watch)
    wait = reading(Context.wait, lane="waits")

    async def on_change(
        self,
        callback: Callable[[WatchedChange], object],
        prefix: str = "",
        *,
        since: str | None = None,
        include_self: bool = False,
    ) -> AsyncLive:
        """See `Context.on_change`; it is stopped when this context is closed, at the latest."""
        from gitctx.aio.live import AsyncLive

        call = carried(callback)
        live = await self._calls.write(
            "writes",
            "on_change",
            lambda: self._context.on_change(call, prefix, since=since, include_self=include_self),
            undo=lambda started: started.stop(),
        )
        self._live.append(AsyncLive(lambda: live, self._calls))
        return self._live[-1]

    settings = reading(Context.settings)
    verify = reading(Context.verify, lane="waits")

    # -- writing ------------------------------------------------------------------------------------------------------

    put = writing(Context.put)
    update = writing(Context.update)
    append = writing(Context.append)
    add = writing(Context.add)
    remove = writing(Context.remove)
    move = writing(Context.move)
    batch = holding(Context.batch, idle=True)
    apply = writing(Context.apply)
    undo = writing(Context.undo)
    configure = writing(Context.configure)
    replace_settings = writing(Context.replace_settings)
