"""From a method of the sync face to its asyncio sibling: signature, docstring and types are taken over, not repeated.

Each method of an asyncio class is one line that names the sync method and says what kind of call it is:

    class AsyncContext(Part[Context]):
        get = reading(Context.get)
        put = writing(Context.put)
        log = iterating(Context.log)

A type checker sees `put` with the very parameters of `Context.put`, returning an awaitable of what that returns.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from gitctx.aio.block import Block
from gitctx.aio.calls import Calls, LaneName
from gitctx.aio.pulls import IteratorSource, Pulls
from gitctx.errors import InvalidInput

if TYPE_CHECKING:
    from gitctx.aio.watch import AsyncWatch
    from gitctx.sync.watch import Watch

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Part(Generic[S_co]):
    """A part of the asyncio face. `find` gives the sync object that it stands for; worker threads call it."""

    def __init__(self, find: Callable[[], S_co], calls: Calls) -> None:
        self._find = find
        self._calls = calls


class Method(Protocol[S_contra, P, R_co]):
    """A method of the asyncio face, as a type checker sees it: the parameters of the sync one, another result."""

    @overload
    def __get__(self, part: None, owner: type) -> Callable[..., R_co]: ...

    @overload
    def __get__(self, part: Part[S_contra], owner: type | None = None) -> Callable[P, R_co]: ...


def reading(
    function: Callable[Concatenate[S, P], R], *, lane: LaneName = "reads"
) -> Method[S, P, Coroutine[Any, Any, R]]:
    """The sibling of a method that changes nothing. Cancelled, it is left to itself."""

    @functools.wraps(function)
    async def call(self: Part[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._calls.read(lane, _work(self, function, args, kwargs))

    return cast("Method[S, P, Coroutine[Any, Any, R]]", call)


def writing(
    function: Callable[Concatenate[S, P], R],
    *,
    lane: LaneName = "writes",
    withdraws: bool = True,
    whole: bool = True,
) -> Method[S, P, Coroutine[Any, Any, R]]:
    """The sibling of a method that changes the store. Cancelled, it is withdrawn (with `withdraws`), or its end is
    waited for. `whole`: it is one write, which is made or not.
    """

    @functools.wraps(function)
    async def call(self: Part[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        work = _work(self, function, args, kwargs)
        return await self._calls.write(lane, function.__name__, work, withdraws=withdraws, whole=whole)

    return cast("Method[S, P, Coroutine[Any, Any, R]]", call)


def iterating(
    function: Callable[Concatenate[S, P], Iterator[R]], *, lane: LaneName = "reads"
) -> Method[S, P, Pulls[R]]:
    """The sibling of a method that returns an iterator: an async one, which pulls as much at once as comes quickly."""

    @functools.wraps(function)
    def call(self: Part[S], /, *args: P.args, **kwargs: P.kwargs) -> Pulls[R]:
        return Pulls(self._calls, lane, IteratorSource(_work(self, function, args, kwargs)))

    return cast("Method[S, P, Pulls[R]]", call)


def watching(function: Callable[Concatenate[S, P], Watch]) -> Method[S, P, AsyncWatch]:
    """The sibling of a method that returns a `Watch`."""

    @functools.wraps(function)
    def call(self: Part[S], /, *args: P.args, **kwargs: P.kwargs) -> AsyncWatch:
        from gitctx.aio.watch import AsyncWatch

        return AsyncWatch(self._calls, _work(self, function, args, kwargs))

    return cast("Method[S, P, AsyncWatch]", call)


def holding(
    function: Callable[Concatenate[S, P], AbstractContextManager[R]], *, lane: LaneName = "writes", idle: bool = False
) -> Method[S, P, Block[R]]:
    """The sibling of a method for a `with` block: one for `async with`. `idle`: nothing is done before its end."""

    @functools.wraps(function)
    def call(self: Part[S], /, *args: P.args, **kwargs: P.kwargs) -> Block[R]:
        return Block(self._calls, lane, function.__name__, _work(self, function, args, kwargs), idle=idle)

    return cast("Method[S, P, Block[R]]", call)


def _work(part: Part[S], function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], R]:
    """The call, to be made in a worker thread."""
    find = part._find
    args = tuple([carried(value) if callable(value) else value for value in args])
    kwargs = {name: carried(value) if callable(value) else value for name, value in kwargs.items()}
    return lambda: function(find(), *args, **kwargs)


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """A caller's function, to be called in whatever thread, with the caller's contextvars.

    Raises InvalidInput for a coroutine function: there is no event loop where it is called.
    """
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        name = getattr(function, "__qualname__", repr(function))
        raise InvalidInput(
            f"{name} is a coroutine function, and it would be called in a worker thread",
            hint="pass a plain function; await what it needs before the call",
        )
    context = contextvars.copy_context()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return call
