"""What plain git says about a store: the second opinion that every acknowledgement is held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gitctx.errors import GitctxError
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.git import git


def head_of(store: Path, branch: str = "context") -> str:
    """The revision that a branch points at."""
    return git(store, "rev-parse", f"refs/heads/{branch}")


def ids_in_history(store: Path, start: str = "refs/heads/context") -> list[str]:
    """Every `Gitctx-Id` in a history, newest first."""
    found = git(store, "log", "--format=%(trailers:key=Gitctx-Id,valueonly,separator=%x2C)", start)
    return [line for line in found.splitlines() if line]


def assert_written_once(store: Path, acknowledged: Iterable[str]) -> None:
    """Each acknowledged id is on exactly one commit of the history."""
    counts = Counter(ids_in_history(store))
    lost = [id for id in acknowledged if counts[id] == 0]
    twice = [id for id in acknowledged if counts[id] > 1]
    assert not lost, f"{len(lost)} acknowledged writes are lost: {lost[:5]}"
    assert not twice, f"{len(twice)} writes happened twice: {twice[:5]}"


def assert_sound(path: Path) -> None:
    """A fresh look finds no problem in the store, and git agrees."""
    store = Store.open(path)
    verification = verify(store, full=True)
    assert verification.problems == ()
    with store.repository.without_compaction():
        git(path, "fsck", "--full", "--strict", "--no-dangling")


def reflog_lines(path: Path, ref: str = "refs/heads/context") -> list[bytes]:
    """The raw lines of a ref's reflog."""
    log = path / "logs" / ref
    return log.read_bytes().splitlines(keepends=True) if log.exists() else []


def outcome_of(error: BaseException) -> str:
    """`changed` of an error of ours; fails the test for any other error."""
    if isinstance(error, GitctxError):
        return error.changed
    raise AssertionError(f"an error that isn't ours got out: {error!r}") from error
