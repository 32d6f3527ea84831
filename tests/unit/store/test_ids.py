"""The index of ids never says anything that history doesn't."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx.store.ids import IdIndex
from gitctx_testkit.git import git


@pytest.fixture
def index(store: Store) -> IdIndex:
    return IdIndex(store.repository, "context")


def index_file(store: Store) -> Path:
    return store.path / "gitctx/cache/ids-context.sqlite"


def forget(store: Store) -> None:
    for path in index_file(store).parent.glob("ids-context.sqlite*"):
        path.unlink()


def test_an_id_is_found_from_its_commit_on_and_not_before(ctx: Context, index: IdIndex) -> None:
    before = ctx.head
    written = ctx.put("a", "1", id="one")
    later = ctx.put("a", "2").revision
    assert index.find("one", before) is None
    assert index.find("one", written.revision) == written.revision
    assert index.find("one", later) == written.revision
    assert index.find("one", before) is None, "what is known of a later head counts for an earlier one"
    assert index.find("two", later) is None


def test_the_index_takes_in_what_came_since(store: Store, ctx: Context, index: IdIndex) -> None:
    for number in range(3):
        written = ctx.put("a", f"{number}", id=f"id-{number}")
        assert IdIndex(store.repository, "context").find(f"id-{number}", ctx.head) == written.revision
    assert index.find("id-0", ctx.head) is not None


def test_only_what_is_new_is_walked(ctx: Context, index: IdIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        ctx.put("a", f"{number}")
    index.find("none", ctx.head)
    ctx.put("a", "last", id="last")
    walked = 0
    walk = IdIndex._walk

    def counting(self: IdIndex, head: str, known: str | None) -> object:
        nonlocal walked
        for row in walk(self, head, known):
            walked += 1
            yield row

    monkeypatch.setattr(IdIndex, "_walk", counting)
    assert index.find("last", ctx.head) is not None
    assert walked <= 1
    index.find("last", ctx.head)
    assert walked <= 1


@pytest.mark.parametrize("content", [b"", b"garbage" * 999, b"SQLite format 3\0" + b"\0" * 2000])
def test_an_index_that_cannot_be_used_is_done_without(
    store: Store, ctx: Context, index: IdIndex, content: bytes
) -> None:
    written = ctx.put("a", "1", id="one")
    forget(store)
    index_file(store).parent.mkdir(parents=True, exist_ok=True)
    index_file(store).write_bytes(content)
    assert index.find("one", ctx.head) == written.revision
    assert index.find("two", ctx.head) is None


def test_an_index_whose_row_names_a_commit_outside_history_is_not_believed(
    store: Store, ctx: Context, index: IdIndex
) -> None:
    ctx.put("a", "1", id="one")
    index.find("one", ctx.head)
    stray = git(store.path, "commit-tree", "-m", "stray", "context^{tree}")
    with closing(sqlite3.connect(index_file(store), isolation_level=None)) as raw:
        raw.execute("insert or replace into ids values ('two', ?)", (stray,))
        raw.execute("insert or replace into ids values ('three', ?)", ("0" * 40,))
    assert index.find("two", ctx.head) is None
    assert index.find("three", ctx.head) is None


def test_an_index_that_knows_a_head_of_another_history_starts_anew(store: Store, ctx: Context, index: IdIndex) -> None:
    first = ctx.put("a", "1", id="one")
    other = git(store.path, "commit-tree", "-p", first.revision, "-m", "x\n\nGitctx-Id: two", "context^{tree}")
    mine = ctx.put("a", "2", id="three")
    assert index.find("two", other) == other
    assert index.find("three", other) is None
    assert index.find("three", mine.revision) == mine.revision
    assert index.find("two", mine.revision) is None
    assert index.find("one", mine.revision) == first.revision


def test_a_locked_index_only_costs_the_walk(store: Store, ctx: Context, index: IdIndex) -> None:
    written = ctx.put("a", "1", id="one")
    forget(store)
    index_file(store).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(index_file(store), isolation_level=None)) as other:
        other.execute("begin exclusive")
        assert index.find("one", ctx.head) == written.revision


def test_threads_that_build_the_index_together_all_find_the_id(store: Store, ctx: Context) -> None:
    written = ctx.put("a", "1", id="one")
    for number in range(20):
        ctx.put("a", f"{number}")
    forget(store)
    head = ctx.head
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: IdIndex(store.repository, "context").find("one", head), range(16)))
    assert set(found) == {written.revision}
