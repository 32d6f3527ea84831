"""A session's life on the branch `sessions`, on machines where a test decides what runs."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import (
    CorruptStore,
    IdReused,
    InvalidInput,
    InvalidName,
    LeaseLost,
    SessionEnded,
    SessionNotFound,
    SessionTaken,
    StorageError,
)
from gitctx.format.documents import to_canonical_json
from gitctx.sessions import Sessions
from gitctx.store import Store, View
from gitctx.store.bases import seen_folder
from gitctx.store.request import Planned, Request
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def sessions(store: Store, machine: FakeMachine) -> Sessions:
    return Sessions(store, machine)


def rewrite(store: Store, id: str, **fields: object) -> None:
    """Change a record as another program would."""

    def plan(view: View) -> Planned:
        record = json.loads(view.value(f"{id}.json") or b"{}")
        return Planned(changes={f"{id}.json": to_canonical_json({**record, **fields})})

    store.sessions.write(Request(op="test", subject="test", actor="somebody", plan=plan))


def lease_of(store: Store, id: str) -> Path:
    return store.path / "gitctx" / "leases" / id


def test_a_start_and_an_end_are_one_commit_each_that_plain_git_can_read(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="planner", agent="claude", hold=False, pid=100, message="for the parser")
    session.end(reason="done")
    log = git(store.path, "log", "--format=%an|%s|%(trailers:key=Gitctx-Op,valueonly,separator=)", "sessions")
    assert log.splitlines()[:2] == [
        f"planner|session-end {session.id}|session-end",
        f"planner|session-start {session.id}|session-start",
    ]
    for place in ("sessions", "sessions~1"):
        body = git(store.path, "log", "-1", "--format=%B", place)
        assert f"Gitctx-Session: {session.id}" in body
        assert "Gitctx-Id: " in body
    assert "for the parser" in git(store.path, "log", "-1", "--format=%b", "sessions~1")
    record = json.loads(git(store.path, "show", f"sessions:{session.id}.json"))
    assert set(record) == {
        *("format", "id", "actor", "agent", "host_id", "hostname", "boot_id", "pid_namespace", "pid"),
        *("process_started_at", "started_at", "ended_at", "end_reason", "graceful_shutdown", "start_revision"),
        *("last_checkpoint", "recovered_by", "recovered"),
    }
    assert (record["agent"], record["pid"], record["process_started_at"]) == ("claude", 100, "5000")
    assert (record["graceful_shutdown"], record["end_reason"]) == (True, "done")


def test_what_a_session_leaves_on_the_machine_goes_when_it_ends(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    seen_folder(store.path, session.id).mkdir(parents=True)
    assert lease_of(store, session.id).exists()
    sessions.end(session.id)
    assert not lease_of(store, session.id).exists()
    assert not seen_folder(store.path, session.id).exists()


def test_ending_twice_changes_nothing(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    first = sessions.end(session.id, reason="done", graceful=False)
    head = store.sessions.head()
    assert sessions.end(session.id, reason="again") == first
    assert Sessions(Store.open(store.path), FakeMachine()).end(session.id) == first
    assert session.end() == first
    assert store.sessions.head() == head
    assert first.graceful_shutdown is False
    assert first.end_reason == "done"


def test_an_end_that_lost_the_race_to_another_end_keeps_the_first_reason(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    other = Sessions(Store.open(store.path, Config(queue_patience_s=0.01, durability="relaxed")), FakeMachine())

    def overtake() -> None:
        failpoints.deactivate()
        other.end(session.id, reason="other")

    failpoints.activate("write.before_swap", overtake)
    try:
        assert sessions.end(session.id, reason="mine").end_reason == "other"
    finally:
        failpoints.deactivate()


def test_the_state_follows_the_process(store: Store, sessions: Sessions, machine: FakeMachine) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    assert sessions.state(session.id) == "alive"
    status = sessions.get(session.id)
    assert status.state == "alive"
    assert status.last_beat_at is not None
    machine.run(100, "vim", started_at="7000")
    assert sessions.state(session.id) == "dead"
    machine.kill(100)
    assert sessions.get(session.id).state == "dead"
    machine.run(100)
    machine.reboot()
    assert sessions.state(session.id) == "dead"
    sessions.end(session.id)
    assert sessions.state(session.id) == "ended"


@pytest.mark.parametrize(
    "place", [FakeMachine(host="host-b"), FakeMachine(space="pid:[2]"), FakeMachine(host="b", boot="x")]
)
def test_elsewhere_a_session_is_silent(store: Store, sessions: Sessions, place: FakeMachine) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    place.kill(100)
    assert Sessions(store, place).state(session.id) == "silent"


def test_in_a_copied_store_a_session_is_silent_and_a_new_one_is_judged(
    store: Store, sessions: Sessions, machine: FakeMachine, tmp_path: Path
) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    shutil.copytree(store.path, tmp_path / "copy.git", copy_function=shutil.copy2)
    copy = Sessions(Store.open(tmp_path / "copy.git"), machine)
    assert copy.state(session.id) == "silent"
    assert copy.get(session.id).last_beat_at is None
    fresh = copy.start(actor="coder", hold=False, pid=100)
    assert copy.state(fresh.id) == "alive"
    machine.kill(100)
    assert copy.state(fresh.id) == "dead"
    assert copy.state(session.id) == "silent"
    assert sessions.state(session.id) == "dead"


def test_a_deleted_working_folder_makes_sessions_silent_until_they_beat(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    shutil.rmtree(store.path / "gitctx")
    assert sessions.state(session.id) == "silent"
    assert sessions.get(session.id).record == session.record
    sessions.beat(session.id)
    assert sessions.state(session.id) == "alive"
    shutil.rmtree(store.path / "gitctx")
    machine.run(100, started_at="7000")
    with pytest.raises(LeaseLost, match="no lease here"):
        sessions.beat(session.id)
    assert sessions.state(session.id) == "silent"


def test_a_beat_is_told_by_the_lease_and_judged_by_the_clock_given(tmp_path: Path, machine: FakeMachine) -> None:
    clock = Clock()
    sessions = Sessions(Store.create(tmp_path / "s.git", Config(clock=clock, durability="relaxed")), machine)
    session = sessions.start(actor="planner", hold=False, pid=100)
    started = clock.now
    clock.now += timedelta(hours=5)
    old = {item.layer: item.finding for item in sessions.get(session.id).evidence}
    assert sessions.get(session.id).last_beat_at == started
    assert (old["heartbeat"], old["process"]) == ("suspicious", "alive")
    session.beat()
    assert sessions.get(session.id).last_beat_at == clock.now
    clock.now -= timedelta(days=30)
    assert sessions.state(session.id) == "alive"


def test_sessions_are_listed_newest_first(tmp_path: Path, machine: FakeMachine) -> None:
    clock = Clock()
    sessions = Sessions(Store.create(tmp_path / "s.git", Config(clock=clock, durability="relaxed")), machine)
    ids = []
    for _ in range(3):
        clock.now += timedelta(seconds=1)
        ids.append(sessions.start(actor="planner", hold=False, pid=100).id)
    sessions.end(ids[1])
    assert [status.record.id for status in sessions.list()] == ids[::-1]
    assert [status.state for status in sessions.list()] == ["alive", "ended", "alive"]
    assert [status.record.id for status in sessions.list(include_ended=False)] == [ids[2], ids[0]]


def test_fields_that_a_newer_gitctx_wrote_survive_the_end(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    rewrite(store, session.id, mood={"happy": True})
    assert sessions.end(session.id).extra == {"mood": {"happy": True}}
    assert json.loads(git(store.path, "show", f"sessions:{session.id}.json"))["mood"] == {"happy": True}


def test_a_record_that_cannot_be_read_hides_no_other_one(tmp_path: Path, machine: FakeMachine) -> None:
    store = Store.create(tmp_path / "s.git", Config(durability="relaxed"))
    sessions = Sessions(store, machine)
    good, bad = (sessions.start(actor="planner", hold=False, pid=100).id for _ in range(2))
    store.sessions.write(
        Request("test", "test", "somebody", lambda view: Planned({f"{bad}.json": b"{", "README": b"hello"}))
    )
    assert [status.record.id for status in sessions.list()] == [good]
    with pytest.raises(CorruptStore):
        sessions.get(bad)
    sessions.start(actor="planner", hold=False, pid=100)


@pytest.mark.parametrize("id", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "", "../../config", "a/b", "01"])
def test_an_unknown_session_is_told_how_to_find_it(sessions: Sessions, id: str) -> None:
    for ask in (sessions.get, sessions.state, sessions.beat, sessions.end, sessions.require_active):
        with pytest.raises(SessionNotFound) as caught:
            ask(id)
        assert "session list" in caught.value.hint


def test_writes_of_a_session_that_ended_or_was_taken_are_refused_in_the_same_swap(
    store: Store, machine: FakeMachine
) -> None:
    sessions = Sessions(store, machine)
    session = sessions.start(actor="planner", hold=False, pid=100)
    ctx = Context(store, actor="planner", session=session.id, machine=machine)
    ctx.put("a", "1")
    rival = Context(Store.open(store.path, Config(queue_patience_s=0.01, durability="relaxed")), actor="rival")

    def overtake() -> None:
        failpoints.deactivate()
        rival.put("b", "1")
        Sessions(rival.store, machine).end(session.id)

    failpoints.activate("write.before_swap", overtake)
    try:
        with pytest.raises(SessionEnded):
            ctx.put("a", "2")
    finally:
        failpoints.deactivate()
    assert rival.get("a").text() == "1"
    rewrite(store, session.id, recovered_by="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(SessionTaken, match="01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        ctx.put("a", "2")
    with pytest.raises(SessionTaken):
        Context(store, actor="planner", session=session.id, machine=machine)


def test_checking_a_session_costs_no_object_while_the_branch_rests(
    store: Store, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions.start(actor="planner", hold=False, pid=100)
    sessions.require_active(session.id)
    monkeypatch.setattr(store.repository, "read", lambda oid: pytest.fail(f"read {oid}"))
    for _ in range(3):
        sessions.require_active(session.id)


def test_the_same_id_starts_one_session(store: Store, sessions: Sessions, machine: FakeMachine) -> None:
    first = sessions.start(actor="planner", hold=False, pid=100, id="begin-1")
    again = Sessions(Store.open(store.path), machine).start(actor="planner", hold=False, pid=100, id="begin-1")
    assert again.id == first.id
    assert os.listdir(store.path / "gitctx" / "leases") == [first.id]
    with pytest.raises(IdReused):
        sessions.start(actor="coder", hold=False, pid=100, id="begin-1")
    assert os.listdir(store.path / "gitctx" / "leases") == [first.id]
    first.end()
    with pytest.raises(SessionEnded):
        sessions.start(actor="planner", hold=False, pid=100, id="begin-1")


def test_a_start_that_fails_leaves_no_lease(store: Store, sessions: Sessions) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    failpoints.activate("objects.before_write", fail)
    try:
        with pytest.raises(StorageError):
            sessions.start(actor="planner")
    finally:
        failpoints.deactivate()
    assert os.listdir(store.path / "gitctx" / "leases") == []
    assert sessions.list() == []


def test_a_start_of_unknown_outcome_keeps_its_lease(store: Store, sessions: Sessions) -> None:
    """If the record was written after all, the session must be found dead when its process goes."""

    def interrupt() -> None:
        failpoints.deactivate()
        raise KeyboardInterrupt

    failpoints.activate("write.after_swap", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            sessions.start(actor="planner")
    finally:
        failpoints.deactivate()
    (status,) = sessions.list()
    assert status.state == "alive"
    assert status.evidence[0].finding == "suspicious"


@pytest.mark.parametrize("pid", [101, 0, -5, 1 << 40])
def test_a_session_of_no_process_is_refused(sessions: Sessions, pid: int) -> None:
    with pytest.raises(InvalidInput, match="no process"):
        sessions.start(actor="planner", pid=pid)
    assert sessions.list() == []


@pytest.mark.parametrize("agent", ["x" * 65, "two\nlines", "\x00"])
def test_an_agent_that_cannot_be_shown_is_refused(sessions: Sessions, agent: str) -> None:
    with pytest.raises(InvalidName):
        sessions.start(actor="planner", agent=agent)


def test_a_registered_session_is_tied_to_the_agent_above_the_shells(sessions: Sessions, machine: FakeMachine) -> None:
    machine.run(1, "systemd", started_at="1")
    machine.run(50, "claude", parent=1, started_at="50")
    machine.run(60, "bash", parent=50)
    machine.run(100, "gitctx", parent=60)
    assert sessions.start(actor="planner", hold=False).record.pid == 50
    machine.run(60, "bash", parent=1)
    assert sessions.start(actor="planner", hold=False).record.pid == 60
    machine.run(100, "gitctx", parent=1)
    with pytest.raises(InvalidInput) as caught:
        sessions.start(actor="planner", hold=False)
    assert "--pid" in caught.value.hint


class TestAnchored:
    """Finding one's session from inside the agent's process tree."""

    @pytest.fixture(autouse=True)
    def tree(self, machine: FakeMachine) -> None:
        machine.run(1, "systemd", started_at="1")
        machine.run(40, "claude", parent=1, started_at="40")
        machine.run(60, "codex", parent=40, started_at="60")
        machine.run(100, "gitctx", parent=60)

    def test_the_nearest_ancestor_counts_and_of_its_sessions_the_newest(
        self, sessions: Sessions, machine: FakeMachine
    ) -> None:
        assert sessions.anchored() is None
        far = sessions.start(actor="a", hold=False, pid=40)
        assert sessions.anchored() == far.id
        near = sessions.start(actor="b", hold=False, pid=60)
        assert sessions.anchored() == near.id
        newer = sessions.start(actor="c", hold=False, pid=60)
        assert sessions.anchored() == max(near.id, newer.id)
        newer.end()
        assert sessions.anchored() == near.id
        near.end()
        assert sessions.anchored() == far.id
        machine.own = 1
        assert sessions.anchored() is None

    def test_a_later_process_with_the_number_inherits_nothing(self, sessions: Sessions, machine: FakeMachine) -> None:
        sessions.start(actor="a", hold=False, pid=60)
        machine.run(60, "codex", parent=40, started_at="999")
        assert sessions.anchored() is None

    def test_no_lease_of_elsewhere_counts(self, store: Store, sessions: Sessions, machine: FakeMachine) -> None:
        sessions.start(actor="a", hold=False, pid=60)
        for name, value in {"host": "other", "boot": "other", "space": "other"}.items():
            before = getattr(machine, name)
            setattr(machine, name, value)
            assert sessions.anchored() is None
            setattr(machine, name, before)
        assert sessions.anchored() is not None
        (store.path / "gitctx" / "instance").unlink()
        assert sessions.anchored() is None

    def test_a_session_that_others_took_over_is_not_joined(self, store: Store, sessions: Sessions) -> None:
        session = sessions.start(actor="a", hold=False, pid=60)
        rewrite(store, session.id, recovered_by="01ARZ3NDEKTSV4RRFFQ69G5FAV")
        assert sessions.anchored() is None

    def test_without_leases_nothing_is_looked_at(
        self, store: Store, sessions: Sessions, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "process", lambda pid: pytest.fail("looked at a process"))
        monkeypatch.setattr(store.repository, "read_ref", lambda name: pytest.fail("looked at a branch"))
        assert sessions.anchored() is None


def test_a_start_sweeps_what_ended_sessions_and_killed_starts_left(tmp_path: Path, machine: FakeMachine) -> None:
    clock = Clock()
    store = Store.create(tmp_path / "s.git", Config(clock=clock, durability="relaxed"))
    sessions = Sessions(store, machine)
    ended, kept, unrecorded = (sessions.start(actor="planner", hold=False, pid=100).id for _ in range(3))
    rewrite(store, ended, ended_at="2026-11-03T10:00:00Z")
    store.sessions.write(Request("test", "test", "somebody", lambda view: Planned({f"{unrecorded}.json": None})))
    sessions.start(actor="planner", hold=False, pid=100)
    assert not lease_of(store, ended).exists()
    assert lease_of(store, unrecorded).exists()
    clock.now += timedelta(days=2)
    sessions.start(actor="planner", hold=False, pid=100)
    assert not lease_of(store, unrecorded).exists()
    assert lease_of(store, kept).exists()
