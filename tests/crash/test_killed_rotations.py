"""kill -9 and a full disk at every step of a rotation and after it: nothing is lost, the next run finishes."""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import GitctxError
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, head_of, ids_in_history
from gitctx_testkit.faults import WRITING, disk
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children, die
from gitctx_testkit.rotating import Calendar, counted, fill, has, ids_of, let_grace_end, revisions

KEEP, WRITES = 5, 20
OF_A_SWAP = ["swap.before_lock", "swap.after_lock", "swap.after_reflog", "swap.after_rename", "write.before_objects"]
OF_A_ROTATION = [*failpoints.ROTATION_NAMES[:-1], *OF_A_SWAP]


def context(path: Path, calendar: Calendar) -> Context:
    return Context(Store.open(path, Config(durability="relaxed", clock=calendar)), actor="planner")


def die_at(point: str, function: Callable[[], object], after: int = 0) -> None:
    """Run something in a process that is killed at a point, when it comes there for that time."""

    def victim(_: Talk) -> None:
        left = after

        def count() -> None:
            nonlocal left
            if left == 0:
                die()
            left -= 1

        failpoints.activate(point, count)
        function()

    with children(victim) as (child,):
        child.wait_killed()


def look(path: Path, calendar: Calendar, content: str, everything: list[str]) -> None:
    """After a rotation, or none: content and ids are there; after the next one the numbers add up."""
    assert git(path, "rev-parse", "context^{tree}") == content
    assert_sound(path)
    ctx = context(path, calendar)
    if counted(path) == 0:
        assert set(everything) <= set(ids_in_history(path))
    ctx.rotation.apply(keep=KEEP)
    assert ctx.rotation.finish() == 0
    assert git(path, "rev-parse", "context^{tree}") == content
    assert len(revisions(path)) - 1 + counted(path) == len(everything) + 1
    assert git(path, "for-each-ref", "refs/gitctx/base")
    old = git(path, "rev-parse", "refs/gitctx/rotated/1/context")
    ctx.put("after.md", "1")
    let_grace_end(ctx, calendar)
    assert not has(path, old)
    assert git(path, "for-each-ref", "refs/gitctx/rotated") == ""
    assert_sound(path)
    last = context(path, calendar).last_write("plan/0.md")
    assert last is not None
    assert last.op == "put"


STEPS = [(point, 0) for point in OF_A_ROTATION] + [(point, 1) for point in OF_A_SWAP[:-1]]


@pytest.mark.parametrize(("point", "after"), STEPS)
def test_the_next_rotation_finishes_what_a_killed_one_began(store: Store, point: str, after: int) -> None:
    calendar = Calendar()
    ctx = context(store.path, calendar)
    ids = ids_of(fill(ctx, WRITES))
    content = git(store.path, "rev-parse", "context^{tree}")
    die_at(point, lambda: context(store.path, calendar).rotation.apply(keep=KEEP), after)
    look(store.path, calendar, content, ids)


@pytest.mark.parametrize("point", ["rotate.before_forgetting"])
def test_old_heads_are_let_go_by_the_next_one_if_that_was_killed(store: Store, point: str) -> None:
    calendar = Calendar()
    ctx = context(store.path, calendar)
    fill(ctx, WRITES)
    old = head_of(store.path)
    ctx.rotation.apply(keep=KEEP)
    die_at(point, lambda: let_grace_end(context(store.path, calendar), calendar))
    let_grace_end(context(store.path, calendar), calendar)
    assert not has(store.path, old)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_is_full_at_any_call_of_a_rotation_costs_nothing(
    store: Store, tmp_path: Path, lasting: bool
) -> None:
    calendar = Calendar()
    fill(context(store.path, calendar), WRITES)
    everything = len(revisions(store.path))
    content = git(store.path, "rev-parse", "context^{tree}")
    refused: list[GitctxError] = []
    for number in itertools.count():
        path = Path(shutil.copytree(store.path, tmp_path / str(number)))
        ctx = context(path, calendar)
        with disk(number, errno.ENOSPC, only=WRITING, lasting=lasting) as watched:
            try:
                ctx.rotation.apply(keep=KEEP)
            except GitctxError as error:
                refused.append(error)
        _look_and_go_on(path, calendar, content, everything)
        if not watched.refused:
            break
    assert refused
    assert all(each.hint for each in refused)


def _look_and_go_on(path: Path, calendar: Calendar, content: str, everything: int) -> None:
    assert git(path, "rev-parse", "context^{tree}") == content
    assert len(revisions(path)) - (counted(path) > 0) + counted(path) == everything
    ctx = context(path, calendar)
    ctx.rotation.apply(keep=KEEP)
    ctx.rotation.finish()
    assert git(path, "rev-parse", "context^{tree}") == content
    assert len(revisions(path)) - 1 + counted(path) == everything
    let_grace_end(ctx, calendar)
    assert_sound(path)
    shutil.rmtree(path)
