"""Recovery as a program uses it: what comes back and in what state, taking it back, and recovering when opened."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import gitctx
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import BrokenHistory, MergeConflict, NotAStore, ObjectMissing, RevisionNotFound, StoreNotFound
from gitctx.recovery import Recovery, may_be_damage
from gitctx.store import Store
from gitctx_testkit.audit import assert_written_once, ids_in_history
from gitctx_testkit.damage import CONTEXT, contents, empty, loose, pack_of, remove_pack
from gitctx_testkit.git import git

RELAXED = Config(durability="relaxed")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def ctx(store: Store) -> Context:
    return Context(Store.open(store.path, RELAXED), actor="planner")


def reopened(ctx: Context, **config: object) -> Context:
    return Context(Store.open(ctx.store.path, Config(durability="relaxed", **config)), actor="coder-1")  # type: ignore[arg-type]


def content(ctx: Context) -> dict[str, str]:
    return {info.key: ctx.get(info.key).text() for info in ctx.list()}


def test_a_context_recovers_the_store_that_it_is_open_on(ctx: Context) -> None:
    ctx.put("plan/a.md", "1")
    assert ctx.recovery.scan().healthy
    (ctx.store.path / CONTEXT).write_bytes(b"")
    with pytest.raises(BrokenHistory) as caught:
        ctx.get("plan/a.md")
    assert "gitctx recovery apply" in caught.value.hint
    done = ctx.recovery.apply()
    assert done.revision == ctx.head
    assert ctx.get("plan/a.md").text() == "1"
    ctx.put("plan/a.md", "2")
    assert next(ctx.log(limit=2)).actor == "planner"


def test_an_object_that_is_gone_names_the_way_out(ctx: Context) -> None:
    written = ctx.put("plan/a.md", "1")
    loose("context:plan/a.md", empty)(ctx.store.path)
    with pytest.raises(ObjectMissing) as caught:
        reopened(ctx).get("plan/a.md")
    assert "gitctx recovery scan" in caught.value.hint
    assert may_be_damage(caught.value)
    ctx.recovery.apply()
    assert written.revision not in git(ctx.store.path, "log", "--format=%H", "context")


# -- taking it back ---------------------------------------------------------------------------------------------------


def test_what_stood_in_for_an_unreadable_value_is_taken_back(ctx: Context) -> None:
    ctx.put("plan/a.md", "old")
    ctx.put("plan/b.md", "kept")
    ctx.put("plan/a.md", "new")
    loose("context:plan/a.md", empty)(ctx.store.path)
    ctx.recovery.apply()
    assert content(reopened(ctx)) == {"plan/a.md": "old", "plan/b.md": "kept"}
    undone = reopened(ctx).recovery.undo(message="a stale plan is worse than none")
    assert undone.changed
    assert content(reopened(ctx)) == {"plan/b.md": "kept"}
    assert [write.op for write in reopened(ctx).log(limit=2)] == ["recover-undo", "recover"]


def test_what_was_merged_in_is_taken_back(ctx: Context) -> None:
    back = ctx.put("plan/a.md", "1").revision
    ctx.put("plan/b.md", "thrown off", id="off")
    git(ctx.store.path, "update-ref", CONTEXT, back)
    done = ctx.recovery.apply()
    assert content(ctx) == {"plan/a.md": "1", "plan/b.md": "thrown off"}
    assert_written_once(ctx.store.path, ["off"])
    ctx.put("plan/c.md", "written since")
    ctx.recovery.undo(done.id)
    assert content(ctx) == {"plan/a.md": "1", "plan/c.md": "written since"}
    assert_written_once(ctx.store.path, ["off"])


def test_an_entry_that_was_changed_since_stops_the_undo(ctx: Context) -> None:
    back = ctx.put("plan/a.md", "1").revision
    ctx.put("plan/b.md", "thrown off")
    git(ctx.store.path, "update-ref", CONTEXT, back)
    ctx.recovery.apply()
    ctx.put("plan/b.md", "built on it")
    with pytest.raises(MergeConflict):
        ctx.recovery.undo()
    assert ctx.get("plan/b.md").text() == "built on it"


def test_a_recovery_that_changed_no_entry_has_nothing_to_take_back(ctx: Context) -> None:
    ctx.put("plan/a.md", "1")
    (ctx.store.path / CONTEXT).write_bytes(b"")
    ctx.recovery.apply()
    assert not ctx.recovery.undo().changed
    assert content(ctx) == {"plan/a.md": "1"}


def test_there_is_nothing_to_take_back_where_nothing_was_recovered(ctx: Context) -> None:
    with pytest.raises(RevisionNotFound):
        ctx.recovery.undo()
    with pytest.raises(RevisionNotFound):
        ctx.recovery.undo("01JD3V8Q6ZK6Y4E9T0A7B2C5DF")


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_claim_that_comes_back_holds_for_its_full_time(store: Store) -> None:
    """Its release is lost: its holder may be at work again, by a renewal that is lost too."""
    early = Context(Store.open(store.path, Config(durability="relaxed", clock=lambda: NOW)), actor="planner")
    early.claims.claim("job", ttl_s=600, message="mine")
    early.claims.claim("other", ttl_s=600)
    early.claims.release("job")
    pack_of("context", remove_pack)(store.path)
    later = NOW + timedelta(hours=5)
    config = Config(durability="relaxed", clock=lambda: later)
    done = Recovery(store.path, config).apply()
    assert [each.key for each in done.scan.resurrected] == [".gitctx/claims/job"]
    found = {claim.name: claim for claim in Context(Store.open(store.path, config), actor="reader").claims.list()}
    assert found["job"].expires_at == later + timedelta(seconds=600)
    assert (found["job"].message, found["job"].actor) == ("mine", "planner")
    assert found["other"].holder_state == "expired"


def test_where_nobody_knows_what_is_lost_every_claim_is_renewed(store: Store) -> None:
    early = Context(Store.open(store.path, Config(durability="relaxed", clock=lambda: NOW)), actor="planner")
    early.claims.claim("job", ttl_s=600)
    with early.batch() as batch:
        for number in range(9):
            batch.put(f"plan/{number}", "x")
    pack_of("context", remove_pack)(store.path)
    later = NOW + timedelta(hours=5)
    config = Config(durability="relaxed", clock=lambda: later)
    Recovery(store.path, config).apply()
    (claim,) = Context(Store.open(store.path, config), actor="reader").claims.list()
    assert claim.expires_at == later + timedelta(seconds=600)


# -- what is told of lost revisions -----------------------------------------------------------------------------------


def test_a_lost_batch_names_the_keys_that_its_line_names_and_says_that_there_are_more(ctx: Context) -> None:
    ctx.put("plan/a", "1")
    with ctx.batch() as batch:
        for name in "abcde":
            batch.put(f"plan/{name}", "2")
    lost = ctx.head
    pack_of("context", remove_pack)(ctx.store.path)
    scan = reopened_recovery(ctx).scan()
    assert {(each.revision, each.key) for each in scan.lost} == {(lost, None), (lost, "plan/b"), (lost, "plan/c")}
    assert [each.key for each in scan.stale] == ["plan/a"]
    assert [each.key for each in scan.resurrected] == ["plan/a"]
    ctx.recovery.apply()


def reopened_recovery(ctx: Context) -> Recovery:
    return Recovery(ctx.store.path, RELAXED)


def test_an_unreadable_folder_gives_way_to_the_last_one_that_can_be_read(ctx: Context) -> None:
    """What was put or removed in it since is known by the subjects of the writes."""
    ctx.put("plan/a", "1")
    ctx.put("plan/b", "1")
    ctx.put("plan/sub/deep", "1")
    ctx.put("other", "1")
    ctx.put("plan/a", "2")
    ctx.remove("plan/b")
    ctx.put("plan/c", "1")
    loose("context:plan", empty)(ctx.store.path)
    path = ctx.store.path
    older = [git(path, "rev-parse", f"context~{back}:plan") for back in (1, 2)]
    for oid in older:
        (path / "objects" / oid[:2] / oid[2:]).unlink()
    scan = reopened_recovery(ctx).scan()
    assert [each.key for each in scan.stale] == ["plan/a"]
    assert {each.key for each in scan.lost} >= {"plan/c"}
    assert [each.key for each in scan.resurrected] == ["plan/b"]
    ctx.recovery.apply()
    assert content(reopened(ctx)) == {"plan/a": "1", "plan/b": "1", "plan/sub/deep": "1", "other": "1"}
    assert reopened(ctx).verify(full=True).problems == ()


def test_a_wide_folder_of_which_a_part_is_unreadable_keeps_all_the_rest(ctx: Context) -> None:
    with ctx.batch() as batch:
        for number in range(300):
            batch.put(f"wide/{number:04}", f"{number}")
    ctx.put("wide/0007", "changed")
    path = git(ctx.store.path, "ls-tree", "-r", "--name-only", "context")
    place = next(line for line in path.splitlines() if line.endswith("/0007"))
    loose(f"context:{place.rpartition('/')[0]}", empty)(ctx.store.path)
    scan = reopened_recovery(ctx).scan()
    assert [each.key for each in scan.stale] == ["wide/0007"]
    assert scan.lost == ()
    ctx.recovery.apply()
    found = content(reopened(ctx))
    assert len(found) == 300
    assert found["wide/0007"] == "7"
    assert reopened(ctx).verify(full=True).warnings == ()


def test_a_history_with_merges_is_made_anew_with_all_its_ids(ctx: Context) -> None:
    base = ctx.put("base", "0", id="w0").revision
    ctx.put("plan/one", "1", id="w1")
    git(ctx.store.path, "update-ref", CONTEXT, base)
    ctx.put("plan/two", "2", id="w2")
    ctx.put("plan/three", "3", id="w3")
    loose("context:base", empty)(ctx.store.path)
    scan = reopened_recovery(ctx).scan()
    assert {(each.revision, each.key) for each in scan.lost} == {(base, "base")}
    ctx.recovery.apply()
    assert content(reopened(ctx)) == {"plan/one": "1", "plan/two": "2", "plan/three": "3"}
    assert_written_once(ctx.store.path, ["w0", "w1", "w2", "w3"])


def test_a_repeated_id_of_a_write_that_was_made_anew_still_happens_once(ctx: Context) -> None:
    ctx.put("plan/a", "1", id="first")
    ctx.put("plan/b", "1", id="second")
    loose("context:plan/a", empty)(ctx.store.path)
    ctx.recovery.apply()
    again = reopened(ctx)
    again.put("plan/b", "1", id="second")
    assert ids_in_history(ctx.store.path).count("second") == 1


def test_a_newest_revision_without_its_ref_brings_back_what_was_thrown_off_as_well(ctx: Context) -> None:
    back = ctx.put("plan/a", "1", id="w1").revision
    ctx.put("plan/b", "thrown off", id="w2")
    git(ctx.store.path, "update-ref", CONTEXT, back)
    (ctx.store.path / CONTEXT).write_bytes(b"")
    ctx.recovery.apply()
    assert content(ctx) == {"plan/a": "1", "plan/b": "thrown off"}


def test_a_checkpoint_gives_its_content_when_the_history_is_lost(ctx: Context) -> None:
    ctx.put("plan/a", "1")
    store_id = ctx.store.identity.store_id
    ctx.checkpoints.create("mark")
    path = ctx.store.path
    keep = git(path, "rev-list", "--objects", "--no-object-names", "refs/tags/mark", "refs/heads/sessions").split()
    git(path, "repack", "-adq")
    (old,) = (path / "objects" / "pack").glob("*.pack")
    packed = git(path, "pack-objects", "-q", str(path / "objects" / "pack" / "pack"), stdin="\n".join(keep) + "\n")
    assert packed not in old.name
    remove_pack(old)
    scan = reopened_recovery(ctx).scan()
    assert scan.source == "checkpoint"
    ctx.recovery.apply()
    again = reopened(ctx)
    assert content(again) == {"plan/a": "1"}
    assert again.store.identity.store_id == store_id
    assert again.verify(full=True).problems == ()


# -- opening ----------------------------------------------------------------------------------------------------------


def test_a_library_does_not_recover_unless_it_was_told_to(ctx: Context) -> None:
    ctx.put("plan/a.md", "1")
    (ctx.store.path / CONTEXT).write_bytes(b"")
    before = contents(ctx.store.path)
    with pytest.raises(BrokenHistory):
        gitctx.open(ctx.store.path, actor="coder-1")
    assert contents(ctx.store.path) == before
    found = gitctx.open(ctx.store.path, actor="coder-1", config=Config(durability="relaxed", auto_recover=True))
    assert found.recovered is not None
    assert found.recovered.scan.source == "queue"
    assert found.get("plan/a.md").text() == "1"
    again = gitctx.open(ctx.store.path, actor="coder-1", config=Config(auto_recover=True))
    assert again.recovered is None


def test_nothing_is_recovered_where_there_has_never_been_a_store(tmp_path: Path, project: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "plain.git")
    git(project, "branch", "context")
    git(project, "branch", "sessions")
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "plain.git", tmp_path / "empty", project):
        before = contents(place)
        with pytest.raises(NotAStore):
            Recovery(place).apply()
        assert contents(place) == before
    with pytest.raises(StoreNotFound):
        Recovery(tmp_path / "nowhere").scan()


def test_a_project_with_branches_of_these_names_is_no_store(project: Path) -> None:
    git(project, "branch", "context")
    git(project, "branch", "sessions")
    before = contents(project / ".git")
    with pytest.raises(NotAStore):
        Recovery(project / ".git").apply()
    assert contents(project / ".git") == before


def test_a_copy_of_a_store_without_its_working_folder_is_recovered_alike(ctx: Context, tmp_path: Path) -> None:
    ctx.put("plan/a.md", "1")
    copied = tmp_path / "copied.git"
    shutil.copytree(ctx.store.path, copied, ignore=shutil.ignore_patterns("gitctx"))
    (copied / CONTEXT).write_bytes(b"")
    assert Recovery(copied, RELAXED).apply().scan.source == "reflog"


def test_a_folder_that_shrinks_by_what_is_lost_is_laid_out_anew(ctx: Context) -> None:
    with ctx.batch() as batch:
        for number in range(256):
            batch.put(f"wide/{number:04}", f"{number}")
    ctx.put("wide/last", "the 257th")
    path = next(
        line for line in git(ctx.store.path, "ls-tree", "-r", "--name-only", "context").splitlines() if "last" in line
    )
    assert path != "wide/last"
    loose(f"context:{path}", empty)(ctx.store.path)
    ctx.recovery.apply()
    assert len(content(reopened(ctx))) == 256
    assert git(ctx.store.path, "ls-tree", "--name-only", "context:wide").splitlines()[0] == "0000"
    assert reopened(ctx).verify(full=True).warnings == ()
