"""The real thing: the kernel refuses to let a file grow, or to open one more."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import DiskFull, GitctxError, StorageError
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, head_of, ids_in_history, reflog_lines
from gitctx_testkit.processes import Talk, children

NOISE = random.Random(7).randbytes(200_000)
RELAXED = Config(durability="relaxed")


def limited(kind: int, limit: int, function: Callable[[], object]) -> GitctxError | None:
    """What the function raises in a process with that limit."""

    def run(_: Talk) -> GitctxError | None:
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
        try:
            function()
        except GitctxError as error:
            return error
        return None

    with children(run) as (child,):
        return child.result()


def small(path: Path) -> None:
    Context(Store.open(path), actor="planner").put("plan/a.md", "small", id="the-write")


def large(path: Path) -> None:
    Context(Store.open(path), actor="planner").put("plan/a.md", NOISE, id="the-write")


def many(path: Path) -> None:
    with Context(Store.open(path), actor="planner").batch(id="the-write") as batch:
        for number in range(100):
            batch.put(f"plan/{number}", NOISE[number * 100 : number * 100 + 500])


CASES = [(small, limit) for limit in (0, 8, 50, 120, 400)] + [(large, 100_000), (many, 20_000), (many, 600)]


@pytest.mark.parametrize(("act", "limit"), CASES)
def test_a_write_that_finds_no_room_is_refused_and_leaves_no_trace(
    store: Store, act: Callable[[Path], None], limit: int
) -> None:
    with Context(store, actor="planner").batch() as batch:
        batch.put("plan/before.md", "before")
        batch.put("plan/a.md", "old")
    before, log = head_of(store.path), reflog_lines(store.path)
    error = limited(resource.RLIMIT_FSIZE, limit, lambda: act(store.path))
    assert isinstance(error, DiskFull)
    assert error.changed == "no"
    assert error.hint
    assert head_of(store.path) == before
    assert reflog_lines(store.path) == log
    assert not (store.path / "refs" / "heads" / "context.lock").exists()
    assert_sound(store.path)
    act(store.path)
    assert ids_in_history(store.path).count("the-write") == 1


@pytest.mark.parametrize("limit", [0, 20, 100, 200])
def test_a_store_that_finds_no_room_is_not_made_by_half(tmp_path: Path, limit: int) -> None:
    folder = tmp_path / "place"
    folder.mkdir()
    error = limited(resource.RLIMIT_FSIZE, limit, lambda: Store.create(folder / "store.git"))
    assert isinstance(error, DiskFull)
    assert list(folder.iterdir()) == []
    Store.create(folder / "store.git")


def test_a_checkpoint_that_finds_no_room_is_refused(store: Store) -> None:
    ctx = Context(store, actor="planner")
    ctx.put("plan/a.md", "a")
    error = limited(resource.RLIMIT_FSIZE, 30, lambda: ctx.checkpoints.create("before"))
    assert isinstance(error, DiskFull)
    assert ctx.checkpoints.list() == []
    ctx.checkpoints.create("before")


def _with_few_handles(path: Path, spare: int, function: Callable[[Context], object]) -> GitctxError | None:
    def run(_: Talk) -> GitctxError | None:
        ctx = Context(Store.open(path, RELAXED), actor="planner")
        function(ctx)
        with open("/dev/null") as probe:
            highest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            function(Context(Store.open(path, RELAXED), actor="planner"))
        except GitctxError as error:
            return error
        return None

    with children(run) as (child,):
        return child.result()


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_too_many_open_files_are_never_taken_for_damage(store: Store, spare: int) -> None:
    ctx = Context(store, actor="planner")
    for number in range(5):
        ctx.put(f"plan/{number}.md", str(number))
    for function in (
        lambda each: each.get("plan/0.md"),
        lambda each: list(each.log(limit=3)),
        lambda each: each.put("plan/new.md", str(os.urandom(8))),
        lambda each: each.get("plan/0.md", at="head~3"),
        lambda each: each.verify(),
    ):
        error = _with_few_handles(store.path, spare, function)
        assert error is None or (isinstance(error, StorageError) and error.code != "object_missing"), repr(error)
