"""Loose objects that a power loss cut off: other clients leave them, and a relaxed push isn't synced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.errors import ObjectMissing
from gitctx.store import Store
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children

CUTS: list[Callable[[int], int]] = [
    lambda size: 0,
    lambda size: 1,
    lambda size: 2,
    lambda size: size // 2,
    lambda size: size - 1,
]


def loose_file(store: Path, oid: str) -> Path:
    return store / "objects" / oid[:2] / oid[2:]


def cut(path: Path, size: int) -> None:
    path.chmod(0o644)
    os.truncate(path, size)


def in_time(work: Callable[[], object]) -> object:
    """Run it in a process of its own: what hangs with the interpreter's lock held can't be timed out otherwise."""

    def run(_: Talk) -> object:
        return work()

    with children(run) as (child,):
        return child.result(20)


def pushed(store: Store, value: str) -> list[str]:
    """A commit of plain git on the head, all of it loose and none of it synced; its objects, the commit first."""
    path = store.path
    blob = git(path, "hash-object", "-w", "--stdin", stdin=value)
    before = git(path, "ls-tree", "context")
    tree = git(path, "mktree", stdin=f"{before}\n100644 blob {blob}\tpushed\n")
    commit = git(path, "commit-tree", tree, "-p", store.context.head(), "-m", "by hand")
    return [commit, tree, blob]


@pytest.mark.parametrize("share", CUTS)
def test_a_torn_object_is_an_error_and_never_a_wait(ctx: Context, share: Callable[[int], int]) -> None:
    path = ctx.store.path
    oid = git(path, "hash-object", "-w", "--stdin", stdin="torn " * 100)
    file = loose_file(path, oid)
    cut(file, share(file.stat().st_size))

    def read() -> str:
        try:
            ctx.store.repository.read(oid)
        except ObjectMissing as error:
            return error.code
        return "read"

    assert in_time(read) == ObjectMissing.code
    file.unlink()


@pytest.mark.parametrize("torn", [0, 1, 2])
@pytest.mark.parametrize("share", CUTS[1:])
def test_a_head_that_was_lost_with_the_power_and_lies_there_torn_stops_nobody(
    ctx: Context, torn: int, share: Callable[[int], int]
) -> None:
    """The branch is back at the last durable head; reflog and queue still name a commit after it that is torn."""
    ctx.put("kept", "x")
    store, head = ctx.store, ctx.head
    objects = pushed(store, "lost")
    git(store.path, "update-ref", "refs/heads/context", objects[0])
    ctx.put("on-top", "y")
    git(store.path, "update-ref", "refs/heads/context", head)
    top = [line.split()[1] for line in (store.path / "logs/refs/heads/context").read_text().splitlines()][-2]
    assert git(store.path, "cat-file", "-t", top) == "commit"
    file = loose_file(store.path, objects[torn])
    cut(file, share(file.stat().st_size))

    def write() -> list[str]:
        fresh = Context(Store.open(store.path), actor="survivor")
        fresh.put("after", "z")
        return [info.key for info in fresh.list()]

    keys = in_time(write)
    assert isinstance(keys, list)
    assert {"kept", "after"} <= set(keys)
    file.unlink()


def test_an_object_that_is_loose_and_whole_is_read_by_us(ctx: Context) -> None:
    for kind, data in (("blob", b""), ("blob", b"x" * 100_000), ("tree", b"")):
        oid = git(ctx.store.path, "hash-object", "-t", kind, "-w", "--stdin", stdin=data.decode())
        assert ctx.store.repository.read(oid) == (kind, data)
