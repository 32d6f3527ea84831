"""The remotes of a store, in its git configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitctx.errors import AlreadyExists, InvalidName, RemoteNotFound
from gitctx.repository.remotes import Remotes, is_local, tracking
from gitctx.store import Store
from gitctx.values import Remote
from gitctx_testkit.git import git


@pytest.fixture
def remotes(store: Store) -> Remotes:
    return Remotes(store.repository)


def test_remotes_are_those_of_plain_git(store: Store, remotes: Remotes) -> None:
    assert remotes.list() == []
    remotes.add("origin", "/somewhere/x.git")
    git(store.path, "remote", "add", "Another.one", "ssh://host/x.git")
    assert remotes.list() == [Remote("Another.one", "ssh://host/x.git", ""), Remote("origin", "/somewhere/x.git", "")]
    assert git(store.path, "remote", "get-url", "origin") == "/somewhere/x.git"
    remotes.remove("Another.one")
    assert git(store.path, "remote") == "origin"


def test_what_is_fetched_follows_from_the_place_and_may_be_placed_again(store: Store, remotes: Remotes) -> None:
    remotes.add("origin", "x.git")
    assert git(store.path, "config", "--get-all", "remote.origin.fetch", check=False) == ""
    for namespace in ("refs/", "refs/gitctx/", "refs/gitctx/"):
        assert remotes.place("origin", namespace).namespace == namespace
        assert git(store.path, "config", "--get-all", "remote.origin.fetch").splitlines() == [
            f"+{namespace}heads/*:refs/gitctx/remotes/origin/heads/*",
            f"+{namespace}tags/*:refs/gitctx/remotes/origin/tags/*",
        ]
    assert git(store.path, "config", "remote.origin.tagOpt") == "--no-tags"


def test_a_remote_that_is_removed_leaves_nothing_behind(store: Store, remotes: Remotes) -> None:
    for name in ("origin", "origin2"):
        remotes.add(name, "x.git", namespace="refs/")
        git(store.path, "update-ref", f"{tracking(name)}heads/context", "context")
    assert remotes.remove("origin").name == "origin"
    assert [each.name for each in remotes.list()] == ["origin2"]
    kept = git(store.path, "for-each-ref", "--format=%(refname)", "refs/gitctx/remotes").splitlines()
    assert kept == ["refs/gitctx/remotes/origin2/heads/context"]
    with pytest.raises(RemoteNotFound, match="there are origin2"):
        remotes.remove("origin")


@pytest.mark.parametrize(
    "name", ["", "-x", ".x", "a b", "a/b", "a.lock", "a..b", "a.", "pause", "resume", "ü", "a" * 101]
)
def test_a_name_that_git_or_the_command_couldnt_take_is_refused(remotes: Remotes, name: str) -> None:
    with pytest.raises(InvalidName):
        remotes.add(name, "x.git")
    assert remotes.list() == []


@pytest.mark.parametrize("url", ["", "-x", "--upload-pack=touch x", "a\nb", "a\x00b"])
def test_a_url_that_git_couldnt_take_is_refused(remotes: Remotes, url: str) -> None:
    with pytest.raises(InvalidName):
        remotes.add("origin", url)


def test_a_name_that_is_taken_is_refused_and_stays_what_it_was(remotes: Remotes) -> None:
    remotes.add("origin", "x.git")
    with pytest.raises(AlreadyExists):
        remotes.add("origin", "y.git")
    assert remotes.get("origin").url == "x.git"
    with pytest.raises(RemoteNotFound):
        remotes.get("Origin")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("x.git", True),
        ("/a/b:c.git", True),
        ("./host:x", True),
        ("host:x.git", False),
        ("me@host:x.git", False),
        ("ssh://host/x", False),
        ("file:///x", False),
        ("https://host/x", False),
    ],
)
def test_a_path_of_this_machine_is_told_from_a_url(url: str, local: bool) -> None:
    assert is_local(url) == local


def test_a_path_with_a_colon_that_is_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").mkdir()
    assert is_local("a:b")
