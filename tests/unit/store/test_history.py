"""History tells every write once, newest first, and filters leave out nothing that fits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import InvalidKey, RevisionNotFound
from gitctx.store import Store, history
from gitctx.store.edits import Put, Remove
from gitctx.values import Revision, Write
from gitctx_testkit.git import git

BEGIN = datetime(2090, 11, 3, 10, 0, tzinfo=UTC)
"""After the making of the store, which has the time of day."""


class Team:
    """Actors that write to one store, a minute apart."""

    def __init__(self, store: Store) -> None:
        self.now = BEGIN
        self._store = Store.open(store.path, Config(durability="relaxed", clock=self._tick))
        self._actors: dict[str, Context] = {}

    def _tick(self) -> datetime:
        return self.now

    def __call__(self, actor: str, session: str | None = None) -> Context:
        self.now += timedelta(minutes=1)
        name = f"{actor}/{session}"
        if name not in self._actors:
            self._actors[name] = Context(self._store, actor=actor, session=session)
        return self._actors[name]


@pytest.fixture
def team(store: Store) -> Team:
    return Team(store)


def revisions(writes: object) -> list[Revision]:
    return [write.revision for write in writes]  # type: ignore[attr-defined]


def test_writes_are_told_newest_first_even_if_clocks_went_back(store: Store, team: Team) -> None:
    made = []
    for number in range(5):
        made.append(team("planner").put("a", f"{number}").revision)
        team.now = BEGIN - timedelta(days=number)
    told = revisions(team("planner").log())
    assert told[:5] == made[::-1]
    assert told == git(store.path, "rev-list", "context").splitlines()


def test_a_write_is_told_with_everything_that_its_commit_says(team: Team) -> None:
    session = team("coder-1").sessions.start(actor="coder-1").id
    written = team("coder-1", session).apply(
        [Put("b", b"2"), Put("a", b"1")], message="a line\n\nand a paragraph", id="the-write"
    )
    write = next(team("planner").log())
    assert write == Write(
        revision=written.revision,
        op="batch",
        keys=("a", "b"),
        actor="coder-1",
        session=session,
        id=written.id,
        message="a line\n\nand a paragraph",
        written_at=write.written_at,
        parents=write.parents,
        subject="batch b, a",
    )
    assert (write.written_at, write.written_at.tzinfo) == (BEGIN + timedelta(minutes=2), UTC)


def test_the_root_is_the_oldest_write_and_has_no_keys(ctx: Context) -> None:
    *_, root = ctx.log()
    assert (root.op, root.keys, root.parents) == ("init", (), ())
    assert ctx.show(root.revision) == (root, [])


def test_the_log_of_a_key_has_each_write_that_changed_it_and_no_other(team: Team) -> None:
    ctx = team("planner")
    first = ctx.put("plan/a", "1").revision
    ctx.put("plan/ab", "1")
    ctx.put("other", "1")
    changed = ctx.apply([Put("plan/a", b"2"), Put("x", b"1")]).revision
    removed = ctx.remove("plan/a").revision
    folder = ctx.put("plan/a/below", "1").revision
    back = ctx.apply([Remove("plan/a/below"), Put("plan/a", b"3")]).revision
    assert revisions(ctx.log("plan/a")) == [back, removed, changed, first]
    assert revisions(ctx.log("plan/a/")) == [back, folder]
    assert revisions(ctx.log("plan/a/below")) == [back, folder]
    assert list(ctx.log("never")) == []
    assert ctx.last_write("plan/a") == next(ctx.log("plan/a"))
    assert ctx.last_write("plan/a", at="head~1") is not None
    assert revisions([ctx.last_write("plan/a", at=folder)]) == [removed]
    assert ctx.last_write("never") is None


def test_the_log_of_a_folder_has_each_write_below_it(team: Team) -> None:
    ctx = team("planner")
    one = ctx.put("plan/a", "1").revision
    ctx.put("planet", "1")
    two = ctx.put("plan/deep/er/b", "1").revision
    three = ctx.move("plan/deep/", "elsewhere/").revision
    assert revisions(ctx.log("plan/")) == [three, two, one]
    assert revisions(ctx.log("plan/deep/")) == [three, two]
    assert revisions(ctx.log("elsewhere/")) == [three]


def test_a_key_in_a_folder_that_is_split_keeps_its_log(team: Team) -> None:
    ctx = team("planner")
    first = ctx.put("wide/007", "1").revision
    ctx.apply([Put(f"wide/{number:03}", b"1") for number in range(300)])
    assert revisions(ctx.log("wide/007")) == [first]
    second = ctx.put("wide/007", "2").revision
    ctx.apply([Remove(f"wide/{number:03}") for number in range(300) if number != 7])
    assert revisions(ctx.log("wide/007")) == [second, first]


def test_filters_by_actor_session_and_time_can_be_combined(team: Team) -> None:
    session = team("coder-1").sessions.start(actor="coder-1").id
    made = {
        "planner": team("planner").put("a", "1").revision,
        "coder": team("coder-1").put("a", "2").revision,
        "session": team("coder-1", session).put("b", "3").revision,
        "late": team("planner").put("a", "4").revision,
    }
    ctx = team("reader")
    cases: list[tuple[list[str], Callable[[], object]]] = [
        (["late", "planner"], lambda: ctx.log(actor="planner")),
        (["session", "coder"], lambda: ctx.log(actor="coder-1")),
        (["session"], lambda: ctx.log(session=session)),
        (["late", "session", "coder"], lambda: ctx.log(since=BEGIN + timedelta(minutes=3))),
        (["late", "session"], lambda: ctx.log(since=made["coder"])),
        (["late"], lambda: ctx.log("a", since=made["coder"], limit=5)),
        (["coder"], lambda: ctx.log("a", actor="coder-1", since=BEGIN)),
        (["session", "coder"], lambda: ctx.log(start=made["session"], limit=2)),
        ([], lambda: ctx.log(session="01ARZ3NDEKTSV4RRFFQ69G5FAV")),
        ([], lambda: ctx.log(actor="plan")),
        ([], lambda: ctx.log(limit=0)),
        ([], lambda: ctx.log(since="head")),
    ]
    for expected, act in cases:
        assert revisions(act()) == [made[name] for name in expected], expected


def test_what_names_no_revision_or_key_is_refused(ctx: Context) -> None:
    with pytest.raises(RevisionNotFound):
        ctx.log(start="beef" * 10)
    with pytest.raises(RevisionNotFound):
        ctx.log(since="no-such-name")
    with pytest.raises(InvalidKey):
        ctx.log("a//b")


def test_a_time_or_a_trailer_that_another_program_garbled_stops_no_log(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "garbled.git")
    ctx = Context(store, actor="planner")
    tree, head = git(store.path, "rev-parse", "context^{tree}"), ctx.head
    raw = (
        f"tree {tree}\nparent {head}\n"
        "author somebody <somebody@example.com> 99999999999999 +0000\n"
        "committer somebody <somebody@example.com> 1 +9999\n\n"
        "by hand\n\nGitctx-Retries: many\nGitctx-Id: x\n"
    )
    made = git(store.path, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)
    git(store.path, "update-ref", "refs/heads/context", made)
    write = next(ctx.log())
    assert (write.revision, write.retries, write.written_at.year) == (made, 0, 1970)
    assert ctx.put("a", "1").changed


def test_merges_belong_to_a_keys_log_only_where_they_decided_something(store: Store, ctx: Context) -> None:
    base = ctx.put("a", "0").revision

    def side(parents: list[str], text: str) -> str:
        blob = git(store.path, "hash-object", "-w", "--stdin", stdin=text)
        tree = git(store.path, "mktree", stdin=f"100644 blob {blob}\ta\n")
        return git(store.path, "commit-tree", *(f"-p{parent}" for parent in parents), "-m", text, tree)

    left, right = side([base], "left"), side([base], "right")
    taken = side([left, right], "left")
    decided = side([taken, right], "both")
    git(store.path, "update-ref", "refs/heads/context", decided)
    assert set(revisions(ctx.log("a"))) == {decided, left, right, base}
    assert taken in revisions(ctx.log())


def test_what_git_finds_far_away_is_what_looking_at_each_commit_finds(
    store: Store, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that moved between a folder and its split, were removed and came back, lie deep, or were merged back."""
    planner = team("planner")
    with planner.batch("fill") as batch:
        for number in range(250):
            batch.put(f"wide/{number:03}", f"{number}")
        for key in ("a", "deep/er/and/deeper/still.md", "been/here"):
            batch.put(key, "first")
    for number in range(250, 262):
        planner.put(f"wide/{number:03}", "x")
    planner.put("wide/003", "changed while it was split")
    planner.remove("been/here")
    planner.remove("wide/258")
    for number in range(250, 257):
        planner.remove(f"wide/{number:03}")
    planner.put("been/here", "again")
    # Away from a folder while that is split, it comes back when the folder isn't any more.
    planner.remove("wide/000")
    planner.apply([Put(f"wide/more-{number}", b"1") for number in range(20)])
    planner.put("wide/000", "back while it is split")
    planner.remove("wide/000")
    planner.apply(
        [Remove(f"wide/more-{number}") for number in range(20)] + [Remove(f"wide/{n:03}") for n in range(9, 200)]
    )
    planner.put("wide/000", "back when it isn't any more")
    before = git(store.path, "rev-parse", "context")
    planner.put("a", "thrown off and lost to the other side")
    planner.put("b", "thrown off and brought back")
    git(store.path, "update-ref", "refs/heads/context", before)
    team("coder").put("a", "the other side")
    planner.put("deep/er/and/deeper/other.md", "beside it")
    keys = [*(f"wide/{number:03}" for number in (0, 3, 100, 251, 258, 261)), "a", "b", "been/here", "not/there"]
    keys += ["deep/er/and/deeper/still.md", "deep/er/and/deeper/other.md"]
    head = store.context.head()
    found = []
    for near in (10_000, 0, 3):
        monkeypatch.setattr(history, "_NEAR", near)
        writes = [revisions(store.history.writes(head, key=key)) for key in [*keys, "wide/", "deep/er/"]]
        last = [write.revision if write else None for write in [store.history.last_write(head, key) for key in keys]]
        found.append((writes, last))
    assert found[0] == found[1] == found[2]
    last_writes = dict(zip(keys, found[0][1], strict=True))
    for key, revision in last_writes.items():
        if revision is not None:
            assert store.context.view(revision).etag(key) == store.context.view().etag(key)
    assert last_writes["not/there"] is None
    assert len(found[0][0][keys.index("a")]) > 2, "both sides are told of"
