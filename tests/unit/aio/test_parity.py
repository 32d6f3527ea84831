"""Both faces have the same names with the same parameters: who adds a method to one is told to add it to the other."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, get_type_hints

import pytest

from gitctx.aio.bridge import Part
from gitctx.aio.context import AsyncContext
from gitctx.aio.opening import open_async
from gitctx.context import Context, open_context

AWAITED = {"Context.head"}
"""Properties that look at the disk. All others are plain on both faces."""
ONLY_SYNC = {
    "Claims.guard": "asked by a write while it is planned",
    "Sessions.companions": "inside: what `session.context` and `session.sync` come from",
    "Sessions.apart": "for the ends at a program's exit",
    "Sessions.note_heard": "an exchange does it",
    "Sessions.machine": "inside",
    "Sessions.store": "inside: `ctx.store`",
    "Sync.store": "inside: `ctx.store`",
    "Session.end_apart": "for the ends at a program's exit",
    "Session.keep_beating": "`start` does it",
}
ONLY_ASYNC = {"AsyncContext.close", "AsyncWatch.aclose"}


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def pairs(ctx: Context) -> dict[str, tuple[Any, Any]]:
    """Each object of the sync face by its class's name, with its asyncio sibling; parts are found by themselves."""
    face = AsyncContext(ctx)
    found: dict[str, tuple[Any, Any]] = {}
    add_parts(found, ctx, face)

    async def begin() -> None:
        session = await face.sessions.start(actor="coder-1", on_signals=False)
        found["Session"] = (session._session, session)
        found["Live"] = (session._session.sync, session.sync)
        found["Watch"] = (ctx.watch(), await face.watch().__aenter__())

    asyncio.run(begin())
    return found


def add_parts(found: dict[str, tuple[Any, Any]], sync: Any, face: Any) -> None:
    owner = type(sync)
    found[owner.__name__] = (sync, face)
    for name in sorted(public(owner)):
        if isinstance(inspect.getattr_static(owner, name), cached_property):
            where = inspect.getsourcefile(type(face))
            assert hasattr(face, name), f"{where}: the part `{name}` is missing, a cached_property like the others"
            add_parts(found, getattr(sync, name), getattr(face, name))


@pytest.fixture
def both(ctx: Context) -> Iterator[dict[str, tuple[Any, Any]]]:
    found = pairs(ctx)
    yield found
    found["Session"][0].end()


def test_the_parts_are_those_that_are_known(both: dict[str, tuple[Any, Any]]) -> None:
    """Should the walk find less one day, the other tests here would be green for nothing."""
    parts = {"Context", "Sessions", "Session", "Claims", "Checkpoints", "Recovery", "Maintenance", "Rotation", "Sync"}
    parts |= {"Conflicts"}
    assert parts | {"Watch", "Live"} <= set(both)
    for name in parts:
        sync, face = both[name]
        assert isinstance(face, Part)
        assert face._find() is sync


def test_every_public_name_is_on_both_faces(both: dict[str, tuple[Any, Any]]) -> None:
    for owner, (sync, face) in both.items():
        left_out = {name.partition(".")[2] for name in ONLY_SYNC if name.startswith(owner + ".")}
        assert left_out <= public(sync), f"ONLY_SYNC names what {owner} hasn't: {left_out - public(sync)}"
        missing = public(sync) - left_out - public(face)
        where = inspect.getsourcefile(type(face))
        assert not missing, (
            f"{where}: {sorted(missing)} missing; a line each, `name = reading({owner}.name)` or writing"
        )
        extra = {name for name in public(face) - public(sync) if f"{type(face).__name__}.{name}" not in ONLY_ASYNC}
        assert not extra, f"{type(face).__name__} has what {owner} hasn't: {extra}"


def expected(function: Callable[..., Any]) -> str:
    """What the asyncio sibling of a sync method has to give: which of `coroutine`, `__aiter__`, `__aenter__`."""
    inside = inspect.unwrap(function)
    if inside is not function and inspect.isgeneratorfunction(inside):
        return "__aenter__"  # made by contextmanager
    returned = getattr(function, "__annotations__", {}).get("return", "")
    if str(returned).startswith("Iterator["):
        return "__aiter__"
    result = hints_of(function)
    if inspect.isclass(result) and hasattr(result, "__next__"):
        return "__aiter__"
    if inspect.isclass(result) and hasattr(result, "__enter__"):
        return "__aenter__"
    return "coroutine"


def hints_of(function: Callable[..., Any]) -> Any:
    """The class that a function says it returns; None where that can't be told at run time."""
    try:
        return get_type_hints(function).get("return")
    except NameError:
        text = str(function.__annotations__["return"])
        module = {"Watch": "gitctx.sync.watch"}.get(text)
        return getattr(__import__(module, fromlist=[text]), text) if module else None


def given(face: Any, name: str) -> str:
    """What the asyncio sibling gives, without letting it do anything."""
    method = getattr(face, name)
    if inspect.iscoroutinefunction(method):
        return "coroutine"
    needed = [each for each in inspect.signature(method).parameters.values() if each.default is each.empty]
    positional = [None for each in needed if each.kind is not each.KEYWORD_ONLY]
    result = method(*positional, **{each.name: None for each in needed if each.kind is each.KEYWORD_ONLY})
    return next((each for each in ("__aiter__", "__aenter__") if hasattr(result, each)), type(result).__name__)


def methods(both: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    for owner, (sync, face) in both.items():
        for name in sorted(public(sync) & public(face)):
            if inspect.isfunction(inspect.getattr_static(sync, name)):
                yield f"{owner}.{name}", sync, face


def test_every_method_takes_the_same_and_tells_of_itself(both: dict[str, tuple[Any, Any]]) -> None:
    seen = 0
    for path, sync, face in methods(both):
        name = path.partition(".")[2]
        sync_parameters = list(inspect.signature(getattr(sync, name)).parameters.values())
        face_parameters = list(inspect.signature(getattr(face, name)).parameters.values())
        assert face_parameters == sync_parameters, f"{path} takes other arguments for asyncio"
        assert inspect.getdoc(getattr(face, name)), path
        seen += 1
    assert seen >= 40


def test_every_method_is_awaited_iterated_or_entered_as_its_sibling_asks_for(both: dict[str, tuple[Any, Any]]) -> None:
    kinds = set()
    for path, sync, face in methods(both):
        name = path.partition(".")[2]
        kind = expected(getattr(sync, name))
        assert given(face, name) == kind, f"{path}: with asyncio it has to give {kind}"
        kinds.add(kind)
    assert kinds == {"coroutine", "__aiter__", "__aenter__"}


def test_attributes_are_plain_or_awaited_as_they_are_told_to_be(both: dict[str, tuple[Any, Any]]) -> None:
    async def look() -> None:
        for owner, (sync, face) in both.items():
            for name in sorted(public(sync) & public(face)):
                value = getattr(face, name)
                if callable(value) or isinstance(value, Part):
                    continue
                awaited = f"{owner}.{name}" in AWAITED
                assert inspect.isawaitable(value) == awaited, f"{owner}.{name}"
                assert (await value if awaited else value) == getattr(sync, name), f"{owner}.{name}"

    asyncio.run(look())


def test_opening_takes_the_same() -> None:
    sync, face = inspect.signature(open_context), inspect.signature(open_async)
    assert list(face.parameters.values()) == list(sync.parameters.values())
    opening = open_async(actor="planner")
    assert hasattr(opening, "__await__")
    assert hasattr(opening, "__aenter__")


def test_a_method_that_only_one_face_has_is_found(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk itself, on a name that nobody has added."""
    monkeypatch.setattr(Context, "brand_new", lambda self: None, raising=False)
    assert "brand_new" in public(ctx) - public(AsyncContext(ctx))
