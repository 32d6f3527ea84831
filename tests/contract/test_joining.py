"""A second machine joins with one command, and gets the same history: never an empty twin, never half a store."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from gitctx.errors import AlreadyExists, NotAStore, RemoteUnreachable
from gitctx.store import Store
from gitctx.sync.joining import Look, join, join_project, look_for_store
from gitctx_testkit.clones import Clones
from gitctx_testkit.git import git
from gitctx_testkit.processes import together

PATIENCE_S = 30.0


def test_who_joins_has_the_same_history_sessions_and_checkpoints(clones: Clones) -> None:
    one = clones.begin("one")
    one.ctx.put("a", "1")
    one.ctx.sessions.start(actor="one", agent="test").end()
    one.ctx.checkpoints.create("here")
    one.exchange()
    two = clones.join("two")
    assert two.refs() == one.refs()
    assert two.ctx.store.identity == one.ctx.store.identity
    assert not two.exchange().changed
    for name in ("core.fsync", "receive.denyDeletes", "core.logAllRefUpdates", "gc.auto"):
        assert git(two.path, "config", name) == git(one.path, "config", name)


def test_a_place_that_is_taken_is_left_alone(clones: Clones) -> None:
    one, two = clones.pair()
    head = two.head()
    one.ctx.put("a", "1")
    one.exchange()
    with pytest.raises(AlreadyExists):
        join(two.path, str(clones.hub.path), config=clones.config)
    assert two.head() == head


def test_what_holds_no_store_cant_be_joined_and_nothing_is_left(clones: Clones, project: Path) -> None:
    place = clones.folder / "new" / "store.git"
    with pytest.raises(NotAStore, match="holds no store"):
        join(place, str(clones.hub.path), config=clones.config)
    git(project, "push", "-q", str(clones.hub.path), "main:context", "main:sessions")
    with pytest.raises(NotAStore, match="wasn't made by gitctx"):
        join(place, str(clones.hub.path), config=clones.config)
    shutil.rmtree(clones.hub.path)
    with pytest.raises(RemoteUnreachable):
        join(place, str(clones.hub.path), config=clones.config)
    assert list(place.parent.iterdir()) == []


def test_of_two_joins_at_once_one_makes_the_store(clones: Clones) -> None:
    one, _ = clones.pair()
    place = clones.folder / "new" / "store.git"

    def try_it() -> str:
        try:
            join(place, str(clones.hub.path), config=clones.config)
        except AlreadyExists:
            return "there already"
        return "made"

    assert sorted(together([try_it, try_it])) == ["made", "there already"]
    assert Store.open(place).context.head() == one.head()
    assert [each.name for each in place.parent.iterdir()] == ["store.git"]


def test_all_remotes_of_a_project_are_asked_at_once_and_the_first_with_a_store_is_joined(
    clones: Clones, project: Path
) -> None:
    one, _ = clones.pair()
    git(project, "remote", "add", "another", str(clones.folder / "none.git"))
    git(project, "remote", "add", "origin", str(clones.hub.path))
    look = look_for_store(project)
    assert [held.remote for held in look.found] == ["origin"]
    assert look.silent.keys() == {"another"}
    place = project / ".git" / "gitctx" / "store.git"
    assert join_project(place, look, config=clones.config).remote == "origin"
    assert Store.open(place).context.head() == one.head()


def test_a_project_without_remotes_asks_nobody(project: Path, tmp_path: Path) -> None:
    assert look_for_store(project) == Look((), {})
    assert look_for_store(tmp_path) == Look((), {})


def test_a_remote_that_hangs_is_given_up_at_the_limit(clones: Clones, project: Path) -> None:
    clones.pair()
    script = clones.folder / "hang"
    script.write_text("#!/bin/sh\nsleep 60\n")
    script.chmod(0o755)
    git(project, "remote", "add", "hanging", str(clones.hub.path))
    git(project, "config", "remote.hanging.uploadpack", str(script))
    git(project, "remote", "add", "origin", str(clones.hub.path))
    began = time.monotonic()
    look = look_for_store(project, limit_s=1.0)
    assert time.monotonic() - began < PATIENCE_S
    assert [held.remote for held in look.found] == ["origin"]
    assert "1 s" in look.silent["hanging"]


def test_a_branch_of_a_project_that_happens_to_be_called_context_is_no_store(clones: Clones, project: Path) -> None:
    git(project, "remote", "add", "origin", str(clones.hub.path))
    git(project, "push", "-q", "origin", "main", "main:context")
    assert look_for_store(project) == Look([], {})
