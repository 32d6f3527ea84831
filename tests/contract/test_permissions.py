"""Stores that a user may not write, read or even reach. Root ignores permissions, so this runs as another user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import GitctxError, StorageError, StoreNotOwned, StoreReadOnly
from gitctx.repository.discovery import find_store
from gitctx.store import Store
from gitctx_testkit.unprivileged import NOBODY, as_nobody, git_trusts, give_to_nobody, let_through, open_folder

pytestmark = pytest.mark.unprivileged
HASTY = Config(durability="relaxed", retry=RetryPolicy(deadline_s=0.2), queue_patience_s=0.1)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Where `nobody` can go, too."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def owned(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the user `nobody`, with one entry."""
    Context(store, actor="planner").put("plan/a.md", "1")
    give_to_nobody(store.path)
    git_trusts(monkeypatch, tmp_path / "home", store.path)
    return store.path


def what_happens(function: Callable[[], object]) -> object:
    """What the user `nobody` gets: an answer, or an error of ours."""

    def run() -> object:
        try:
            return function()
        except GitctxError as error:
            return error

    return as_nobody(run)


def opened(path: Path) -> Context:
    return Context(Store.open(path, HASTY), actor="nobody")


def put(path: Path) -> Callable[[], object]:
    return lambda: opened(path).put("plan/a.md", "2").changed


def set_mode(path: Path, mode: int) -> None:
    for folder, _, files in os.walk(path):
        for name in files:
            os.chmod(os.path.join(folder, name), mode & 0o666)
        os.chmod(folder, mode)


def test_the_owner_may_do_everything(owned: Path) -> None:
    assert what_happens(put(owned)) is True
    assert what_happens(lambda: opened(owned).get("plan/a.md").text()) == "2"


def test_a_read_only_store_can_be_read_and_says_that_it_cannot_be_written(owned: Path) -> None:
    set_mode(owned, 0o555)
    try:
        assert what_happens(lambda: opened(owned).get("plan/a.md").text()) == "1"
        assert what_happens(lambda: len(list(opened(owned).log()))) == 2
        assert what_happens(lambda: opened(owned).verify().ok) is True
        for act in (
            put(owned),
            lambda: opened(owned).checkpoints.create("before"),
            lambda: opened(owned).put("plan/a.md", "2", id="one"),
        ):
            error = what_happens(act)
            assert isinstance(error, StoreReadOnly), repr(error)
            assert error.changed == "no"
            assert "owner" in error.hint
    finally:
        set_mode(owned, 0o755)


@pytest.mark.parametrize("part", ["objects", "refs/heads", "logs/refs/heads"])
def test_a_store_of_which_one_part_cannot_be_written_changes_nothing(owned: Path, part: str) -> None:
    set_mode(owned / part, 0o555)
    try:
        error = what_happens(put(owned))
        assert isinstance(error, StoreReadOnly), repr(error)
    finally:
        set_mode(owned / part, 0o755)
    assert what_happens(lambda: opened(owned).get("plan/a.md").text()) == "1"
    assert what_happens(put(owned)) is True


@pytest.mark.parametrize("part", ["gitctx/queue", "gitctx/cache"])
def test_working_files_that_cannot_be_written_stop_no_write(owned: Path, part: str) -> None:
    (owned / part).mkdir(exist_ok=True)
    os.chown(owned / part, NOBODY, NOBODY)
    set_mode(owned / part, 0o555)
    try:
        assert what_happens(put(owned)) is True
        assert what_happens(lambda: opened(owned).put("plan/b.md", "1", id="one").changed) is True
    finally:
        set_mode(owned / part, 0o755)


def test_a_store_that_cannot_be_reached_is_refused_with_what_to_do(owned: Path) -> None:
    os.chmod(owned, 0o000)
    try:
        for act in (
            lambda: opened(owned),
            lambda: find_store(owned) and opened(find_store(owned)),
            lambda: Store.open(owned / "deeper"),
            lambda: find_store(owned / "deeper"),
        ):
            error = what_happens(act)
            assert isinstance(error, StorageError), repr(error)
            assert error.hint
    finally:
        os.chmod(owned, 0o755)


def test_a_store_of_somebody_else_is_refused_with_the_setting_that_allows_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a store of somebody else")
    home = tmp_path / "home"
    git_trusts(monkeypatch, home, tmp_path / "another.git")
    let_through(store.path / "HEAD")
    error = what_happens(lambda: opened(store.path))
    assert isinstance(error, StoreNotOwned), repr(error)
    assert "safe.directory" in error.hint
    assert str(store.path) in error.hint


def test_a_place_where_nothing_can_be_made_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "locked"
    place.mkdir()
    if os.geteuid() == 0:
        let_through(place / "store.git")
    place.chmod(0o555)
    error = what_happens(lambda: Store.create(place / "store.git"))
    assert isinstance(error, StoreReadOnly), repr(error)
    assert list(place.iterdir()) == []
    place.chmod(0o755)
