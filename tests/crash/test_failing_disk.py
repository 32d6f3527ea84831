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
from gitctx.store.verify import verify
from gitctx.values import Durability, Written
from gitctx_testkit.audit import assert_sound, head_of, ids_in_history, outcome_of, reflog_lines
from gitctx_testkit.faults import WRITING, disk
from gitctx_testkit.git import git

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


def _quiet(path: Path) -> None:
    """Only gitctx has written."""


def _pushed(path: Path) -> None:
    """Another git client has moved the head."""
    commit = git(path, "commit-tree", "-p", "context", "-m", "foreign", "context^{tree}")
    git(path, "update-ref", "refs/heads/context", commit)


def _forced_back(path: Path) -> None:
    """An acknowledged write was thrown off by force."""
    git(path, "update-ref", "refs/heads/context", "context~1")


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("templates")
    made = {}
    for prepare in (_quiet, _pushed, _forced_back):
        store = Store.create(folder / f"{prepare.__name__}.git")
        ctx = Context(store, actor="planner")
        ctx.put("plan/old.md", "old")
        ctx.put("plan/older.md", "older")
        prepare(store.path)
        made[prepare.__name__] = store.path
    return made


def _fresh(template: Path, folder: Path, durability: Durability) -> Context:
    path = folder / "store.git"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(template, path)
    return Context(Store.open(path, Config(durability=durability)), actor="planner")


def _calls(template: Path, folder: Path, act: Act, durability: Durability, only: frozenset[str] | None) -> int:
    for _ in range(2):  # once so that every module is imported
        ctx = _fresh(template, folder, durability)
        with disk(only=only) as watched:
            act(ctx, "the-write")
    return len(watched.calls)


def _check(ctx: Context, act: Act, before: str, log: list[bytes], error: GitctxError | None) -> None:
    """What holds after an attempt that failed (or not) with this error."""
    path = ctx.store.path
    head = head_of(path)
    if error is None:
        assert ids_in_history(path)[0] == "the-write"
    elif outcome_of(error) == "no":
        assert "the-write" not in ids_in_history(path)
        assert isinstance(error, StorageError)
    else:
        assert isinstance(error, OutcomeUnknown)
        assert error.id == "the-write", "the caller couldn't repeat it"
        assert head != before, "unknown only when the ref may have moved"
    if head == before:
        assert reflog_lines(path) == log, "the reflog tells of a write that didn't happen"
    other = Context(Store.open(path, Config(durability="relaxed")), actor="coder-1")
    other.put("plan/after.md", "the store works at once")
    assert other.get("plan/older.md").text() == "older"
    act(other, "the-write")
    assert ids_in_history(path).count("the-write") == 1
    assert verify(other.store, full=True).problems == ()


@pytest.mark.parametrize(
    ("state", "act", "durability"),
    [
        ("_quiet", put_one, "relaxed"),
        ("_quiet", put_many, "durable"),
        ("_pushed", put_one, "durable"),
        ("_pushed", put_many, "relaxed"),
        ("_forced_back", put_one, "durable"),
    ],
)
def test_one_call_that_fails_never_loses_or_invents_a_write(
    templates: dict[str, Path], tmp_path: Path, state: str, act: Act, durability: Durability
) -> None:
    calls = _calls(templates[state], tmp_path, act, durability, None)
    before, log = head_of(templates[state]), reflog_lines(templates[state])
    refused = 0
    assert calls > 25
    for number in range(calls):
        code = ERRNOS[number % len(ERRNOS)]
        ctx = _fresh(templates[state], tmp_path, durability)
        error: GitctxError | None = None
        with disk(number, code) as watched:
            try:
                act(ctx, "the-write")
            except GitctxError as caught:
                error = caught
        refused += bool(watched.refused)
        if code == errno.ENOSPC and isinstance(error, StorageError):
            assert isinstance(error, DiskFull) or state == "_forced_back", f"{watched.refused} gave {error!r}"
        _check(ctx, act, before, log, error)
    assert refused > calls - 10, "how many calls a write makes varies only by the folders that it finds"


@pytest.mark.parametrize("act", [put_one, put_many])
def test_a_disk_that_is_full_from_any_moment_on_never_loses_or_invents_a_write(
    templates: dict[str, Path], tmp_path: Path, act: Act
) -> None:
    calls = _calls(templates["_quiet"], tmp_path, act, "durable", WRITING)
    before, log = head_of(templates["_quiet"]), reflog_lines(templates["_quiet"])
    for number in range(calls):
        ctx = _fresh(templates["_quiet"], tmp_path, "durable")
        error: GitctxError | None = None
        with disk(number, errno.ENOSPC, only=WRITING, lasting=True):
            try:
                act(ctx, "the-write")
            except GitctxError as caught:
                error = caught
        _check(ctx, act, before, log, error)


def test_a_disk_that_dies_at_any_moment_never_gives_a_wrong_answer(templates: dict[str, Path], tmp_path: Path) -> None:
    """Nothing can be undone on it either: a reflog line may stay behind, but no more than that."""
    calls = _calls(templates["_quiet"], tmp_path, put_many, "durable", None)
    before = head_of(templates["_quiet"])
    for number in range(calls):
        ctx = _fresh(templates["_quiet"], tmp_path, "durable")
        error: GitctxError | None = None
        with disk(number, errno.EIO, lasting=True):
            try:
                put_many(ctx, "the-write")
            except GitctxError as caught:
                error = caught
        _check(ctx, put_many, before, reflog_lines(ctx.store.path), error)


def test_reading_with_a_failing_disk_never_calls_the_store_damaged(templates: dict[str, Path], tmp_path: Path) -> None:
    path = _fresh(templates["_quiet"], tmp_path, "relaxed").store.path
    for _ in range(2):
        with disk() as watched:
            Context(Store.open(path), actor="reader").get("plan/old.md")
    for number in range(len(watched.calls)):
        for code in (errno.EMFILE, errno.EACCES, errno.EIO):
            with disk(number, code):
                try:
                    Context(Store.open(path), actor="reader").get("plan/old.md")
                except StorageError as error:
                    assert error.code != "object_missing"  # noqa: PT017 - not raising is fine too
    assert_sound(path)
