"""What a checkpoint promises: a name that never moves, git's own view of it, and a restore that is a new write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import (
    AlreadyExists,
    CheckpointNotFound,
    EntryNotFound,
    IdReused,
    InvalidInput,
    InvalidName,
    LockTimeout,
    OutcomeUnknown,
    PreconditionFailed,
    RevisionNotFound,
)
from gitctx.repository import refs
from gitctx.store import Store
from gitctx.store.edits import Put, Remove
from gitctx_testkit.audit import head_of
from gitctx_testkit.git import git


def content(ctx: Context) -> dict[str, str]:
    return {info.key: ctx.get(info.key).text() for info in ctx.list()}


def reopened(store: Store, **config: Any) -> Context:
    return Context(Store.open(store.path, Config(**config)), actor="coder-1")


@pytest.fixture
def marked(ctx: Context) -> Context:
    """A context with a checkpoint `mark` and changes since."""
    ctx.apply([Put("plan/a", b"1"), Put("plan/b", b"1"), Put("other/c", b"1")])
    ctx.checkpoints.create("mark", message="risky")
    ctx.apply([Put("plan/a", b"2"), Remove("plan/b"), Put("plan/new", b"2"), Put("other/c", b"2")])
    return ctx


# -- names ------------------------------------------------------------------------------------------------------------

ALLOWED = ("before-refactor", "v1.0", "a/b/c", "ü", "x" * 200, "abc", "beefy", "HEAD1", "a@b", "@a", "{x}", "a'b", "+")
REFUSED = (
    *("", "HEAD", "head", "Context", "sessions", "refs/tags/x", "beef", "BEEF", "0" * 40, "abcdef12"),
    *("-x", ".x", "/x", "x/", "x.", "x.lock", "a.lock/b", "a..b", "a//b", "a/.b", "@", "a@{1}"),
    *("a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a\nb", "a\x7fb", "x" * 201, "u\u0308"),
)


def test_names_that_git_and_people_can_use_are_accepted(store: Store, ctx: Context) -> None:
    for name in ALLOWED:
        ctx.checkpoints.create(name)
    assert sorted(git(store.path, "-c", "core.quotePath=off", "tag", "-l").splitlines()) == sorted(ALLOWED)
    assert {checkpoint.name for checkpoint in ctx.checkpoints.list()} == set(ALLOWED)
    for name in ALLOWED:
        assert store.resolve(name) == ctx.checkpoints.show(name).commit


def test_names_that_git_refuses_or_that_mean_something_else_are_refused(store: Store, ctx: Context) -> None:
    names: list[Any] = [*REFUSED, 7, None]
    for name in names:
        for act in (ctx.checkpoints.create, ctx.checkpoints.show, ctx.checkpoints.delete, ctx.checkpoints.restore):
            with pytest.raises(InvalidName):
                act(name)
    assert git(store.path, "tag", "-l") == ""


def test_a_name_and_a_folder_of_that_name_cannot_stand_side_by_side(store: Store, ctx: Context) -> None:
    ctx.checkpoints.create("release/one")
    for name in ("release", "release/one/fix"):
        with pytest.raises(InvalidName):
            ctx.checkpoints.create(name)
    ctx.checkpoints.create("release/two")
    ctx.checkpoints.create("release-two")
    git(store.path, "pack-refs", "--all")
    with pytest.raises(InvalidName):
        ctx.checkpoints.create("release")
    ctx.checkpoints.delete("release/one")
    ctx.checkpoints.delete("release/two")
    ctx.checkpoints.create("release")


# -- creating ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_says_what_when_why_and_by_whom(store: Store) -> None:
    now = datetime(2026, 11, 3, 10, 0, 7, tzinfo=UTC)
    ctx = Context(Store.open(store.path, Config(clock=lambda: now)), actor="planner")
    revision = ctx.put("a", "1").revision
    made = ctx.checkpoints.create("mark", message="risky\n\nwith a second paragraph")
    assert made == ctx.checkpoints.show("mark")
    assert (made.name, made.revision, made.created_at, made.actor) == ("mark", revision, now, "planner")
    assert made.message == "risky\n\nwith a second paragraph"
    assert made.session is None
    assert ctx.checkpoints.create("silent").message == ""


def test_a_checkpoint_is_of_an_earlier_revision_if_told_so(ctx: Context) -> None:
    old = ctx.put("a", "1").revision
    ctx.put("a", "2")
    assert ctx.checkpoints.create("mark", at=old[:10]).revision == old
    assert ctx.checkpoints.create("again", at="head~1").revision == old
    assert ctx.get("a", at="mark").text() == "1"
    with pytest.raises(RevisionNotFound):
        ctx.checkpoints.create("none", at="no-such-thing")


def test_a_checkpoint_never_moves(store: Store, ctx: Context) -> None:
    made = ctx.checkpoints.create("mark")
    ctx.put("a", "1")
    with pytest.raises(AlreadyExists) as caught:
        ctx.checkpoints.create("mark")
    assert caught.value.details == {"name": "mark", "revision": made.revision}
    assert ctx.checkpoints.show("mark") == made
    git(store.path, "pack-refs", "--all")
    with pytest.raises(AlreadyExists):
        reopened(store).checkpoints.create("mark")


def test_repeating_a_creation_with_its_id_gives_the_same_checkpoint(ctx: Context) -> None:
    made = ctx.checkpoints.create("mark", id="the-mark")
    ctx.put("a", "1")
    assert ctx.checkpoints.create("mark", id="the-mark") == made
    with pytest.raises(AlreadyExists):
        ctx.checkpoints.create("mark", id="another")
    with pytest.raises(AlreadyExists):
        ctx.checkpoints.create("mark", id="the-mark", at="head")


def test_the_same_id_from_eight_threads_makes_one_checkpoint_for_all(ctx: Context) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ctx.checkpoints.create("mark", id="the-mark"), range(8)))
    assert len(set(made)) == 1


def test_of_eight_threads_one_makes_the_checkpoint_and_seven_are_told_so(ctx: Context) -> None:
    def create(who: str) -> str:
        try:
            return Context(ctx.store, actor=who).checkpoints.create(name).actor
        except AlreadyExists:
            return ""

    with ThreadPoolExecutor(8) as pool:
        for name in ("one", "two", "three"):
            winners = [winner for winner in pool.map(create, [f"coder-{number}" for number in range(8)]) if winner]
            assert winners == [ctx.checkpoints.show(name).actor]


def test_an_unknown_outcome_names_the_id_and_repeating_it_gives_the_checkpoint(
    store: Store, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str) -> None:
        if path == str(store.path / "refs" / "tags"):
            raise OSError(5, "the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(refs, "sync_folder", broken)
        with pytest.raises(OutcomeUnknown) as caught:
            ctx.checkpoints.create("mark")
    assert ctx.checkpoints.create("mark", id=caught.value.id) == ctx.checkpoints.show("mark")


def test_a_lock_of_another_git_on_the_name_is_respected(store: Store) -> None:
    lock = store.path / "refs/tags/mark.lock"
    lock.touch()
    slept: list[float] = []
    ctx = reopened(store, retry=RetryPolicy.classic(), monotonic=lambda: sum(slept), sleep=slept.append)
    with pytest.raises(LockTimeout):
        ctx.checkpoints.create("mark")
    assert slept == [0.1, 0.2, 0.4]
    assert lock.exists()
    lock.unlink()
    ctx.checkpoints.create("mark")


# -- looking ----------------------------------------------------------------------------------------------------------


def test_checkpoints_are_listed_oldest_first(store: Store) -> None:
    times = iter(range(100))
    ctx = reopened(store, clock=lambda: datetime(2026, 11, 3, 10, 0, next(times) // 10, tzinfo=UTC))
    names = ["z", "a", "m"]
    for name in names:
        ctx.checkpoints.create(name)
        for _ in range(10):
            ctx.store.config.clock()
    assert [checkpoint.name for checkpoint in ctx.checkpoints.list()] == names


def test_changes_since_a_checkpoint_are_told_by_key(marked: Context) -> None:
    assert [(change.key, change.kind) for change in marked.checkpoints.changes_since("mark")] == [
        ("other/c", "changed"),
        ("plan/a", "changed"),
        ("plan/b", "removed"),
        ("plan/new", "added"),
    ]
    assert [change.key for change in marked.checkpoints.changes_since("mark", only="other/")] == ["other/c"]
    assert marked.diff("mark") == marked.checkpoints.changes_since("mark")


def test_git_sees_the_checkpoint_as_any_other_tag(store: Store, marked: Context) -> None:
    assert "risky" in git(store.path, "tag", "-n", "-l", "mark")
    assert git(store.path, "diff", "--name-status", "mark", "context").splitlines() == [
        "M\tother/c",
        "M\tplan/a",
        "D\tplan/b",
        "A\tplan/new",
    ]
    assert git(store.path, "cat-file", "-t", "mark") == "tag"
    assert git(store.path, "rev-list", "--count", "mark") == "1", "it would keep old history alive"
    checkpoint = marked.checkpoints.show("mark")
    assert git(store.path, "rev-parse", "mark^{commit}") == checkpoint.commit
    assert git(store.path, "rev-parse", "mark^{tree}") == git(
        store.path, "rev-parse", f"{checkpoint.revision}^{{tree}}"
    )
    fields = git(store.path, "tag", "-l", "mark", "--format=%(taggername) %(contents:trailers:key=Gitctx-Revision)")
    assert fields == f"planner Gitctx-Revision: {checkpoint.revision}"


@pytest.mark.parametrize("packed", [False, True])
def test_tags_of_others_are_tolerated_and_never_overwritten(store: Store, ctx: Context, packed: bool) -> None:
    revision = ctx.put("a", "1").revision
    git(store.path, "tag", "light")
    git(store.path, "tag", "-a", "-m", "by hand", "annotated")
    git(store.path, "tag", "-a", "-m", "on a tree", "tree", "context^{tree}")
    if packed:
        git(store.path, "pack-refs", "--all")
    ctx.checkpoints.create("ours")
    assert {checkpoint.name for checkpoint in ctx.checkpoints.list()} == {"annotated", "ours"}
    by_hand = ctx.checkpoints.show("annotated")
    assert (by_hand.revision, by_hand.actor, by_hand.message) == (revision, "somebody", "by hand")
    assert ctx.get("a", at="light").text() == "1"
    for name in ("light", "tree"):
        with pytest.raises(CheckpointNotFound):
            ctx.checkpoints.show(name)
        with pytest.raises(AlreadyExists):
            ctx.checkpoints.create(name)
    assert {finding.subject for finding in ctx.verify().warnings} == {"refs/tags/light", "refs/tags/tree"}


# -- deleting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_a_deleted_checkpoint_is_gone_for_git_too_and_its_name_is_free(
    store: Store, ctx: Context, packed: bool
) -> None:
    made = ctx.checkpoints.create("mark")
    ctx.checkpoints.create("other")
    if packed:
        git(store.path, "pack-refs", "--all")
        assert ctx.checkpoints.show("mark") == made
    assert ctx.checkpoints.delete("mark") == made
    assert git(store.path, "tag", "-l") == "other"
    with pytest.raises(CheckpointNotFound):
        ctx.checkpoints.delete("mark")
    ctx.put("a", "1")
    assert ctx.checkpoints.create("mark").revision == ctx.head


def test_what_was_deleted_by_another_git_is_gone(store: Store, ctx: Context) -> None:
    ctx.checkpoints.create("mark")
    git(store.path, "tag", "-d", "mark")
    for act in (ctx.checkpoints.show, ctx.checkpoints.restore, ctx.checkpoints.changes_since):
        with pytest.raises(CheckpointNotFound):
            act("mark")


def test_a_deletion_that_another_git_blocks_deletes_nothing(store: Store, ctx: Context) -> None:
    made = ctx.checkpoints.create("mark")
    lock = store.path / "refs/tags/mark.lock"
    lock.touch()
    with pytest.raises(OSError, match=r"mark\.lock"):
        ctx.checkpoints.delete("mark")
    lock.unlink()
    assert ctx.checkpoints.show("mark") == made


# -- restoring --------------------------------------------------------------------------------------------------------


def test_restoring_is_a_new_write_that_makes_the_content_what_it_was(store: Store, marked: Context) -> None:
    before = marked.head
    written = marked.checkpoints.restore("mark", message="it went wrong")
    assert content(marked) == {"plan/a": "1", "plan/b": "1", "other/c": "1"}
    assert git(store.path, "rev-parse", "context^{tree}") == git(store.path, "rev-parse", "mark^{tree}")
    assert git(store.path, "rev-parse", "context~1") == before
    write = next(marked.log())
    assert (write.op, write.message, write.keys) == (
        "restore",
        "it went wrong",
        ("other/c", "plan/a", "plan/b", "plan/new"),
    )
    assert {(entry.key, entry.etag is None) for entry in written.entries} == {
        ("other/c", False),
        ("plan/a", False),
        ("plan/b", False),
        ("plan/new", True),
    }
    assert not marked.checkpoints.restore("mark").changed
    marked.undo(written.revision)
    assert content(marked) == {"plan/a": "2", "plan/new": "2", "other/c": "2"}


def test_restoring_a_folder_leaves_the_rest_alone(marked: Context) -> None:
    marked.checkpoints.restore("mark", only="plan/")
    assert content(marked) == {"plan/a": "1", "plan/b": "1", "other/c": "2"}
    marked.checkpoints.restore("mark", only="other/c")
    assert content(marked)["other/c"] == "1"


def test_restoring_a_folder_that_nobody_has_is_refused(store: Store, marked: Context) -> None:
    head = head_of(store.path)
    for only in ("plam/", "plan/b/x"):
        with pytest.raises(EntryNotFound):
            marked.checkpoints.restore("mark", only=only)
    for only in ("/plan", "a//b"):
        with pytest.raises(InvalidInput):
            marked.checkpoints.restore("mark", only=only)
    assert head_of(store.path) == head


def test_restoring_can_turn_folders_into_entries_and_back(ctx: Context) -> None:
    ctx.put("a", "entry")
    ctx.checkpoints.create("entry")
    ctx.apply([Remove("a"), Put("a/b", b"folder")])
    ctx.checkpoints.create("folder")
    ctx.checkpoints.restore("entry")
    assert content(ctx) == {"a": "entry"}
    ctx.checkpoints.restore("folder")
    assert content(ctx) == {"a/b": "folder"}


def test_restoring_a_folder_that_has_become_an_entry_brings_back_what_was_below(ctx: Context) -> None:
    ctx.put("a/b", "folder")
    ctx.checkpoints.create("folder")
    ctx.apply([Remove("a/b"), Put("a", b"entry")])
    ctx.checkpoints.create("entry")
    expected = [("a", "added"), ("a/b", "removed")]
    for prefix in ("", "a", "a/"):
        assert [(change.key, change.kind) for change in ctx.diff("folder", prefix=prefix)] == expected
    ctx.checkpoints.restore("folder", only="a/")
    assert content(ctx) == {"a/b": "folder"}
    ctx.checkpoints.restore("entry", only="a")
    assert content(ctx) == {"a": "entry"}


def test_a_restore_neither_ends_nor_revives_claims_but_brings_settings_back(marked: Context) -> None:
    marked.claims.claim("old")
    marked.configure("claims.ttl_s", 60)
    marked.checkpoints.create("claimed")
    marked.claims.release("old")
    held = marked.claims.claim("new")
    marked.configure("claims.ttl_s", None)
    marked.checkpoints.restore("claimed")
    assert [claim.id for claim in marked.claims.list()] == [held.id]
    assert marked.settings().claim_ttl_s == 60
    marked.checkpoints.restore("mark")
    assert [claim.id for claim in marked.claims.list()] == [held.id]


def test_a_restore_happens_once_for_its_id_and_only_on_the_head_that_is_expected(store: Store, marked: Context) -> None:
    with pytest.raises(PreconditionFailed):
        marked.checkpoints.restore("mark", expected_head="head~1")
    first = marked.checkpoints.restore("mark", id="the-restore", expected_head="head")
    marked.put("plan/a", "3")
    assert reopened(store).checkpoints.restore("mark", id="the-restore").revision == first.revision
    assert marked.get("plan/a").text() == "3"
    with pytest.raises(IdReused):
        marked.checkpoints.restore("mark", only="plan/", id="the-restore")
