"""The judgement on a session: a healthy one is never called dead, a dead one is found out where there is proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gitctx.sessions.facts import Facts
from gitctx.sessions.leases import Lease, SeenLease
from gitctx.sessions.liveness import judge
from gitctx.sessions.process import ProcessFacts
from gitctx.values import Revision, SessionId, SessionRecord

NOW = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)
RECORD = SessionRecord(
    id=SessionId("01S"),
    actor="planner",
    agent="claude",
    host_id="host",
    hostname="HOST",
    boot_id="boot",
    pid_namespace="space",
    pid=100,
    process_started_at="5000",
    started_at=NOW - timedelta(days=3),
    start_revision=Revision("0" * 40),
)
LEASE = SeenLease(Lease(RECORD.id, "here", "host", "boot", "space", 100, "5000", held=True), True, NOW)
FACTS = Facts("host", "boot", "space", "here", True, LEASE, ProcessFacts(100, "5000", "claude", 1))
GONE: dict[str, Any] = {"process": None, "lease": LEASE._replace(locked=False)}
OTHER_PROCESS: dict[str, Any] = {"process": ProcessFacts(100, "9000", "vim", 1)}


def state_of(facts: Facts, record: SessionRecord = RECORD, now: datetime = NOW) -> str:
    return judge(record, facts, now)[0]


def finding(facts: Facts, layer: str, record: SessionRecord = RECORD, now: datetime = NOW) -> str:
    return next(item.finding for item in judge(record, facts, now)[1] if item.layer == layer)


def test_a_running_process_is_alive() -> None:
    assert state_of(FACTS) == "alive"
    layers = ["lease", "process", "heartbeat", "integrity", "space", "orphan"]
    assert [item.layer for item in judge(RECORD, FACTS, NOW)[1]] == layers


@pytest.mark.parametrize("lie", [{}, OTHER_PROCESS, GONE])
def test_what_proves_death(lie: dict[str, Any]) -> None:
    assert state_of(FACTS._replace(**lie)) == ("dead" if lie else "alive")


def test_a_reboot_proves_death_even_if_the_number_runs_again() -> None:
    assert state_of(FACTS._replace(boot_id="next")) == "dead"


def test_a_forked_child_that_holds_the_lock_does_not_prove_life() -> None:
    facts = FACTS._replace(process=None)
    assert facts.lease is not None
    assert facts.lease.locked
    assert state_of(facts) == "dead"
    assert finding(facts, "lease") == "alive"


def test_a_lock_that_was_let_go_does_not_prove_death() -> None:
    facts = FACTS._replace(lease=LEASE._replace(locked=False))
    assert state_of(facts) == "alive"
    assert finding(facts, "lease") == "suspicious"


@pytest.mark.parametrize("age", [timedelta(hours=3), timedelta(days=400), -timedelta(days=400)])
@pytest.mark.parametrize("known", [True, False])
def test_an_old_heartbeat_or_a_jump_of_the_clock_never_proves_death(age: timedelta, known: bool) -> None:
    facts = FACTS._replace(lease=LEASE._replace(beat_at=NOW - age), process=FACTS.process if known else None)
    if not known:
        facts = facts._replace(pid_namespace="other")
    assert state_of(facts) == ("alive" if known else "silent")
    assert finding(facts, "heartbeat") != "alive"


UNPROVED = {
    "another host": {"host_id": "other"},
    "another process space": {"pid_namespace": "other"},
    "no lease": {"lease": None},
    "a copied store": {"instance": "copy"},
    "a store without instance": {"instance": "", "lease": LEASE._replace(lease=LEASE.lease._replace(instance=""))},
    "a lease of another process": {"lease": LEASE._replace(lease=LEASE.lease._replace(pid=101))},
    "a boot that isn't known": {"boot_id": ""},
    "a process that hides its start": {"process": ProcessFacts(100, None, "", 0)},
}


@pytest.mark.parametrize("difference", UNPROVED.values(), ids=UNPROVED.keys())
@pytest.mark.parametrize("running", [True, False])
def test_without_proof_a_session_is_silent(difference: dict[str, Any], running: bool) -> None:
    gone = {} if running or "process" in difference else {"process": None}
    assert state_of(FACTS._replace(**{**gone, **difference})) == "silent"


def test_a_disk_that_hosts_share_proves_no_reboot() -> None:
    """Two hosts made from one image call themselves the same: then the other one's boot isn't a reboot of this one."""
    assert state_of(FACTS._replace(boot_id="of the other host", local=False)) == "silent"
    assert state_of(FACTS._replace(local=False, process=None)) == "dead"


def test_a_record_without_host_or_start_proves_nothing() -> None:
    assert state_of(FACTS, replace(RECORD, host_id="")) == "silent"
    nameless = FACTS._replace(host_id="")
    assert state_of(nameless, replace(RECORD, host_id="")) == "silent"
    unknown = LEASE._replace(lease=LEASE.lease._replace(process_started_at=""))
    assert state_of(FACTS._replace(lease=unknown), replace(RECORD, process_started_at="")) == "silent"


@pytest.mark.parametrize(("graceful", "expected"), [(True, "ended"), (False, "suspicious")])
def test_an_ended_session_is_ended_whatever_runs(graceful: bool, expected: str) -> None:
    record = replace(RECORD, ended_at=NOW, graceful_shutdown=graceful, end_reason="exit 0")
    assert state_of(FACTS, record) == "ended"
    assert finding(FACTS, "orphan", record) == expected
    assert finding(FACTS, "orphan") == "open"
