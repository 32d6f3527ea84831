"""What works with the sync context works with the asyncio one: reads, writes, parts, and several at once."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import gitctx
from gitctx.aio import AsyncContext
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import EntryNotFound, InvalidInput, PreconditionFailed, StoreNotFound
from gitctx.sessions import ends
from gitctx.store import Store
from gitctx_testkit.git import clean_environment


def test_writes_and_reads_are_those_of_the_sync_face(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            written = await ctx.put("plan/auth.md", "ship the parser", message="agreed", id="the-first")
            assert (await ctx.get("plan/auth.md")).text() == "ship the parser"
            assert await ctx.head == written.head
            await ctx.append("log", "one")
            added = await ctx.add("decision", "use git")
            await ctx.update("count", lambda value: (value or 0) + 1)
            await ctx.move("plan/auth.md", "plan/login.md")
            await ctx.remove("log")
            await ctx.undo("head")
            assert {info.key async for info in ctx.list()} == {"plan/login.md", "log", "count", added.key}
            assert [write.op async for write in ctx.log(limit=3)] == ["undo", "remove", "move"]
            write, changes = await ctx.show(written.revision)
            assert (write.message, write.id, [change.key for change in changes]) == (
                *("agreed", "the-first", ["plan/auth.md"]),
            )
            assert len(await ctx.diff(written.revision)) == 5
            assert (await ctx.settings()).problems == ()
            assert (await ctx.verify(full=True)).ok

    asyncio.run(run())


def test_errors_are_those_of_the_sync_face(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            with pytest.raises(EntryNotFound):
                await ctx.get("nowhere")
            with pytest.raises(PreconditionFailed):
                await ctx.put("a", "1", if_match="0" * 40)
        with pytest.raises(StoreNotFound):
            await gitctx.open_async(store.path / "nowhere", actor="planner")

    asyncio.run(run())


async def a_batch_that_raises(ctx: AsyncContext) -> gitctx.Batch:
    try:
        async with ctx.batch() as batch:
            batch.put("c", "3")
            raise KeyError
    except KeyError:
        return batch


def test_a_batch_is_one_write_and_none_if_its_block_raises(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            async with ctx.batch("both", id="the-batch") as batch:
                batch.put("a", "1")
                batch.append("b", "2")
            assert batch.written is not None
            assert await ctx.head == batch.written.revision
            failed = await a_batch_that_raises(ctx)
            assert failed.written is None
            assert await ctx.head == batch.written.revision

    asyncio.run(run())


def test_the_parts_do_what_they_do(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            async with ctx.claims.hold("auth", ttl_s=60) as claim:
                assert [each.name for each in await ctx.claims.list()] == ["auth"]
                assert (await ctx.claims.get("auth")).id == claim.id
            assert await ctx.claims.list() == []
            await ctx.put("a", "1")
            mark = await ctx.checkpoints.create("mark")
            await ctx.put("a", "2")
            await ctx.checkpoints.restore("mark")
            assert (await ctx.get("a")).text() == "1"
            assert [each.name for each in await ctx.checkpoints.list()] == [mark.name]
            assert (await ctx.recovery.scan()).healthy

    asyncio.run(run())


def test_a_session_ends_with_its_block_and_says_how(store: Store) -> None:
    async def run() -> tuple[str, str]:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            with suppress(KeyError):
                async with ctx.sessions.start(actor="coder-1", on_signals=False) as session:
                    assert session.held
                    assert await ctx.sessions.state(session.id) == "alive"
                    await session.beat()
                    raise KeyError
            held = await ctx.sessions.start(actor="coder-2", on_signals=False)
            async with gitctx.open_async(store.path, actor="coder-2", session=held.id) as own:
                await own.put("a", "1")
                assert own.session == held.id
            await held.end(reason="done")
            return session.id, held.id

    first, second = asyncio.run(run())
    records = [Context(store, actor="reader").sessions.record(id) for id in (first, second)]
    assert [(record.end_reason, record.graceful_shutdown) for record in records] == [("KeyError", True), ("done", True)]


def test_a_held_session_is_ended_by_a_signal_though_a_worker_thread_started_it(store: Store) -> None:
    code = (
        "import asyncio, os, signal, gitctx\n"
        "async def main():\n"
        f"    async with gitctx.open_async({str(store.path)!r}, actor='planner') as ctx:\n"
        "        async with ctx.sessions.start(actor='coder-1') as session:\n"
        "            print(session.id, flush=True)\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "            await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGTERM
    record = Context(store, actor="reader").sessions.record(done.stdout.strip())
    assert (record.end_reason, record.graceful_shutdown) == ("SIGTERM", True)


def test_signal_handlers_go_with_the_last_session(store: Store) -> None:
    async def run() -> None:
        async with AsyncContext(Context(store, actor="planner")) as ctx, ctx.sessions.start(actor="coder-1"):
            assert signal.getsignal(signal.SIGTERM) is ends._on_signal

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(run())
    assert signal.getsignal(signal.SIGTERM) == before


def test_contextvars_of_the_caller_are_there_in_functions_that_it_passes_in(store: Store) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:

            async def one(name: str) -> None:
                who.set(name)
                await ctx.update(f"by/{name}", lambda _: who.get())

            await asyncio.gather(*[one(f"task-{number}") for number in range(20)])
            async for info in ctx.list("by"):
                assert (await ctx.get(info.key)).text() == info.key.removeprefix("by/")

    asyncio.run(run())


def test_functions_that_are_passed_in_run_in_a_worker_thread(store: Store) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            await ctx.update("thread", lambda _: threading.current_thread().name)
            assert (await ctx.get("thread")).text() == "gitctx-writes"

    asyncio.run(run())


class Called:
    async def __call__(self, value: Any) -> Any:
        return value


async def coroutine_function(value: Any) -> Any:
    return value


@pytest.mark.parametrize("function", [coroutine_function, Called()])
def test_coroutine_functions_are_refused_before_anything_happens(store: Store, function: Any) -> None:
    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            with pytest.raises(InvalidInput, match="coroutine function"):
                await ctx.update("a", function)
            with pytest.raises(InvalidInput, match="coroutine function"):
                await ctx.put("a", "1", strategy=function)

    asyncio.run(run())


def test_a_function_that_raises_stop_iteration_wakes_its_caller(store: Store) -> None:
    def stop(value: Any) -> Any:
        raise StopIteration

    async def run() -> None:
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            with pytest.raises(RuntimeError, match="StopIteration"):
                await asyncio.wait_for(ctx.update("a", stop), 30)

    asyncio.run(run())


def test_operations_of_one_kind_that_hang_dont_keep_those_of_another_waiting(store: Store) -> None:
    """Neither the event loop's own threads, which others may fill, nor waiting calls are in the way of a write."""
    release = threading.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stuck = [loop.run_in_executor(None, release.wait, 60) for _ in range(64)]
        async with gitctx.open_async(store.path, actor="planner") as ctx:
            await ctx.claims.claim("held")
            waiting = [asyncio.create_task(ctx.claims.claim("held", wait_s=60)) for _ in range(40)]
            stuck += [asyncio.ensure_future(ctx._calls.read("reads", lambda: release.wait(60))) for _ in range(20)]
            await asyncio.sleep(0)
            await asyncio.wait_for(ctx.put("a", "1"), 30)
            release.set()
            await asyncio.gather(*stuck)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())


def test_the_same_context_serves_one_loop_after_another(store: Store) -> None:
    face = AsyncContext(Context(store, actor="planner"))

    async def write(number: int) -> None:
        await face.put("a", str(number))

    for number in range(3):
        asyncio.run(write(number))

    async def read() -> str:
        return (await face.get("a")).text()

    assert asyncio.run(read()) == "2"
    asyncio.run(face.close())


def test_a_forked_child_has_threads_of_its_own_and_waits_for_nothing_of_its_parents(store: Store) -> None:
    face, go_on = AsyncContext(Context(store, actor="planner")), threading.Event()

    done: list[str] = []

    async def in_child() -> None:
        await face.put("child", "1")
        await face.close()
        done.append("child")

    async def in_parent() -> None:
        await face.put("before", "1")
        hanging = asyncio.ensure_future(face._calls.read("reads", go_on.wait))
        await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.set_event_loop(None)
                thread = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(in_child(), 30)))
                thread.start()
                thread.join(40)
                status = 0 if done else 1
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        go_on.set()
        await hanging
        await face.put("parent", "1")

    asyncio.run(in_parent())
    assert {info.key for info in Context(store, actor="reader").list()} == {"before", "child", "parent"}


def test_a_dry_run_writes_nothing(store: Store) -> None:
    async def run() -> None:
        async with AsyncContext(Context(store, actor="planner", dry_run=True)) as ctx:
            assert (await ctx.put("a", "1")).changed

    head = store.context.head()
    asyncio.run(run())
    assert store.context.head() == head


def test_opening_recovers_when_it_is_told_to(tmp_path: Path) -> None:
    path = gitctx.create(tmp_path / "store.git")
    with gitctx.open(path, actor="planner") as ctx:
        ctx.put("a", "1")
    (path / "refs" / "heads" / "context").write_text("0" * 39 + "1\n")

    async def run() -> None:
        async with gitctx.open_async(path, actor="planner", config=Config(auto_recover=True)) as ctx:
            assert ctx.recovered is not None
            assert (await ctx.get("a")).text() == "1"

    asyncio.run(run())
