"""Every single call to the disk fails once: nothing may be half done, and nothing may be claimed that isn't so."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import DiskFull, GitctxError, OutcomeUnknown, StorageError
from gitctx.store import Store
from gitctx.values import Durability, Written
from gitctx_testkit.audit import assert_sound, head_of, ids_in_history, outcome_of, reflog_lines
from gitctx_testkit.faults import WRITING, disk

Act = Callable[[Context, str], Written]
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EMFILE)


def put_one(ctx: Context, id: str) -> Written:
    return ctx.put("plan/new.md", "new", id=id)


def put_many(ctx: Context, id: str) -> Written:
    with ctx.batch(id=id) as batch:
        for number in range(30):
            batch.put(f"many/{number}", f"value {number}")
    assert batch.written is not None
    return batch.written


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store.create(tmp_path_factory.mktemp("template") / "store.git")
    Context(store, actor="planner").put("plan/old.md", "old")
    return store.path


def _fresh(template: Path, folder: Path, durability: Durability) -> Context:
    path = folder / "store.git"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(template, path)
    ctx = Context(Store.open(path, Config(durability=durability)), actor="planner")
    ctx.put("plan/warm-up.md", "so that every module is imported", id="warm-up")
    return ctx


def _calls(template: Path, folder: Path, act: Act, durability: Durability, only: frozenset[str] | None) -> int:
    ctx = _fresh(template, folder, durability)
    with disk(only=only) as watched:
        act(ctx, "the-write")
    return len(watched.calls)


def _check(ctx: Context, act: Act, before: str, log: list[bytes], error: GitctxError | None) -> None:
    """What holds after an attempt that failed (or not) with this error."""
    path = ctx.store.path
    if error is None:
        assert ids_in_history(path)[0] == "the-write"
    elif outcome_of(error) == "no":
        assert head_of(path) == before
        assert isinstance(error, StorageError)
    else:
        assert isinstance(error, OutcomeUnknown)
        assert error.id == "the-write"
        assert head_of(path) != before, "unknown only when the ref may have moved"
    if head_of(path) == before:
        assert reflog_lines(path) == log, "the reflog tells of a write that didn't happen"
    other = Context(Store.open(path), actor="coder-1")
    other.put("plan/after.md", "the store works at once")
    act(Context(Store.open(path), actor="planner"), "the-write")
    assert ids_in_history(path).count("the-write") == 1
    assert_sound(path)


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
@pytest.mark.parametrize("act", [put_one, put_many])
def test_one_call_that_fails_never_loses_or_invents_a_write(
    template: Path, tmp_path: Path, act: Act, durability: Durability
) -> None:
    calls = _calls(template, tmp_path, act, durability, None)
    assert calls > 25
    for number in range(calls):
        code = ERRNOS[number % len(ERRNOS)]
        ctx = _fresh(template, tmp_path, durability)
        before, log = head_of(ctx.store.path), reflog_lines(ctx.store.path)
        error: GitctxError | None = None
        with disk(number, code) as watched:
            try:
                act(ctx, "the-write")
            except GitctxError as caught:
                error = caught
        assert watched.refused, "the call to fail was never made"
        if code == errno.ENOSPC and isinstance(error, StorageError):
            assert isinstance(error, DiskFull), f"{watched.refused} gave {error!r}"
        _check(ctx, act, before, log, error)


@pytest.mark.parametrize("act", [put_one, put_many])
def test_a_disk_that_is_full_from_any_moment_on_never_loses_or_invents_a_write(
    template: Path, tmp_path: Path, act: Act
) -> None:
    calls = _calls(template, tmp_path, act, "durable", WRITING)
    for number in range(calls):
        ctx = _fresh(template, tmp_path, "durable")
        before, log = head_of(ctx.store.path), reflog_lines(ctx.store.path)
        error: GitctxError | None = None
        with disk(number, errno.ENOSPC, only=WRITING, lasting=True):
            try:
                act(ctx, "the-write")
            except GitctxError as caught:
                error = caught
        _check(ctx, act, before, log, error)


def test_reading_with_a_failing_disk_never_calls_the_store_damaged(template: Path, tmp_path: Path) -> None:
    ctx = _fresh(template, tmp_path, "relaxed")
    with disk() as watched:
        Context(Store.open(ctx.store.path), actor="reader").get("plan/old.md")
    for number in range(len(watched.calls)):
        for code in (errno.EMFILE, errno.EACCES, errno.EIO):
            with disk(number, code):
                try:
                    Context(Store.open(ctx.store.path), actor="reader").get("plan/old.md")
                except StorageError as error:
                    assert error.code != "object_missing"  # noqa: PT017 - not raising is fine too
    assert_sound(ctx.store.path)
