"""Opening a store, for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitctx.aio.calls import Calls
from gitctx.aio.context import AsyncContext
from gitctx.context.opening import open_context

if TYPE_CHECKING:
    from types import TracebackType

    from gitctx.config import Config
    from gitctx.context import Context


class Opening:
    """A context on its way: `await` it (and `close` it), or use it with `async with`."""

    def __init__(self, work: Callable[[], Context]) -> None:
        self._work = work
        self._context: AsyncContext | None = None

    def __await__(self) -> Generator[Any, None, AsyncContext]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncContext:
        self._context = await self._open()
        return self._context

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._context is not None
        await self._context.close()

    async def _open(self) -> AsyncContext:
        calls = Calls()
        return AsyncContext(await calls.read("waits", self._work), calls)


def open_async(
    path: str | Path = ".",
    *,
    actor: str,
    session: str | None = None,
    config: Config | None = None,
    share_bases: bool = False,
) -> Opening:
    """The context of the store at `path` for asyncio: `async with gitctx.open_async(".", actor="planner") as ctx`.

    Arguments and errors are those of `gitctx.open`.
    """
    return Opening(lambda: open_context(path, actor=actor, session=session, config=config, share_bases=share_bases))
