"""What a rotation leaves as it was, and what still answers after it: in its grace time, and when that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import (
    AlreadyExists,
    EntryNotFound,
    IdReused,
    InvalidInput,
    MergeConflict,
    PreconditionFailed,
    RevisionNotFound,
)
from gitctx.recovery.recovery import Recovery
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx.values import Revision, WriteId, Written
from gitctx_testkit.audit import assert_sound, head_of
from gitctx_testkit.git import git
from gitctx_testkit.rotating import GRACE, Calendar, collect, counted, fill, has, let_grace_end, originals, revisions

DAY = timedelta(days=1)
WRITES, KEEP = 40, 8


class Rotated:
    """A store with a past, rotated."""

    def __init__(self, folder: Path) -> None:
        self.calendar = Calendar()
        self.config = Config(durability="relaxed", clock=self.calendar)
        self.ctx = Context(Store.create(folder / "store.git", self.config), actor="planner")
        self.path = self.ctx.store.path
        self.written = fill(self.ctx, WRITES)
        self.rare = self.ctx.put("rare.md", "written once", message="long ago")
        self.gone = self.ctx.put("gone.md", "x")
        self.ctx.remove("gone.md")
        self.ctx.checkpoints.create("early", message="why")
        self.ctx.claims.claim("work", message="mine")
        self.calendar.go_on(DAY)
        self.recent = fill(self.ctx, KEEP, start=WRITES)
        self.before = self.ctx.head

    def rotate(self, keep: int = KEEP) -> None:
        self.ctx.rotation.apply(keep=keep)

    def reopened(self) -> Context:
        self.ctx = Context(Store.open(self.path, self.config), actor="planner")
        return self.ctx


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Rotated]:
    made = Rotated(tmp_path)
    yield made
    assert verify(Store.open(made.path), full=True).problems == ()


@pytest.fixture(params=["in grace", "after grace"])
def rotated(request: pytest.FixtureRequest, past: Rotated) -> Rotated:
    content = git(past.path, "rev-parse", "context^{tree}")
    past.rotate()
    assert git(past.path, "rev-parse", "context^{tree}") == content
    if request.param == "after grace":
        let_grace_end(past.ctx, past.calendar)
        assert not has(past.path, past.before)
        assert not has(past.path, past.rare.revision)
    past.reopened()
    return past


def test_what_is_kept_is_the_newest_writes_and_the_rest_is_counted(past: Rotated) -> None:
    old = revisions(past.path)
    planned = past.ctx.rotation.plan(keep=KEEP)
    (context, sessions) = past.ctx.rotation.apply(keep=KEEP)
    assert context.plan == planned
    assert (context.changed, sessions.changed) == (True, False)
    assert (planned.kept, planned.squashed) == (KEEP, len(old) - KEEP)
    assert planned.stands_for == old[KEEP]
    assert originals(past.path) == [*old[:KEEP], old[KEEP]]
    assert counted(past.path) == len(old) - KEEP
    assert context.head == head_of(past.path)
    assert context.base == revisions(past.path)[-1]
    assert context.kept_under is not None
    assert git(past.path, "rev-parse", context.kept_under) == past.before
    assert sum(count for _, count in planned.actors) == planned.squashed


def test_rotating_again_without_new_writes_changes_nothing(past: Rotated) -> None:
    past.rotate()
    head = head_of(past.path)
    again = past.ctx.rotation.apply(keep=KEEP)
    assert [each.changed for each in again] == [False, False]
    assert head_of(past.path) == head


def test_checkpoints_and_claims_stay(rotated: Rotated) -> None:
    (checkpoint,) = rotated.ctx.checkpoints.list()
    assert (checkpoint.name, checkpoint.message) == ("early", "why")
    assert rotated.ctx.get("rare.md", at="early").text() == "written once"
    (claim,) = rotated.ctx.claims.list()
    assert (claim.name, claim.message) == ("work", "mine")
    assert rotated.ctx.diff("early")
    rotated.ctx.checkpoints.restore("early")
    rotated.ctx.put("after.md", "1")


def test_each_key_still_knows_its_last_write(rotated: Rotated) -> None:
    ctx = rotated.ctx
    rare = ctx.last_write("rare.md")
    assert rare is not None
    assert (rare.revision, rare.actor, rare.id, rare.message) == (
        rotated.rare.revision,
        "planner",
        rotated.rare.id,
        "long ago",
    )
    recent = ctx.last_write(f"plan/{(WRITES + KEEP - 1) % 7}.md")
    assert recent is not None
    assert recent.id == rotated.recent[-1].id
    assert ctx.last_write("never.md") is None


def test_the_log_of_a_key_ends_with_the_last_write_before_the_base(rotated: Rotated) -> None:
    (rare,) = rotated.ctx.log("rare.md")
    assert (rare.revision, rare.message) == (rotated.rare.revision, "long ago")
    key = f"plan/{WRITES % 7}.md"
    found = list(rotated.ctx.log(key))
    assert [write.id for write in found[:2]] == [rotated.recent[7].id, rotated.recent[0].id]
    assert found[2].id == rotated.written[WRITES - 7].id
    assert len(found) == 3
    everything = list(rotated.ctx.log())
    assert [write.id for write in everything[:KEEP]] == [each.id for each in rotated.recent[::-1]]
    assert everything[KEEP].op == "rotate"
    assert len(everything) == KEEP + 1


def test_originals_name_what_stands_for_them(rotated: Rotated) -> None:
    ctx, original = rotated.ctx, rotated.recent[3].revision
    assert ctx.get(f"plan/{(WRITES + 3) % 7}.md", at=original).text() == f"text {WRITES + 3}"
    write, changes = ctx.show(original[:12])
    assert write.id == rotated.recent[3].id
    assert [change.key for change in changes] == [f"plan/{(WRITES + 3) % 7}.md"]
    since = [write.id for write in ctx.log(since=original)]
    assert since == [each.id for each in rotated.recent[:3:-1]]
    told = list(ctx.changes(since=original))
    assert [change.key for change in told] == [f"plan/{(WRITES + n) % 7}.md" for n in range(4, KEEP)]
    assert len(list(ctx.diff(original))) == KEEP - 4
    assert ctx.store.resolve(f"{original}~1") == ctx.store.resolve(rotated.recent[2].revision)


def test_the_base_answers_for_the_revision_that_it_stands_for(rotated: Rotated) -> None:
    base = revisions(rotated.path)[-1]
    below = originals(rotated.path)[-1]
    found = rotated.ctx.store.resolve(below)
    assert rotated.ctx.get("rare.md", at=below).text() == "written once"
    assert len(list(rotated.ctx.changes(since=below))) == KEEP
    assert git(rotated.path, "rev-parse", f"{found}^{{tree}}") == git(rotated.path, "rev-parse", f"{base}^{{tree}}")


def test_a_writer_that_holds_an_old_base_goes_on(rotated: Rotated) -> None:
    ctx = rotated.ctx
    base = rotated.recent[0].revision
    key = f"plan/{WRITES % 7}.md"
    done = ctx.put(key, "mine", base=base)
    assert done.superseded == (rotated.recent[7].entries[0].etag,)
    with pytest.raises(PreconditionFailed):
        ctx.put(key, "other", expected_head=rotated.before)


@pytest.mark.parametrize("strategy", ["merge", "last-write-wins", "fail"])
def test_a_base_whose_grace_has_ended_is_done_without(past: Rotated, strategy: str) -> None:
    """Whoever has read an entry long ago and writes it now: what it held then is gone for good."""
    other = past.reopened()
    seen = other.put("doc.json", {"old": 1}).entries[0].etag
    assert seen is not None
    other.get("doc.json")
    slow, slower = (Context(Store.open(past.path, past.config), actor="slow") for _ in range(2))
    for each in (slow, slower):
        each.get("doc.json")
    other.put("doc.json", {"theirs": 1})
    fill(other, KEEP)
    past.rotate(keep=2)
    let_grace_end(other, past.calendar)
    fill(other, 3)
    past.rotate(keep=2)
    let_grace_end(other, past.calendar)
    assert not has(past.path, seen)
    if strategy == "fail":
        with pytest.raises(MergeConflict):
            slow.put("doc.json", {"ours": 1}, strategy=strategy)
    else:
        slow.put("doc.json", {"ours": 1}, strategy=strategy)
        both = {"ours": 1, "theirs": 1} if strategy == "merge" else {"ours": 1}
        assert other.get("doc.json").json() == both
        slower.remove("doc.json", strategy=strategy)
        with pytest.raises(EntryNotFound):
            other.get("doc.json")


def test_expected_head_takes_the_original(rotated: Rotated) -> None:
    rotated.ctx.put("expected.md", "1", expected_head=rotated.before)
    with pytest.raises(PreconditionFailed):
        rotated.ctx.put("expected.md", "2", expected_head=rotated.before)


def test_a_squashed_revision_is_not_found_once_its_grace_has_ended(past: Rotated) -> None:
    squashed = past.written[3].revision
    past.rotate()
    assert past.ctx.get("plan/3.md", at=squashed).text() == "text 3"
    let_grace_end(past.ctx, past.calendar)
    with pytest.raises(RevisionNotFound):
        past.reopened().get("plan/3.md", at=squashed)


def test_a_squashed_entry_can_be_overwritten_undone_and_removed(rotated: Rotated) -> None:
    ctx = rotated.ctx
    ctx.put("rare.md", "again")
    ctx.undo(ctx.put("rare.md", "and again").revision)
    assert ctx.get("rare.md").text() == "again"
    ctx.remove("rare.md")
    last = ctx.last_write("rare.md")
    assert last is not None
    assert last.op == "remove"


# -- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["kept", "deleted", "unusable"])
@pytest.mark.parametrize("which", ["squashed", "kept"])
def test_a_repeated_id_happens_once(past: Rotated, index: str, which: str) -> None:
    ctx = past.ctx
    first = ctx.put("id.md", "1", id="squashed")
    fill(ctx, KEEP, start=100)
    second = ctx.put("id.md", "2", id="kept")
    ctx.put("other.md", "3")
    past.rotate(keep=4)
    cache = past.path / "gitctx" / "cache"
    if index != "kept":
        for each in list(cache.glob("ids-*")):
            each.unlink()
        if index == "unusable":
            (cache / "ids-context.sqlite").mkdir(parents=True)
    ctx = past.reopened()
    count = len(revisions(past.path))
    again = ctx.put("id.md", "1" if which == "squashed" else "2", id=which)
    assert again.changed
    assert len(revisions(past.path)) == count
    standing = first.revision if which == "squashed" else ctx.store.resolve(second.revision)
    assert again.revision == standing
    assert ctx.get("id.md").text() == "2"
    with pytest.raises(IdReused):
        ctx.put("id.md", "another", id=which)


def test_an_id_index_that_knows_of_gone_history_is_no_harm(past: Rotated) -> None:
    past.ctx.put("id.md", "1", id="old")
    past.ctx.put("id.md", "1", id="old")
    fill(past.ctx, KEEP, start=100)
    past.rotate(keep=4)
    past.ctx.put("id.md", "1", id="old")
    let_grace_end(past.ctx, past.calendar)
    ctx = past.reopened()
    done = ctx.put("id.md", "1", id="old")
    assert done.revision == done.head
    assert ctx.put("id.md", "2", id="new").changed
    assert ctx.put("id.md", "2", id="new").changed
    assert len([write for write in ctx.log() if write.id == "new"]) == 1


# -- forced moves -----------------------------------------------------------------------------------------------------


def test_the_next_write_and_verify_do_not_take_a_rotation_for_a_forced_move(rotated: Rotated) -> None:
    (rotated.path / "gitctx" / "queue" / "context").unlink(missing_ok=True)
    assert rotated.ctx.verify().problems == ()
    count = len(revisions(rotated.path))
    rotated.ctx.put("next.md", "1")
    assert len(revisions(rotated.path)) == count + 1
    assert len(git(rotated.path, "rev-list", "--merges", "context").split()) == 0


def test_a_grace_that_has_ended_is_no_forced_move_before_the_objects_are_gone(past: Rotated) -> None:
    past.rotate()
    past.calendar.go_on(timedelta(seconds=1))
    past.ctx.put("later.md", "1")
    past.calendar.go_on(GRACE + DAY)
    assert past.ctx.rotation.finish() == 1
    assert has(past.path, past.before)
    assert past.reopened().verify().problems == ()
    git(past.path, "update-ref", "refs/heads/context", "context~1")
    past.reopened().put("next.md", "1")
    assert past.ctx.get("later.md").text() == "1"
    assert past.before not in revisions(past.path)


def test_the_setting_says_how_long_grace_lasts(past: Rotated) -> None:
    past.rotate()
    past.ctx.configure("maintenance.grace_s", 7200)
    past.calendar.go_on(timedelta(hours=1))
    assert past.ctx.rotation.finish() == 0
    past.calendar.go_on(timedelta(hours=2))
    assert past.ctx.rotation.finish() == 1


@pytest.mark.parametrize("to", ["before", "earlier"])
def test_a_head_forced_back_behind_the_rotation_loses_nothing_that_came_after_it(past: Rotated, to: str) -> None:
    past.rotate()
    ctx = past.reopened()
    key = f"plan/{WRITES % 7}.md"
    ctx.put(key, "after the rotation")
    ctx.put("new.md", "new")
    ctx.remove("rare.md")
    newest = head_of(past.path)
    git(past.path, "update-ref", "refs/heads/context", past.before if to == "before" else past.recent[5].revision)
    ctx = past.reopened()
    ctx.put("next.md", "1")
    assert newest in revisions(past.path)
    assert ctx.get("new.md").text() == "new"
    assert ctx.get(key).text() == "after the rotation"
    assert "rare.md" not in {info.key for info in ctx.list()}


def test_a_head_forced_back_within_the_rotated_history_is_joined_without_the_old_one(past: Rotated) -> None:
    past.rotate()
    ctx = past.reopened()
    fill(ctx, 3, start=200)
    git(past.path, "update-ref", "refs/heads/context", "context~2")
    past.reopened().put("next.md", "1")
    assert past.before not in revisions(past.path)
    assert past.ctx.get(f"plan/{202 % 7}.md").text() == "text 202"


# -- recovery ---------------------------------------------------------------------------------------------------------


def test_a_rotated_store_is_healthy_for_a_recovery(rotated: Rotated) -> None:
    scan = rotated.ctx.recovery.scan(full=True)
    assert scan.healthy, scan.damage
    assert not rotated.ctx.recovery.apply().changed


def test_a_damaged_head_of_a_rotated_store_is_recovered_without_the_old_history(past: Rotated) -> None:
    past.rotate()
    ctx = past.reopened()
    ctx.put("new.md", "new")
    head = head_of(past.path)
    (past.path / "refs" / "heads" / "context").write_text("0" * 39 + "1\n")
    done = Recovery(past.path, past.config, actor="planner").apply()
    assert done.changed
    assert head in revisions(past.path)
    assert past.before not in revisions(past.path)
    assert past.reopened().get("new.md").text() == "new"


# -- undo -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", [0, 3])
def test_a_rotation_is_taken_back_also_after_new_writes(past: Rotated, writes: int) -> None:
    old = set(revisions(past.path))
    past.rotate()
    ctx = past.reopened()
    after = fill(ctx, writes, start=300)
    content = git(past.path, "rev-parse", "context^{tree}")
    (context,) = ctx.rotation.undo()
    assert context.plan.branch == "context"
    assert git(past.path, "rev-parse", "context^{tree}") == content
    assert old < set(revisions(past.path))
    told = [write.id for write in ctx.log() if write.op == "put"]
    assert sorted(map(str, told)) == sorted(
        str(each.id) for each in (*past.written, past.rare, past.gone, *past.recent, *after)
    )
    assert [write.id for write in ctx.log("rare.md")] == [past.rare.id]
    with pytest.raises(RevisionNotFound):
        ctx.rotation.undo()
    assert ctx.verify(full=True).warnings == ()
    ctx.put("next.md", "1")


def test_two_rotations_are_taken_back_one_after_the_other(past: Rotated) -> None:
    old = revisions(past.path)
    past.rotate(keep=20)
    fill(past.ctx, 3, start=300)
    past.rotate(keep=5)
    fill(past.ctx, 3, start=400)
    assert past.ctx.rotation.undo()
    assert old[0] not in revisions(past.path)
    assert past.ctx.rotation.undo()
    assert set(old) < set(revisions(past.path))
    with pytest.raises(RevisionNotFound):
        past.ctx.rotation.undo()


def test_after_an_undo_the_next_rotation_keeps_what_was_asked_for_and_no_more(past: Rotated) -> None:
    past.rotate()
    fill(past.ctx, 2, start=300)
    past.ctx.rotation.undo()
    done = past.ctx.rotation.apply(keep=KEEP)[0]
    assert done.changed
    assert len(revisions(past.path)) < WRITES
    let_grace_end(past.ctx, past.calendar)
    assert not has(past.path, past.rare.revision)
    assert past.reopened().get("rare.md").text() == "written once"


def test_what_was_taken_back_and_rotated_again_gives_its_space_back(past: Rotated) -> None:
    past.rotate()
    past.ctx.rotation.undo()
    fill(past.ctx, 2 * KEEP, start=300)
    past.rotate()
    let_grace_end(past.ctx, past.calendar)
    assert not has(past.path, past.before)
    assert not has(past.path, past.rare.revision)
    assert git(past.path, "for-each-ref", "--format=%(refname)", "refs/gitctx/undone", "refs/gitctx/rotated") == ""


# -- counts, bases ----------------------------------------------------------------------------------------------------


def test_bases_count_every_write_over_several_rotations(past: Rotated) -> None:
    everything = len(revisions(past.path))
    for round in range(3):
        past.rotate(keep=5)
        everything += len(fill(past.ctx, 7, start=500 + 10 * round))
        in_history = len(revisions(past.path)) - 1
        assert in_history + counted(past.path) == everything
    let_grace_end(past.ctx, past.calendar)
    assert len(revisions(past.path)) - 1 + counted(past.path) == everything
    rare = past.reopened().last_write("rare.md")
    assert rare is not None
    assert rare.revision == past.rare.revision


def test_sessions_are_rotated_too(past: Rotated) -> None:
    for _ in range(6):
        with past.ctx.sessions.start(actor="coder", beat_every_s=None):
            pass
    records = git(past.path, "rev-parse", "sessions^{tree}")
    _, sessions = past.ctx.rotation.apply(keep=4)
    assert sessions.changed
    assert sessions.kept_under == "refs/gitctx/rotated/1/sessions"
    assert git(past.path, "rev-parse", "sessions^{tree}") == records
    assert len(past.reopened().sessions.list()) == 6
    with past.ctx.sessions.start(actor="coder", beat_every_s=None):
        pass
    assert len(git(past.path, "rev-list", "--merges", "sessions").split()) == 0
    assert {each.plan.branch for each in past.ctx.rotation.undo()} == {"context", "sessions"}
    let_grace_end(past.ctx, past.calendar)


# -- archive ----------------------------------------------------------------------------------------------------------


def test_an_archive_holds_all_that_goes_and_is_a_repository_of_its_own(past: Rotated, tmp_path: Path) -> None:
    old, place = revisions(past.path), tmp_path / "old.bundle"
    past.ctx.rotation.apply(keep=KEEP, archive=place)
    let_grace_end(past.ctx, past.calendar)
    git(tmp_path, "clone", "-q", "--mirror", str(place), "restored.git")
    assert revisions(tmp_path / "restored.git") == old
    assert git(tmp_path / "restored.git", "show", "context:rare.md") == "written once"
    git(tmp_path / "restored.git", "fsck", "--full", "--strict")
    assert git(tmp_path / "restored.git", "for-each-ref", "refs/heads/sessions")
    head = head_of(past.path)
    with pytest.raises(AlreadyExists):
        past.ctx.rotation.apply(keep=2, archive=place)
    assert head_of(past.path) == head
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".old")] == []


def test_an_archive_that_cannot_be_written_stops_the_rotation(past: Rotated, tmp_path: Path) -> None:
    head = head_of(past.path)
    with pytest.raises(Exception, match=r".") as caught:
        past.ctx.rotation.apply(keep=KEEP, archive=tmp_path / "nowhere" / "old.bundle")
    assert getattr(caught.value, "hint", None)
    assert head_of(past.path) == head


# -- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep": -1}, {"keep_bytes": 0}])
def test_nothing_kept_is_refused(past: Rotated, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        past.ctx.rotation.plan(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        past.ctx.rotation.apply(**wrong)  # type: ignore[arg-type]


def test_a_new_store_has_nothing_to_squash(store: Store) -> None:
    ctx = Context(store, actor="planner")
    assert [each.changed for each in ctx.rotation.apply(keep=1)] == [False, False]
    with pytest.raises(RevisionNotFound):
        ctx.rotation.undo()


def test_a_store_that_git_collects_beside_its_grace_keeps_what_can_be_brought_back(past: Rotated) -> None:
    past.rotate()
    collect(past.path)
    past.reopened().rotation.undo()
    assert_sound(past.path)
    assert past.ctx.get("plan/3.md", at=past.written[3].revision).text() == "text 3"


def made_by(ctx: Context, id: WriteId) -> list[Revision]:
    return [write.revision for write in ctx.log() if write.id == id]


def test_a_write_whose_outcome_was_unknown_is_found_in_what_a_rotation_squashed(past: Rotated) -> None:
    """The index isn't asked for ids that gctx made itself: history since then is walked."""
    before = past.ctx.head
    done: Written = past.ctx.put("unknown.md", "1")
    fill(past.ctx, KEEP, start=100)
    past.rotate(keep=3)
    ids = past.ctx.store.context._get_writer().ids
    assert ids.find_since(str(done.id), head_of(past.path), before) == done.revision
