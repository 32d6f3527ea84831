"""A watch tells everything, in order, whatever happens to the ref; and it ends when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.errors import BrokenHistory, InvalidInput, InvalidKey, RevisionNotFound, WaitTimeout
from gitctx.recovery import Recovery
from gitctx.store import Store
from gitctx.sync import watch as watching
from gitctx.sync.switch import is_paused, pause, paused, resume
from gitctx.sync.watch import Watch
from gitctx.values import SyncPause, WatchedChange
from gitctx_testkit.git import git
from gitctx_testkit.processes import wait_until

CONTEXT = "refs/heads/context"
PATIENCE_S = 30.0


def keys(watch: Watch, count: int) -> list[str]:
    found = [watch.next(PATIENCE_S) for _ in range(count)]
    return [change.key if change is not None else "nothing" for change in found]


def in_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_what_is_written_after_the_watch_began_is_told_in_order(ctx: Context) -> None:
    ctx.put("before", "1")
    with ctx.watch() as watch:
        first = ctx.put("plan/a", "1")
        ctx.put("plan/b", "1")
        assert watch.next(PATIENCE_S) == WatchedChange(
            first.revision, "plan/a", "added", None, first.etag, "planner", None, True
        )
        assert keys(watch, 1) == ["plan/b"]
        assert watch.revision == ctx.head
        assert watch.next(0.0) is None


def test_a_watch_goes_on_from_a_revision_without_a_gap(ctx: Context) -> None:
    since = ctx.put("a", "1").revision
    ctx.put("b", "1")
    ctx.put("other/c", "1")
    with ctx.watch(since=since) as watch:
        assert keys(watch, 2) == ["b", "other/c"]
    with ctx.watch("other/", since=since[:12]) as watch:
        assert keys(watch, 1) == ["other/c"]


def test_whoever_stops_within_a_revision_is_told_all_of_it_again(ctx: Context) -> None:
    with ctx.watch() as watch:
        with ctx.batch() as batch:
            batch.put("a", "1")
            batch.put("b", "1")
        start = watch.revision
        assert keys(watch, 1) == ["a"]
        assert watch.revision == start
    with ctx.watch(since=watch.revision) as again:
        assert keys(again, 2) == ["a", "b"]
        assert again.revision == ctx.head


def test_all_changes_of_a_revision_are_had_at_once(ctx: Context) -> None:
    with ctx.watch() as watch:
        with ctx.batch() as batch:
            batch.put("a", "1")
            batch.put("b", "1")
        assert keys(watch, 1) == ["a"]
        assert [change.key for change in watch.next_revision(PATIENCE_S)] == ["b"]
        ctx.put("c", "1")
        assert [change.key for change in watch.next_revision(PATIENCE_S)] == ["c"]
        assert watch.next_revision(0.0) == ()


def test_what_the_own_session_wrote_is_left_out(store: Store, ctx: Context) -> None:
    session = ctx.sessions.start(actor="coder-1", hold=False).id
    with ctx.watch(exclude_session=session) as watch:
        Context(store, actor="coder-1", session=session).put("own", "1")
        ctx.put("others", "1")
        assert keys(watch, 1) == ["others"]


def test_iteration_ends_when_the_time_is_over_or_somebody_closes_the_watch(ctx: Context) -> None:
    assert list(ctx.watch(timeout_s=0.0)) == []
    watch = ctx.watch()
    seen: list[str] = []
    thread = in_thread(lambda: seen.extend(change.key for change in watch))
    ctx.put("a", "1")
    wait_until(lambda: seen == ["a"], PATIENCE_S)
    watch.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    ctx.put("b", "1")
    assert (watch.closed, watch.next(PATIENCE_S), seen) == (True, None, ["a"])


def test_a_slow_consumer_is_told_the_difference(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "NET_BEYOND", 5)
    with ctx.watch() as watch:
        for number in range(8):
            ctx.put("a", f"{number}")
            ctx.put(f"b/{number}", "1")
        ctx.remove("b/0")
        found = watch.next_revision(PATIENCE_S)
        assert [change.key for change in found] == ["a", *(f"b/{number}" for number in range(1, 8))]
        assert {change.revision for change in found} == {ctx.head}
        ctx.put("a", "next")
        ctx.put("a", "and next")
        assert len({change.revision for change in (watch.next(PATIENCE_S), watch.next(PATIENCE_S)) if change}) == 2


def test_packed_refs_hide_nothing(store: Store, ctx: Context) -> None:
    with ctx.watch() as watch:
        for number in range(3):
            ctx.put(f"a/{number}", "1")
            git(store.path, "pack-refs", "--all", "--prune")
            assert keys(watch, 1) == [f"a/{number}"]


def test_a_branch_that_was_moved_by_force_is_told_there_and_back(store: Store, ctx: Context) -> None:
    base = ctx.put("a", "1").revision
    with ctx.watch() as watch:
        ctx.put("b", "1")
        assert keys(watch, 1) == ["b"]
        git(store.path, "update-ref", CONTEXT, base)
        change = watch.next(PATIENCE_S)
        assert change is not None
        assert (change.kind, change.key, change.revision) == ("removed", "b", base)
        ctx.put("c", "1")
        assert keys(watch, 2) == ["b", "c"]


def test_history_that_begins_anew_with_the_same_content_is_no_change(store: Store, ctx: Context) -> None:
    ctx.put("a", "1")
    with ctx.watch() as watch:
        old = ctx.head
        fresh = git(store.path, "commit-tree", f"{old}^{{tree}}", "-m", "squashed")
        git(store.path, "update-ref", CONTEXT, fresh)
        assert watch.next(0.2) is None
        assert watch.revision == fresh
        git(store.path, "update-ref", CONTEXT, old)
        ctx.put("b", "1")
        assert keys(watch, 1) == ["b"]


@pytest.mark.parametrize("damage", ["gone", "torn", "names nothing"])
def test_a_head_that_cannot_be_read_for_a_moment_is_waited_out(store: Store, ctx: Context, damage: str) -> None:
    file = store.path / CONTEXT
    with ctx.watch() as watch:
        ctx.put("a", "1")
        sound = file.read_bytes()
        aside = file.with_name("aside")
        file.rename(aside)
        if damage != "gone":
            file.write_bytes(b"" if damage == "torn" else b"1" * 40 + b"\n")
        assert watch.next(0.2) is None
        aside.write_bytes(sound)
        aside.replace(file)
        assert keys(watch, 1) == ["a"]


def test_a_head_that_stays_unreadable_is_an_error_and_the_watch_may_go_on_after_it(
    store: Store, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE_S", 0.0)
    file = store.path / CONTEXT
    with ctx.watch() as watch:
        ctx.put("a", "1")
        aside = file.rename(file.with_name("aside"))
        with pytest.raises(BrokenHistory):
            watch.next(PATIENCE_S)
        aside.rename(file)
        assert keys(watch, 1) == ["a"]


def test_a_watch_from_a_revision_that_is_gone_says_so(ctx: Context) -> None:
    with pytest.raises(RevisionNotFound, match="can't be read any more"):
        ctx.watch(since="1" * 40).next(PATIENCE_S)
    with pytest.raises(RevisionNotFound):
        ctx.watch(since="no-such-checkpoint")
    with pytest.raises(InvalidKey):
        ctx.watch("../x")


def test_what_a_recovery_could_not_give_back_loses_the_place_and_the_rest_can_be_told_anew(
    store: Store, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE_S", 0.0)
    ctx.put("a", "1")
    packs = store.path / "objects" / "pack"
    before = set(packs.iterdir())
    own = Store.open(store.path)
    with Context(own, actor="watcher").watch() as watch:
        lost = ctx.put("b/b", "1").revision
        assert keys(watch, 1) == ["b/b"]
        for file in set(packs.iterdir()) - before:
            file.unlink()
        assert Recovery(store.path).apply().changed
        own.repository._drop_handle()
        own.repository._trees.clear()
        with pytest.raises(RevisionNotFound, match=lost):
            watch.next(PATIENCE_S)
        watch.begin_anew()
        assert [change.key for change in watch.next_revision(PATIENCE_S)] == ["a"]
        Context(Store.open(store.path), actor="planner").put("c", "1")
        assert keys(watch, 1) == ["c"]


# -- the switch -------------------------------------------------------------------------------------------------------


def test_while_the_store_is_paused_nothing_is_told_and_afterwards_everything(store: Store, ctx: Context) -> None:
    now = store.config.clock()
    with ctx.watch() as watch:
        with ctx.batch() as batch:
            batch.put("a", "1")
            batch.put("b", "1")
        assert keys(watch, 1) == ["a"]
        made = pause(store.path, actor="planner", at=now, message="too many changes")
        wait_until(lambda: watch.next(0.0) is None and watch.paused, PATIENCE_S)
        ctx.put("c", "1")
        assert watch.next_revision(0.3) == ()
        assert pause(store.path, actor="coder-1", at=now) == made == paused(store.path)
        assert resume(store.path) == made
        left = [change.key for change in iter(lambda: watch.next(0.5), None)]
        assert left in (["b", "c"], ["c"])
    assert (resume(store.path), paused(store.path), is_paused(store.path)) == (None, None, False)


def test_a_pause_that_cannot_be_read_is_a_pause(store: Store) -> None:
    (store.path / "gitctx").mkdir(exist_ok=True)
    (store.path / "gitctx" / "sync.paused").write_bytes(b"\xff{")
    assert paused(store.path) == SyncPause(None, "", None, "")
    assert resume(store.path) == SyncPause(None, "", None, "")


# -- waiting for a key ------------------------------------------------------------------------------------------------


def test_waiting_ends_when_the_key_is_there_gone_or_changed(ctx: Context) -> None:
    written = ctx.put("a", "1")
    entry = ctx.wait("a", timeout_s=0)
    assert entry is not None
    assert entry.etag == written.etag
    assert ctx.wait("b", until="absent", timeout_s=0) is None
    changed = ctx.put("a", "2")
    ctx.put("a", "3")
    seen = ctx.wait("a", until="changed", since=written.revision, timeout_s=PATIENCE_S)
    assert seen is not None
    assert (seen.text(), seen.revision) == ("2", changed.revision)
    ctx.remove("a")
    assert ctx.wait("a", until="changed", since="head~1", timeout_s=PATIENCE_S) is None


@pytest.mark.parametrize(("until", "act"), [("exists", "put"), ("absent", "remove"), ("changed", "put")])
def test_waiting_sees_what_comes_later(store: Store, ctx: Context, until: str, act: str) -> None:
    if until != "exists":
        ctx.put("a", "1")
    ctx.put("a-neighbour", "1")
    found: list[object] = []
    other = Context(store, actor="coder-1")
    thread = in_thread(lambda: found.append(other.wait("a", until=until, timeout_s=PATIENCE_S)))  # type: ignore[arg-type]
    ctx.put("a-neighbour", "2")
    while thread.is_alive():
        if act == "put":
            ctx.put("a", f"{ctx.head}")
        else:
            ctx.remove("a", missing_ok=True)
        thread.join(0.02)
    assert (found[0] is None) == (until == "absent")


def test_a_wait_that_takes_too_long_is_an_error_of_its_own(store: Store, ctx: Context) -> None:
    with pytest.raises(WaitTimeout, match=r"'a' didn't come to be within 0\.01 s") as caught:
        ctx.wait("a", timeout_s=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.details == {"key": "a", "until": "exists", "timeout_s": 0.01}
    with pytest.raises(InvalidInput):
        ctx.wait("a", until="never")  # type: ignore[arg-type]
    pause(store.path, actor="planner", at=store.config.clock())
    with pytest.raises(WaitTimeout, match="paused") as caught:
        ctx.wait("a", timeout_s=0.01)
    assert "sync resume" in caught.value.hint


def test_waiting_does_not_change_what_the_next_write_is_built_on(store: Store, ctx: Context) -> None:
    ctx.put("a", "1")
    ctx.get("a")
    Context(store, actor="coder-1").put("a", "2")
    ctx.wait("a", timeout_s=0)
    assert ctx.put("a", "3").superseded != ()


def test_a_watch_is_used_in_a_project_too(project: Path) -> None:
    import gitctx

    gitctx.create(project)
    with gitctx.open(project, actor="planner") as ctx, ctx.watch() as watch:
        ctx.put("a", "1")
        assert keys(watch, 1) == ["a"]
