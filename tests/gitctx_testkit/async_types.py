"""What a type checker makes of the asyncio face. Checked by mypy with everything else; nothing runs it.

Each `type: ignore` stands for a mistake that has to be found: mypy complains of those that aren't needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

import gitctx
from gitctx.aio import AsyncContext, CancelledWrite, cancelled_write
from gitctx.aio.live import AsyncLive
from gitctx.aio.sessions import AsyncSession
from gitctx.aio.watch import AsyncWatch
from gitctx.format.settings import Settings
from gitctx.values import (
    Change,
    Checkpoint,
    Claim,
    Entry,
    EntryInfo,
    Exchanged,
    OpenConflict,
    Recovered,
    Revision,
    SessionRecord,
    SessionState,
    Verification,
    WatchedChange,
    Write,
    Written,
)


async def reads(ctx: AsyncContext) -> None:
    assert_type(await ctx.get("plan/auth.md", at="head~1"), Entry)
    assert_type(await ctx.head, Revision)
    assert_type([info async for info in ctx.list("plan/")], list[EntryInfo])
    assert_type([write async for write in ctx.log(limit=3, actor="planner")], list[Write])
    assert_type(await ctx.diff("head~1"), Sequence[Change])
    assert_type(await ctx.show("head"), tuple[Write, Sequence[Change]])
    assert_type(await ctx.last_write("k"), Write | None)
    assert_type(await ctx.settings(), Settings)
    assert_type(await ctx.verify(full=True), Verification)


async def writes(ctx: AsyncContext) -> None:
    assert_type(await ctx.put("k", {"a": 1}, message="why", if_absent=True, id="the-id"), Written)
    assert_type(await ctx.update("k", lambda value: [value], form="json"), Written)
    async with ctx.batch("both", id="the-batch") as batch:
        assert_type(batch, gitctx.Batch)
        batch.put("a", "1")
    assert_type(batch.written, Written | None)


async def parts(ctx: AsyncContext) -> None:
    assert_type(await ctx.claims.claim("work", ttl_s=60, wait_s=1), Claim)
    async with ctx.claims.hold("work") as claim:
        assert_type(claim, Claim)
    async with ctx.sessions.start(actor="coder-1") as session:
        assert_type(session, AsyncSession)
        assert_type(session.context, AsyncContext)
        assert_type(session.sync, AsyncLive)
        await session.sync.start(lambda change: print(change.key), prefix="plan/")
        assert_type(await session.end(reason="done"), SessionRecord)
    assert_type(await ctx.on_change(print, "plan/"), AsyncLive)
    assert_type(await ctx.sessions.start(actor="coder-1", hold=False), AsyncSession)
    assert_type(await ctx.sessions.state("id"), SessionState)
    assert_type(await ctx.checkpoints.create("mark", message="why"), Checkpoint)
    assert_type(await ctx.recovery.apply(full=True), Recovered)
    assert_type(await ctx.sync.exchange("origin", only_context=True), Exchanged)
    assert_type(await ctx.sync.conflicts.list(), Sequence[OpenConflict])


async def watches(ctx: AsyncContext) -> None:
    async with ctx.watch("plan/", timeout_s=1.0) as watch:
        assert_type(watch, AsyncWatch)
        async for change in watch:
            assert_type(change, WatchedChange)
        assert_type(watch.revision, Revision)
        assert_type(await watch.next(1.0), WatchedChange | None)
    assert_type([change async for change in ctx.changes(since="head~3")], list[WatchedChange])
    assert_type(await ctx.wait("k", until="absent", timeout_s=1.0), Entry | None)


async def openings() -> None:
    async with gitctx.open_async(".", actor="planner") as ctx:
        assert_type(ctx, AsyncContext)
        assert_type(ctx.actor, str)
    assert_type(await gitctx.open_async(actor="planner"), AsyncContext)
    assert_type(cancelled_write(TimeoutError()), CancelledWrite | None)


async def mistakes(ctx: AsyncContext) -> None:
    await ctx.put("k")  # type: ignore[call-arg]
    await ctx.put("k", "v", if_mtach="e")  # type: ignore[call-arg]
    await ctx.put(1, "v")  # type: ignore[arg-type]
    ctx.put("k", "v").etag  # type: ignore[attr-defined]  # noqa: B018
    for _ in ctx.list():  # type: ignore[attr-defined]
        pass
    with ctx.batch():  # type: ignore[attr-defined]
        pass
    await ctx.no_such_method()  # type: ignore[attr-defined]
