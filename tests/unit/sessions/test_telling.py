"""Beats that travel in records: told at most every 15 minutes, and judged by when they came in here."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.sessions import Session
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Host:
    """A host with a clock of its own, and on it a store that is exchanged with the others'."""

    def __init__(self, store: Path, name: str, *, clock_is_ahead_by: timedelta = timedelta()) -> None:
        self.now = START + clock_is_ahead_by
        self.machine = FakeMachine(name)
        config = Config(clock=lambda: self.now, durability="relaxed")
        self.ctx = Context(Store.open(store, config), actor=f"actor-{name}", machine=self.machine)

    def wait(self, **time: float) -> None:
        self.now += timedelta(**time)

    def start(self) -> Session:
        return self.ctx.sessions.start(actor="coder", hold=False, pid=100)

    def state_of(self, session: Session) -> str:
        return self.ctx.sessions.get(session.id).state

    def heartbeat_of(self, session: Session) -> tuple[str, str]:
        evidence = self.ctx.sessions.get(session.id).evidence
        found = next(each for each in evidence if each.layer == "heartbeat")
        return found.finding, found.text


@pytest.fixture
def hosts(tmp_path: Path, store: Store) -> tuple[Host, Host]:
    """Two hosts with copies of one store and one remote; the clock of the second one is a year ahead."""
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    shutil.copytree(store.path, tmp_path / "other.git")
    one = Host(store.path, "one")
    other = Host(tmp_path / "other.git", "other", clock_is_ahead_by=timedelta(days=365))
    for host in (one, other):
        host.ctx.sync.add_remote("origin", str(tmp_path / "remote.git"))
    yield one, other
    assert verify(Store.open(other.ctx.store.path), full=True).problems == ()


def exchange(*hosts: Host) -> None:
    for host in hosts:
        host.ctx.sync.exchange()


def test_a_session_of_another_host_is_silent_and_heard_of(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    session = one.start()
    exchange(one, other)
    assert other.state_of(session) == "silent"
    finding, text = other.heartbeat_of(session)
    assert finding == "alive"
    assert "2026-03-01T12:00:00Z by its own host's clock, heard here at 2027-03-01T12:00:00Z" in text


def test_a_heartbeat_is_told_at_most_every_15_minutes(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    session = one.start()
    exchange(one)
    records = one.ctx.store.sessions.head()
    one.wait(minutes=14)
    session.beat()
    exchange(one)
    assert one.ctx.store.sessions.head() == records
    one.wait(minutes=1)
    session.beat()
    exchange(one)
    told = one.ctx.sessions.record(session.id)
    assert told.last_beat_at == one.now
    assert one.ctx.store.history.write(one.ctx.store.sessions.head()).op == "session-beat"


def test_silence_counts_from_when_it_was_last_heard_of_on_the_clock_of_this_host(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    session = one.start()
    exchange(one, other)
    other.wait(hours=3)
    assert other.heartbeat_of(session)[0] == "suspicious"
    one.wait(hours=1)
    session.beat()
    exchange(one, other)
    assert other.heartbeat_of(session)[0] == "alive"
    assert other.ctx.sessions.get(session.id).last_beat_at == one.now


def test_one_that_nobody_hears_of_is_taken_over_after_the_limit_that_was_set(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    session = one.start()
    one.ctx.configure("sessions.take_over_silent_after_s", 7200)
    exchange(one, other)
    other.wait(hours=1)
    assert other.start().recovery.recovered == ()
    other.wait(hours=2)
    assert [each.record.id for each in other.start().recovery.recovered] == [session.id]
    exchange(other, one)
    assert one.ctx.sessions.record(session.id).recovered_by is not None


def test_beats_of_a_dead_session_are_not_told(hosts: tuple[Host, Host]) -> None:
    one, _ = hosts
    session = one.start()
    one.wait(minutes=20)
    session.beat()
    one.machine.kill(100)
    exchange(one)
    assert one.ctx.sessions.record(session.id).last_beat_at is None


def test_what_was_heard_is_forgotten_when_the_session_ends(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    session = one.start()
    exchange(one, other)
    heard = other.ctx.store.path / "gitctx" / "heard"
    assert [path.name for path in heard.iterdir()] == [session.id]
    session.end()
    exchange(one, other)
    assert list(heard.iterdir()) == []
