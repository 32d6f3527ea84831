"""Which write a value comes from, whether few keys are asked for or many."""

from __future__ import annotations

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx.store.origins import find_origins
from gitctx_testkit.clones import Clones
from gitctx_testkit.git import git

MANY = tuple(f"many/{number}" for number in range(20))
"""More keys than are looked up one by one."""


@pytest.fixture(params=[(), MANY], ids=["few", "many"])
def others(request: pytest.FixtureRequest, ctx: Context) -> tuple[str, ...]:
    """Keys that are asked for as well."""
    others: tuple[str, ...] = request.param
    if others:
        with ctx.batch() as batch:
            for key in others:
                batch.put(key, "other")
    return others


def origin(
    store: Store, key: str, others: tuple[str, ...], *, head: str | None = None, hide: tuple[str, ...] = ()
) -> str:
    return find_origins(store.repository, head or store.context.head(), hide, [key, *others])[key].revision


def test_a_value_comes_from_its_last_write(store: Store, ctx: Context, others: tuple[str, ...]) -> None:
    ctx.put("a/b", "1")
    written = ctx.put("a/b", "2")
    ctx.put("a/c", "3")
    found = find_origins(store.repository, store.context.head(), (), ["a/b", *others])["a/b"]
    assert (found.revision, found.id, found.actor, found.session) == (written.revision, written.id, "planner", None)


def test_a_value_that_came_back_comes_from_the_write_that_brought_it_back(
    store: Store, ctx: Context, others: tuple[str, ...]
) -> None:
    ctx.put("a", "1")
    ctx.put("a", "2")
    back = ctx.put("a", "1")
    ctx.put("b", "x")
    assert origin(store, "a", others) == back.revision


def test_a_removal_comes_from_the_write_that_removed(store: Store, ctx: Context, others: tuple[str, ...]) -> None:
    ctx.put("a/b/c", "1")
    removed = ctx.remove("a/b/c")
    ctx.put("b", "x")
    assert origin(store, "a/b/c", others) == removed.revision


def test_what_nobody_touched_there_comes_from_the_head(store: Store, ctx: Context, others: tuple[str, ...]) -> None:
    before = ctx.put("a", "1").revision
    head = ctx.put("b", "x").revision
    assert origin(store, "a", others, hide=(before,)) == head


def test_an_entry_of_a_wide_folder_is_found_too(store: Store, ctx: Context, others: tuple[str, ...]) -> None:
    with ctx.batch() as batch:
        for number in range(300):
            batch.put(f"wide/{number}", "1")
    written = ctx.put("wide/7", "2")
    ctx.put("wide/8", "2")
    ctx.put("b", "x")
    assert origin(store, "wide/7", others) == written.revision


def test_a_merge_counts_only_where_it_holds_what_no_parent_holds(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.configure("strategies.lines/", "merge")
    with one.ctx.batch() as batch:
        for key in (*MANY, "lines/a"):
            batch.put(key, "1\n2\n3\n")
    clones.settle()
    one.ctx.put("lines/a", "one\n2\n3\n")
    written = two.ctx.put("taken", "x")
    two.ctx.put("lines/a", "1\n2\nthree\n")
    one.exchange()
    merged = two.exchange().branch("context").merged
    assert merged is not None
    for others in ((), MANY):
        assert origin(two.ctx.store, "lines/a", others) == merged
        assert origin(two.ctx.store, "taken", others) == written.revision


def test_a_commit_of_plain_git_has_its_own_id_as_its_writes(store: Store, ctx: Context) -> None:
    ctx.put("a", "1")
    tree = git(store.path, "rev-parse", "context~1^{tree}")
    commit = git(store.path, "commit-tree", tree, "-p", "context", "-m", "by hand")
    found = find_origins(store.repository, commit, (), ["a"])["a"]
    assert (found.revision, found.id, found.actor) == (commit, commit, "somebody")
