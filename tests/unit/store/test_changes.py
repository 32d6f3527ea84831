"""Changes are told by the revision and the writer that made them, through merges too; by far, as a difference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitctx.context import Context
from gitctx.errors import RevisionNotFound
from gitctx.store import Store, changes
from gitctx.values import Revision, WatchedChange
from gitctx_testkit.git import git

CONTEXT = "refs/heads/context"


def told(found: Sequence[WatchedChange]) -> list[tuple[str, str, str]]:
    return [(change.revision, change.kind, change.key) for change in found]


def test_each_change_is_told_with_revision_key_kind_etag_and_writer(store: Store, ctx: Context) -> None:
    since = ctx.head
    session = ctx.sessions.start(actor="coder-1", hold=False)
    first = Context(store, actor="coder-1", session=session.id).put("plan/a", "1")
    with ctx.batch() as batch:
        batch.put("plan/b", "2")
        batch.put("plan/a", "3")
    second = batch.written
    assert second is not None
    third = ctx.remove("plan/b")
    found = list(ctx.changes(since=since))
    assert found == [
        WatchedChange(first.revision, "plan/a", "added", None, first.etag, "coder-1", session.id, True),
        WatchedChange(second.revision, "plan/a", "changed", first.etag, found[1].etag, "planner", None, False),
        WatchedChange(second.revision, "plan/b", "added", None, found[2].etag, "planner", None, True),
        WatchedChange(third.revision, "plan/b", "removed", found[2].etag, None, "planner", None, True),
    ]
    assert list(ctx.changes(since=second.revision)) == found[3:]
    assert list(ctx.changes()) == found
    assert list(ctx.changes(since="head")) == []


def test_a_prefix_leaves_out_the_rest_and_the_last_of_a_revision_is_the_last_that_is_told(ctx: Context) -> None:
    since = ctx.head
    with ctx.batch() as batch:
        batch.put("plan/a", "1")
        batch.put("status/x", "2")
    ctx.put("status/y", "3")
    found = list(ctx.changes("plan/", since=since))
    assert [(change.key, change.last_of_revision) for change in found] == [("plan/a", True)]


def test_entries_of_gitctx_itself_are_told_only_to_who_asks_for_them(ctx: Context) -> None:
    since = ctx.head
    ctx.claims.claim("deploy")
    ctx.put("a", "1")
    assert [change.key for change in ctx.changes(since=since)] == ["a"]
    assert [change.key for change in ctx.changes(".gitctx/", since=since)] == [".gitctx/claims/deploy"]
    assert len(list(ctx.changes(".gitctx/claims", since=since))) == 1


def test_what_a_session_wrote_can_be_left_out_without_a_wrong_last_line(store: Store, ctx: Context) -> None:
    session = ctx.sessions.start(actor="coder-1", hold=False).id
    since = ctx.head
    Context(store, actor="coder-1", session=session).put("a", "1")
    ctx.put("b", "2")
    found = list(ctx.changes(since=since, exclude_session=session))
    assert [(change.key, change.last_of_revision) for change in found] == [("b", True)]


def forced(ctx: Context, revision: str) -> None:
    git(ctx.store.path, "update-ref", CONTEXT, revision)


def test_a_merge_tells_who_wrote_what_it_brought(store: Store, ctx: Context) -> None:
    """A rejoin has the head as first parent and what was thrown off as second."""
    base = ctx.put("a", "1").revision
    lost = Context(store, actor="coder-2").put("thrown/off", "2").revision
    forced(ctx, base)
    kept = ctx.put("kept", "3")
    merge = Revision(git(store.path, "rev-parse", f"{kept.revision}^"))
    assert git(store.path, "log", "-1", "--format=%P", merge) == f"{base} {lost}"
    found = list(ctx.changes(since=base))
    assert told(found) == [(merge, "added", "thrown/off"), (kept.revision, "added", "kept")]
    assert [change.actor for change in found] == ["coder-2", "planner"]


def test_a_revision_that_only_a_second_parent_leads_to_is_gone_on_from(store: Store, ctx: Context) -> None:
    """What another machine merged has that machine's history first."""
    base = ctx.put("a", "1").revision
    theirs = Context(store, actor="coder-2").put("theirs", "2").revision
    other = Context(store, actor="coder-2").put("theirs", "3").revision
    forced(ctx, base)
    mine = git(store.path, "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "by hand")
    merge = git(store.path, "commit-tree", f"{other}^{{tree}}", "-p", other, "-p", mine, "-m", "merge")
    forced(ctx, merge)
    last = git(store.path, "commit-tree", f"{base}^{{tree}}", "-p", merge, "-m", "taken back")
    forced(ctx, last)
    found = list(ctx.changes(since=mine))
    assert told(found) == [(merge, "added", "theirs"), (last, "removed", "theirs")]
    assert [change.actor for change in found] == ["coder-2", "somebody"]
    assert told(list(ctx.changes(since=base))) == [
        (theirs, "added", "theirs"),
        (other, "changed", "theirs"),
        (last, "removed", "theirs"),
    ], "first parents are preferred"
    ctx.put("later", "1")


def test_a_head_that_was_forced_back_is_told_as_the_difference(store: Store, ctx: Context) -> None:
    base = ctx.put("a", "1").revision
    gone = ctx.put("a", "2").revision
    ctx.put("b", "3")
    forced(ctx, base)
    assert told(list(ctx.changes(since=gone))) == [(base, "changed", "a")]
    ctx.put("later", "1")
    assert [change.key for change in ctx.changes(since=gone)] == ["b", "later"], "all was brought back"


def test_of_too_many_revisions_only_the_difference_is_told(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    since = ctx.head
    for number in range(5):
        ctx.put("a", f"{number}")
    ctx.put("b", "1")
    few = changes.Changes(ctx.store.repository, most_revisions=5)
    assert [told(step.changes) for step in few.between(since, ctx.head)] == [
        [(ctx.head, "added", "a"), (ctx.head, "added", "b")]
    ]
    enough = changes.Changes(ctx.store.repository, most_revisions=6)
    assert len(list(enough.between(since, ctx.head))) == 6


def test_far_away_git_finds_the_way(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_NEAR", 2)
    since = ctx.head
    made = [ctx.put("a", f"{number}").revision for number in range(6)]
    assert [change.revision for change in ctx.changes(since=since)] == made


def test_a_revision_that_is_gone_is_an_error_that_says_how_to_begin_anew(ctx: Context) -> None:
    with pytest.raises(RevisionNotFound) as caught:
        list(ctx.changes(since="1" * 40))
    assert "go on from the head" in caught.value.hint


def test_since_a_checkpoint_is_since_where_it_was_taken(ctx: Context) -> None:
    ctx.put("a", "1")
    ctx.checkpoints.create("mark")
    made = [ctx.put("a", "2").revision, ctx.put("a", "3").revision]
    assert [change.revision for change in ctx.changes(since="mark")] == made
