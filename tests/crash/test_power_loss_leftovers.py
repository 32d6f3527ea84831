"""After a power loss the head is whole, but parts of unsynced writes that came after it lie around: writes go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.audit import head_of
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children

RELAXED = Config(durability="relaxed")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A fresh store that isn't verified when the test ends: to git, what is left of a lost write is damage."""
    return Store.create(tmp_path / "store.git")


def lose(store: Store, head: str) -> None:
    """The branch is at an old head again, as if it had never moved. Reflog and working files have survived."""
    (store.path / "refs" / "heads" / "context").write_text(f"{head}\n")


def loose(store: Store, oid: str) -> Path:
    return store.path / "objects" / oid[:2] / oid[2:]


def write_by_hand(store: Store, number: int) -> str:
    """Another git's commit of one more file, all in loose objects."""
    blob = git(store.path, "hash-object", "-w", "--stdin", stdin=f"by hand {number}")
    entries = git(store.path, "ls-tree", "context")
    tree = git(store.path, "mktree", stdin=f"{entries}\n100644 blob {blob}\tby-hand-{number}.md\n")
    commit = git(store.path, "commit-tree", "-p", "context", "-m", "by hand", tree)
    git(store.path, "update-ref", "refs/heads/context", commit)
    return commit


def put_in_time(store: Store) -> None:
    """A write that has to come back, in a process that can be killed if it doesn't."""

    def write(_: Talk) -> None:
        Context(Store.open(store.path), actor="survivor").put("after/the-crash.md", "still writing")

    with children(write) as (child,):
        child.result(10)


@pytest.mark.parametrize("cut", [0, 10, 0.5])
def test_a_torn_commit_that_the_reflog_names(store: Store, ctx: Context, cut: float) -> None:
    head = ctx.put("plan/a.md", "1").revision
    lost = loose(store, write_by_hand(store, 1))
    write_by_hand(store, 2)
    lose(store, head)
    whole = lost.read_bytes()
    lost.chmod(0o644)
    lost.write_bytes(whole[: int(cut * len(whole)) if cut < 1 else int(cut)])
    put_in_time(store)
    assert git(store.path, "rev-parse", "context~1") == head


def test_a_commit_whose_tree_is_lost(store: Store, ctx: Context) -> None:
    head = ctx.put("plan/a.md", "1").revision
    lost = write_by_hand(store, 1)
    write_by_hand(store, 2)
    lose(store, head)
    loose(store, git(store.path, "rev-parse", f"{lost}^{{tree}}")).unlink()
    put_in_time(store)
    assert git(store.path, "rev-parse", "context~1") == head


def test_a_relaxed_write_whose_parent_is_lost(store: Store, ctx: Context) -> None:
    head = ctx.put("plan/a.md", "1").revision
    packs = store.path / "objects" / "pack"
    before = set(packs.iterdir())
    relaxed = Context(Store.open(store.path, RELAXED), actor="coder-1")
    relaxed.put("plan/b.md", "1")
    lost = set(packs.iterdir()) - before
    relaxed.put("plan/b.md", "2")
    assert {path.suffix for path in lost} == {".pack", ".idx"}
    lose(store, head)
    for path in lost:
        path.unlink()
    put_in_time(store)
    assert head_of(store.path) != head
    git(store.path, "rev-list", "--objects", "context")
