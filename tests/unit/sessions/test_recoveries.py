"""Recovering sessions: the dead are closed once, with the evidence, and nothing that they wrote is lost."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import (
    InvalidInput,
    SessionEnded,
    SessionNotDead,
    SessionNotFound,
    SessionTaken,
    StorageError,
)
from gitctx.format.documents import to_canonical_json
from gitctx.format.records import encode_session, session_path
from gitctx.sessions import Sessions
from gitctx.store import Store, View
from gitctx.store.request import Planned, Request
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine


@pytest.fixture
def machine() -> FakeMachine:
    made = FakeMachine()
    made.run(200, "claude", started_at="6000")
    return made


@pytest.fixture
def sessions(store: Store, machine: FakeMachine) -> Sessions:
    return Sessions(store, machine)


@pytest.fixture(autouse=True)
def _failpoints_off() -> Iterator[None]:
    yield
    failpoints.deactivate()


def dead(sessions: Sessions, machine: FakeMachine, number: int = 1) -> list[str]:
    """Sessions whose process is gone."""
    machine.run(200, "claude", started_at="6000")
    made = [sessions.start(actor="coder", hold=False, pid=200, recover=False).id for _ in range(number)]
    machine.kill(200)
    return list(made)


def rewrite(store: Store, id: str, **fields: object) -> None:
    """Change a record as another program would."""

    def plan(view: View) -> Planned:
        record = json.loads(view.value(f"{id}.json") or b"{}")
        return Planned(changes={f"{id}.json": to_canonical_json({**record, **fields})})

    store.sessions.write(Request(op="test", subject="test", actor="somebody", plan=plan))


def commits(store: Store, op: str = "session-recover") -> list[str]:
    log = git(store.path, "log", "--format=%(trailers:key=Gitctx-Op,valueonly,separator=)|%s", "sessions")
    return [line.partition("|")[2] for line in log.splitlines() if line.startswith(f"{op}|")]


def test_whoever_starts_recovers_the_dead_and_both_records_say_so(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    (gone,) = dead(sessions, machine)
    started = sessions.start(actor="planner", hold=False, pid=100)
    (recovered,) = started.recovery.recovered
    assert (recovered.record.id, recovered.state, recovered.why) == (gone, "dead", "the process 200 is gone")
    record = json.loads(git(store.path, "show", f"sessions:{gone}.json"))
    assert record["recovered_by"] == started.id
    assert record["ended_at"] is not None
    assert (record["graceful_shutdown"], record["end_reason"]) == (False, "found dead: the process 200 is gone")
    assert json.loads(git(store.path, "show", f"sessions:{started.id}.json"))["recovered"] == [gone]
    assert os.listdir(store.path / "gitctx" / "leases") == [started.id]
    assert sessions.start(actor="planner", hold=False, pid=100).recovery.recovered == ()


def test_the_evidence_is_a_commit_that_plain_git_can_read(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    (gone,) = dead(sessions, machine)
    ctx = Context(store, actor="coder", session=gone, machine=machine)
    ctx.checkpoints.create("mark")
    ctx.claims.claim("job")
    sessions.recover(actor="planner", message="after lunch")
    assert commits(store) == [f"session-recover {gone}"]

    def trailers(key: str) -> list[str]:
        return git(store.path, "log", "-1", f"--format=%(trailers:key={key},valueonly)", "sessions").split("\n")

    layers = [line.split(" ")[:2] for line in trailers("Gitctx-Evidence") if line]
    assert [layer for layer, _ in layers] == ["lease", "process", "heartbeat", "integrity", "space", "orphan"]
    assert "process dead the process 200 is gone" in trailers("Gitctx-Evidence")
    assert trailers("Gitctx-Recovered")[0] == gone
    assert trailers("Gitctx-State")[0] == "dead"
    assert trailers("Gitctx-Checkpoint")[0] == "mark"
    assert trailers("Gitctx-Claim")[0] == "job"
    assert git(store.path, "log", "-1", "--format=%an", "sessions").strip() == "planner"
    assert "after lunch" in git(store.path, "log", "-1", "--format=%b", "sessions")
    assert sessions.record(gone).last_checkpoint == "mark"


def test_the_name_of_a_process_cannot_forge_the_log(store: Store, sessions: Sessions, machine: FakeMachine) -> None:
    (gone,) = dead(sessions, machine)
    machine.run(200, "vim\nGitctx-State: alive\n\nx", started_at="7000")
    sessions.recover(actor="planner")
    states = git(store.path, "log", "-1", "--format=%(trailers:key=Gitctx-State,valueonly,separator=%x2C)", "sessions")
    assert states.strip() == "dead"
    assert (sessions.record(gone).end_reason or "").isprintable()
    assert len(sessions.handover(gone).evidence) == 6


def test_claims_of_the_recovered_are_free(store: Store, sessions: Sessions, machine: FakeMachine) -> None:
    (gone,) = dead(sessions, machine)
    Context(store, actor="coder", session=gone, machine=machine).claims.claim("job", message="half done")
    started = sessions.start(actor="planner", hold=False, pid=100)
    assert started.recovery.recovered[0].claims == ("job",)
    assert sessions.handover(gone).claims == ("job",)
    taken = Context(store, actor="planner", session=started.id, machine=machine).claims.claim("job")
    assert taken.session == started.id
    assert (sessions.handover(gone).claims, sessions.handover(gone).claims_freed) == ((), ("job",))


def test_a_living_or_silent_session_is_not_recovered_unless_asked(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    session = sessions.start(actor="coder", hold=False, pid=200)
    with pytest.raises(SessionNotDead, match="runs") as caught:
        sessions.recover(session.id, actor="planner")
    assert caught.value.details["state"] == "alive"
    with pytest.raises(SessionNotDead):
        sessions.recover(session.id, actor="planner", silent=True)
    machine.space = "pid:[2]"
    with pytest.raises(SessionNotDead, match="another process space") as caught:
        sessions.recover(session.id, actor="planner")
    assert "--silent" in caught.value.hint
    assert sessions.recover(actor="planner").recovered == ()
    assert sessions.record(session.id).ended_at is None
    (recovered,) = sessions.recover(session.id, actor="planner", silent=True).recovered
    assert (recovered.state, sessions.state(session.id)) == ("silent", "ended")
    assert "taken over while silent" in (sessions.record(session.id).end_reason or "")


def test_all_that_are_silent_are_only_taken_over_together_with_the_dead_on_request(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    elsewhere = Sessions(store, FakeMachine(host="host-b")).start(actor="far", hold=False, pid=100)
    own = sessions.start(actor="planner", hold=False, pid=100)
    (gone,) = dead(sessions, machine)
    found = sessions.recover(actor="planner", session=own.id, silent=True).recovered
    assert {each.record.id: each.state for each in found} == {elsewhere.id: "silent", gone: "dead"}
    assert set(sessions.record(own.id).recovered) == {elsewhere.id, gone}
    assert sessions.state(own.id) == "alive"


@pytest.mark.parametrize(("limit_s", "quiet_s", "taken"), [(None, 10**7, 0), (7200, 7000, 0), (7200, 7300, 1)])
def test_a_silent_session_is_taken_over_after_the_limit_that_the_user_set(
    store: Store, sessions: Sessions, machine: FakeMachine, limit_s: int | None, quiet_s: int, taken: int
) -> None:
    if limit_s is not None:
        Context(store, actor="planner").configure("sessions.take_over_silent_after_s", limit_s)
    session = sessions.start(actor="coder", hold=False, pid=200)
    beat = time.time() - quiet_s
    os.utime(store.path / "gitctx" / "leases" / session.id, (beat, beat))
    assert sessions.recover(actor="planner").recovered == ()
    machine.space = "pid:[2]"
    found = sessions.recover(actor="planner").recovered
    assert [(each.record.id, each.state) for each in found] == [(session.id, "silent")] * taken


def test_the_limit_does_not_concern_sessions_of_which_no_beat_is_known(store: Store, machine: FakeMachine) -> None:
    Context(store, actor="planner").configure("sessions.take_over_silent_after_s", 7200)
    far = Sessions(store, FakeMachine(host="host-b")).start(actor="far", hold=False, pid=100)
    shutil.rmtree(store.path / "gitctx" / "leases")
    late = Store.open(store.path, Config(clock=lambda: datetime.now(UTC) + timedelta(days=30)))
    assert Sessions(late, machine).recover(actor="planner").recovered == ()
    assert Sessions(store, machine).record(far.id).ended_at is None


def test_a_session_that_was_taken_over_and_lives_is_refused_and_keeps_what_it_wrote(
    store: Store, machine: FakeMachine
) -> None:
    far = FakeMachine(host="host-b")
    session = Sessions(store, far).start(actor="far", hold=False, pid=100)
    ctx = Context(store, actor="far", session=session.id, machine=far)
    ctx.put("a", "1")
    ctx.claims.claim("job")
    here = Sessions(Store.open(store.path, Config(durability="relaxed", queue_patience_s=0.01)), machine)

    def take_over() -> None:
        failpoints.deactivate()
        here.recover(session.id, actor="planner", silent=True)
        Context(here.store, actor="planner").put("b", "1")

    failpoints.activate("write.before_swap", take_over)
    with pytest.raises(SessionTaken, match=r"planner \(outside any session\)"):
        ctx.put("a", "2")
    with pytest.raises(SessionTaken):
        ctx.put("a", "3", claim="job")
    with pytest.raises(SessionTaken):
        session.beat()
    assert ctx.get("a").text() == "1"
    assert session.end().recovered_by == "actor:planner"
    assert [write.session for write in ctx.log("a")] == [session.id]


def test_recovering_again_changes_nothing(store: Store, sessions: Sessions, machine: FakeMachine) -> None:
    (gone,) = dead(sessions, machine)
    assert len(sessions.recover(gone, actor="planner").recovered) == 1
    head = store.sessions.head()
    for id in (gone, None):
        assert sessions.recover(id, actor="other").recovered == ()
    assert store.sessions.head() == head


def test_what_cannot_be_recovered_is_told(sessions: Sessions, machine: FakeMachine) -> None:
    with pytest.raises(SessionNotFound):
        sessions.recover("01ARZ3NDEKTSV4RRFFQ69G5FAV", actor="planner")
    own = sessions.start(actor="planner", hold=False, pid=100)
    with pytest.raises(InvalidInput, match="itself"):
        sessions.recover(own.id, actor="planner", session=own.id)
    (gone,) = dead(sessions, machine)
    own.end()
    with pytest.raises(SessionEnded):
        sessions.recover(gone, actor="planner", session=own.id)
    assert sessions.state(gone) == "dead"


def test_of_two_recoverers_one_gets_it_and_only_that_one_reports_it(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    (gone,) = dead(sessions, machine)
    other = Sessions(Store.open(store.path, Config(durability="relaxed", queue_patience_s=0.01)), machine)
    reported = []

    def overtake() -> None:
        failpoints.deactivate()
        reported.append(other.recover(actor="other").recovered)

    failpoints.activate("session.after_judge", overtake)
    reported.append(sessions.recover(actor="mine").recovered)
    assert [[each.record.recovered_by for each in found] for found in reported] == [["actor:other"], []]
    assert commits(store) == [f"session-recover {gone}"]


def test_a_session_that_has_another_process_by_now_is_left_alone(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    (gone,) = dead(sessions, machine)
    failpoints.activate("session.after_judge", lambda: rewrite(store, gone, pid=100))
    assert sessions.recover(actor="planner").recovered == ()
    assert sessions.record(gone).ended_at is None


def test_hundreds_are_recovered_by_a_commit_each_and_few_swaps_and_given_up_soon_on_a_full_disk(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    machine.run(200, "claude", started_at="6000")
    template = sessions.start(actor="coder", hold=False, pid=200, recover=False).record
    ids = [template.id, *(f"01GONE{number:020}" for number in range(199))]
    records = {id: {**json.loads(encode_session(template)), "id": id} for id in ids}
    content = {session_path(id): to_canonical_json(record) for id, record in records.items()}
    store.sessions.write(Request("test", "test", "test", lambda view: Planned(content)))
    lease = (store.path / "gitctx" / "leases" / template.id).read_text()
    for id in ids[1:]:
        (store.path / "gitctx" / "leases" / id).write_text(lease.replace(template.id, id))
    machine.kill(200)
    swaps = len(store.repository.log_tail("refs/heads/sessions"))
    refused: list[int] = []

    def refuse() -> None:
        refused.append(1)
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.repository, "publish", lambda *_, **__: refuse())
        assert "No space" in sessions.recover(actor="planner").problem
    assert len(refused) <= 1 + 63
    started = sessions.start(actor="planner", hold=False, pid=100)
    assert sorted(each.record.id for each in started.recovery.recovered) == sorted(ids)
    assert sorted(sessions.record(started.id).recovered) == sorted(ids)
    assert len(commits(store)) == 200
    assert len(store.repository.log_tail("refs/heads/sessions")) - swaps <= 6
    assert os.listdir(store.path / "gitctx" / "leases") == [started.id]


def test_when_only_the_recovery_cannot_be_written_the_session_starts_all_the_same(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    (gone,) = dead(sessions, machine)

    def fail() -> None:
        raise OSError(28, "No space left on device")

    failpoints.activate("session.after_judge", lambda: failpoints.activate("objects.before_write", fail))
    started = sessions.start(actor="planner", hold=False, pid=100)
    assert started.recovery.recovered == ()
    assert "No space left" in started.recovery.problem
    assert (sessions.state(started.id), sessions.state(gone)) == ("alive", "dead")
    with pytest.raises(StorageError):
        sessions.recover(gone, actor="planner")
    failpoints.deactivate()
    assert [each.record.id for each in sessions.start(actor="p", hold=False, pid=100).recovery.recovered] == [gone]


def test_what_a_killed_recoverer_had_closed_is_named_in_its_record(
    store: Store, sessions: Sessions, machine: FakeMachine
) -> None:
    """Its own record was to be written last; the leases of those that it had closed still lie there."""
    recoverer, closed = dead(sessions, machine, 2)
    rewrite(store, closed, recovered_by=recoverer, ended_at="2026-11-03T10:00:00Z", graceful_shutdown=False)
    started = sessions.start(actor="planner", hold=False, pid=100)
    assert [each.record.id for each in started.recovery.recovered] == [recoverer]
    assert sessions.record(recoverer).recovered == (closed,)
    assert sessions.record(started.id).recovered == (recoverer,)
    assert os.listdir(store.path / "gitctx" / "leases") == [started.id]


def test_a_record_that_cannot_be_read_is_named_and_keeps_nobody_from_starting(
    tmp_path: Path, machine: FakeMachine
) -> None:
    store = Store.create(tmp_path / "s.git", Config(durability="relaxed"))
    sessions = Sessions(store, machine)
    gone, bad = dead(sessions, machine, 2)
    store.sessions.write(Request("test", "test", "somebody", lambda view: Planned({f"{bad}.json": b"{"})))
    started = sessions.start(actor="planner", hold=False, pid=100)
    assert [each.record.id for each in started.recovery.recovered] == [gone]
    assert started.recovery.unreadable == (bad,)


def test_a_recovery_may_be_declined(sessions: Sessions, machine: FakeMachine) -> None:
    (gone,) = dead(sessions, machine)
    assert sessions.start(actor="planner", hold=False, pid=100, recover=False).recovery.recovered == ()
    assert sessions.state(gone) == "dead"


class TestHandover:
    """What whoever continues is told."""

    def test_it_names_what_the_session_wrote_since_its_last_checkpoint(
        self, store: Store, sessions: Sessions, machine: FakeMachine
    ) -> None:
        (gone,) = dead(sessions, machine)
        ctx = Context(store, actor="coder", session=gone, machine=machine)
        ctx.put("before", "1")
        mark = ctx.checkpoints.create("mark")
        ctx.put("kept", "1", message="first")
        ctx.put("changed", "1")
        ctx.put("kept", "2", message="second")
        ctx.put("removed", "1")
        ctx.remove("removed")
        other = Context(store, actor="other")
        other.put("foreign", "1")
        other.put("changed", "2")
        found = sessions.handover(gone)
        assert (found.since, found.status.last_checkpoint) == (mark.revision, "mark")
        assert [write.keys for write in found.writes] == [
            *(("removed",), ("removed",), ("kept",), ("changed",), ("kept",)),
        ]
        assert [(each.key, each.etag is None, each.changed_since) for each in found.entries] == [
            ("changed", False, True),
            ("kept", False, False),
            ("removed", True, False),
        ]
        shorter = sessions.handover(gone, most_writes=2)
        assert (len(shorter.writes), shorter.writes_total, len(shorter.entries)) == (2, 5, 3)

    def test_without_a_checkpoint_it_begins_at_the_start(
        self, store: Store, sessions: Sessions, machine: FakeMachine
    ) -> None:
        Context(store, actor="other").put("before", "1")
        (gone,) = dead(sessions, machine)
        Context(store, actor="coder", session=gone, machine=machine).put("a", "1")
        found = sessions.handover(gone)
        assert found.since == sessions.record(gone).start_revision
        assert [write.keys for write in found.writes] == [("a",)]

    def test_it_is_told_though_history_of_before_was_taken_away(
        self, store: Store, sessions: Sessions, machine: FakeMachine
    ) -> None:
        (gone,) = dead(sessions, machine)
        Context(store, actor="coder", session=gone, machine=machine).put("a", "1")
        rewrite(store, gone, start_revision="1" * 40)
        assert [write.keys for write in sessions.handover(gone).writes] == [("a",)]

    def test_the_evidence_is_that_of_its_death_not_of_now(
        self, store: Store, sessions: Sessions, machine: FakeMachine
    ) -> None:
        (gone,) = dead(sessions, machine)
        assert next(each for each in sessions.handover(gone).evidence if each.layer == "process").finding == "dead"
        sessions.recover(actor="planner")
        rewrite(store, gone, mood="none")
        machine.reboot()
        found = next(each for each in sessions.handover(gone).evidence if each.layer == "process")
        assert (found.finding, found.text) == ("dead", "the process 200 is gone")
