"""A live session tells everything, whatever fails in between, and ends when it should."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from gitctx.context import Context
from gitctx.errors import InvalidInput, LeaseLost, SessionEnded, SessionNotFound, SessionTaken, StorageError
from gitctx.sessions import Machine, Session, Sessions
from gitctx.store import Store
from gitctx.sync import live as living
from gitctx.sync import watch as watching
from gitctx.sync.switch import pause, resume
from gitctx.values import WatchedChange
from gitctx_testkit.children import Child
from gitctx_testkit.git import git
from gitctx_testkit.processes import children, wait_until

CONTEXT = "refs/heads/context"
PATIENCE_S = 30.0


class Told:
    """A callback that notes what it is told, and may be told to fail."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.failing = False
        self.failed = 0

    def __call__(self, change: WatchedChange) -> None:
        if self.failing:
            self.failed += 1
            raise ValueError("the callback fails")
        self.keys.append(change.key)

    def wait_for(self, *keys: str) -> None:
        wait_until(lambda: len(self.keys) >= len(keys), PATIENCE_S)
        assert self.keys == list(keys)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def session(ctx: Context) -> Iterator[Session]:
    with ctx.sessions.start(actor="coder-1", beat_every_s=None, on_signals=False) as session:
        yield session


def wait_for_state(session: Session, state: str) -> None:
    wait_until(lambda: session.sync.state == state, PATIENCE_S)


def test_a_session_is_told_what_others_write_and_has_a_context_of_its_own(
    ctx: Context, session: Session, told: Told
) -> None:
    assert session.sync.state == "off"
    session.sync.start(told)
    assert (session.sync.state, session.sync.last_error) == ("running", None)
    session.context.put("own", "1")
    session.context.update("shared.json", lambda value: {"n": 1})
    ctx.put("a", "1")
    ctx.put("b", "1")
    told.wait_for("a", "b")
    assert next(iter(ctx.log("own"))).session == session.id
    with pytest.raises(InvalidInput, match="running already"):
        session.sync.start(told)


def test_its_own_writes_are_told_if_that_is_wanted_and_only_below_the_prefix(session: Session, told: Told) -> None:
    since = session.context.put("plan/before", "1").revision
    session.context.put("plan/a", "1")
    session.sync.start(told, prefix="plan/", include_self=True, since=since)
    session.context.put("other", "1")
    session.context.put("plan/b", "1")
    told.wait_for("plan/a", "plan/b")


def test_after_a_stop_nothing_is_told_and_it_may_be_started_again(ctx: Context, session: Session, told: Told) -> None:
    session.sync.start(told)
    session.sync.stop()
    assert session.sync.state == "off"
    session.sync.stop()
    ctx.put("a", "1")
    session.sync.start(told)
    ctx.put("b", "1")
    told.wait_for("b")


def test_a_callback_that_hangs_holds_up_no_stop_and_is_told_nothing_more(ctx: Context, session: Session) -> None:
    entered, release, seen = threading.Event(), threading.Event(), []

    def hang(change: WatchedChange) -> None:
        seen.append(change.key)
        entered.set()
        release.wait(PATIENCE_S)

    session.sync.start(hang)
    ctx.put("a", "1")
    ctx.put("b", "1")
    assert entered.wait(PATIENCE_S)
    session.sync.stop(wait_s=0.05)
    assert session.sync.state == "off"
    thread = next(each for each in threading.enumerate() if each.name == "gitctx-live" and each.is_alive())
    release.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert seen == ["a"]


def test_a_callback_may_stop_it(ctx: Context, session: Session) -> None:
    seen: list[str] = []

    def once(change: WatchedChange) -> None:
        seen.append(change.key)
        session.sync.stop()

    session.sync.start(once)
    ctx.put("a", "1")
    ctx.put("b", "1")
    wait_for_state(session, "off")
    assert seen == ["a"]


def test_a_callback_that_fails_gets_the_same_change_again(ctx: Context, session: Session, told: Told) -> None:
    told.failing = True
    session.sync.start(told)
    ctx.put("a", "1")
    ctx.put("b", "1")
    wait_until(lambda: told.failed > 0, PATIENCE_S)
    told.failing = False
    told.wait_for("a", "b")
    assert isinstance(session.sync.last_error, ValueError)


def test_after_repeated_failures_it_says_so_rests_and_comes_back_with_no_change_missed(
    ctx: Context, session: Session, told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(living, "_AGAIN_S", 0.001)
    monkeypatch.setattr(living, "FIRST_REST_S", 0.01)
    monkeypatch.setattr(living, "LONGEST_REST_S", 0.05)
    told.failing = True
    session.sync.start(told)
    ctx.put("a", "1")
    with caplog.at_level(logging.WARNING, "gitctx.sync"):
        wait_for_state(session, "backing off")
        assert "takes a rest" in caplog.text
        assert isinstance(session.sync.last_error, ValueError)
        wait_until(lambda: told.failed > living.TOLERATED + 2, PATIENCE_S)
        ctx.put("b", "1")
        told.failing = False
        told.wait_for("a", "b")
        wait_for_state(session, "running")
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "a live session takes a rest after repeated failures, the last one",
        "a live session goes on",
    ]


def test_rests_grow_up_to_a_minute() -> None:
    assert [living.rest_s(failures) for failures in (1, 4, 5, 6, 7, 11, 12, 10_000)] == [0, 0, 0.5, 1, 2, 32, 60, 60]


def test_a_store_that_cannot_be_read_is_a_reason_to_rest_and_come_back(
    store: Store, ctx: Context, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE_S", 0.0)
    monkeypatch.setattr(living, "FIRST_REST_S", 0.01)
    live = ctx.on_change(told)
    file = store.path / CONTEXT
    ctx.put("a", "1")
    told.wait_for("a")
    ctx.put("b", "1")
    told.wait_for("a", "b")
    aside = file.rename(file.with_name("aside"))
    wait_until(lambda: live.state == "backing off", PATIENCE_S)
    aside.rename(file)
    wait_until(lambda: live.state == "running", PATIENCE_S)
    ctx.put("c", "1")
    told.wait_for("a", "b", "c")
    live.stop()


def test_whoever_lost_the_place_in_history_is_told_everything_anew(ctx: Context, told: Told) -> None:
    ctx.put("a", "1")
    ctx.put("b", "1")
    live = ctx.on_change(told, since="1" * 40)
    told.wait_for("a", "b")
    ctx.put("c", "1")
    told.wait_for("a", "b", "c")
    assert live.state == "running"
    live.stop()


def test_while_the_store_is_paused_nothing_is_told_and_nothing_is_missed(
    store: Store, ctx: Context, session: Session, told: Told
) -> None:
    session.sync.start(told)
    pause(store.path, actor="planner", at=store.config.clock())
    wait_for_state(session, "paused")
    ctx.put("a", "1")
    ctx.put("b", "1")
    assert told.keys == []
    resume(store.path)
    told.wait_for("a", "b")
    wait_for_state(session, "running")


# -- ends -------------------------------------------------------------------------------------------------------------


def test_it_ends_with_its_session(ctx: Context, told: Told) -> None:
    with ctx.sessions.start(actor="coder-1", beat_every_s=None, on_signals=False) as session:
        session.sync.start(told)
    assert session.sync.state == "off"
    ctx.put("a", "1")
    assert told.keys == []


@pytest.mark.parametrize("how", ["ended", "taken"])
def test_it_ends_when_somebody_else_ends_its_session(
    ctx: Context, told: Told, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "_LOOK_UP_EVERY_S", 0.01)
    session = ctx.sessions.start(actor="coder-1", hold=False)
    session.sync.start(told)
    if how == "ended":
        ctx.sessions.end(session.id)
    else:
        monkeypatch.setattr(Machine, "process", lambda *_: None)
        ctx.sessions.recover(session.id, actor="planner")
    wait_for_state(session, "off")
    assert type(session.sync.last_error) is (SessionEnded if how == "ended" else SessionTaken)


def test_a_session_that_is_unknown_for_a_moment_goes_on(
    store: Store, ctx: Context, session: Session, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its branch is moved by force, and back: only when it stays unknown there is nothing left to keep in step."""
    monkeypatch.setattr(living, "_LOOK_UP_EVERY_S", 0.01)
    session.sync.start(told)
    known = git(store.path, "rev-parse", "sessions")
    git(store.path, "update-ref", "refs/heads/sessions", f"{known}~1")
    wait_until(lambda: isinstance(session.sync.last_error, SessionNotFound), PATIENCE_S)
    ctx.put("a", "1")
    told.wait_for("a")
    git(store.path, "update-ref", "refs/heads/sessions", known)
    ctx.put("b", "1")
    told.wait_for("a", "b")
    monkeypatch.setattr(living, "PATIENCE_S", 0.0)
    git(store.path, "update-ref", "refs/heads/sessions", f"{known}~1")
    wait_for_state(session, "off")
    git(store.path, "update-ref", "refs/heads/sessions", known)


def test_where_no_thread_is_to_be_had_it_stays_off(
    session: Session, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as few:
        few.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StorageError, match="no thread"):
            session.sync.start(told)
    assert session.sync.state == "off"
    session.sync.start(told)
    assert session.sync.state == "running"


def test_a_forked_child_has_no_part_in_it(ctx: Context, session: Session, told: Told) -> None:
    session.sync.start(told)
    live = ctx.on_change(told)

    def in_child(_: object) -> tuple[str, str]:
        live.stop()
        try:
            session.sync.stop()
        except LeaseLost:
            return live.state, "refused"
        return live.state, "allowed"

    with children(in_child) as (child,):
        assert child.result() == ("off", "refused")
    assert (live.state, session.sync.state) == ("running", "running")
    live.stop()


def test_a_session_without_a_context_around_it_says_how_to_have_one(store: Store) -> None:
    session = Sessions(store, Machine()).start(actor="coder-1", hold=False)
    with pytest.raises(InvalidInput, match="without a context"):
        _ = session.sync


PROGRAM = """
import sys, gitctx
ctx = gitctx.open(sys.argv[1], actor="coder-1")
def on_change(change):
    print(change.key, flush=True)
    if sys.argv[2] == "hang":
        import threading
        threading.Event().wait()
session = ctx.sessions.start(actor="coder-1")
session.sync.start(on_change)
print(session.id, flush=True)
if sys.argv[2] == "signal":
    import time
    time.sleep(600)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["exit", "hang", "signal"])
def test_it_never_keeps_a_program_alive(ctx: Context, how: str) -> None:
    with Child(PROGRAM, ctx.store.path, how) as program:
        id = program.line()
        ctx.put("a", "1")
        assert program.line() == "a"
        if how == "signal":
            os.kill(program.pid, signal.SIGTERM)
        else:
            program.tell("end")
        assert program.process.wait(PATIENCE_S) == (-signal.SIGTERM if how == "signal" else 0)
        assert ctx.sessions.get(id).record.graceful_shutdown
