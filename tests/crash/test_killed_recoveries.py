"""kill -9 at every step of a recovery of sessions: whoever comes next finishes it, and no session is closed twice."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.sessions import Machine, Sessions
from gitctx.store import Store
from gitctx.values import SessionId
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children, die

RELAXED = Config(durability="relaxed")
OF_A_WRITE = [
    "write.before_objects",
    "objects.after_write",
    "write.before_swap",
    "swap.after_lock",
    "swap.after_reflog",
]
OF_A_WRITE += ["swap.after_rename", "write.after_swap"]


def recoveries(path: Path) -> list[str]:
    """The sessions that were closed as dead, as the log tells it."""
    log = git(path, "log", "--format=%(trailers:key=Gitctx-Recovered,valueonly,separator=)", "sessions")
    return [line for line in log.splitlines() if line]


def die_holding(path: Path) -> list[str]:
    """Two sessions whose process was killed."""

    def agent(talk: Talk) -> None:
        sessions = Sessions(Store.open(path, RELAXED), Machine())
        talk.say([sessions.start(actor="coder", recover=False).id for _ in range(2)])
        talk.hear()

    with children(agent) as (child,):
        ids: list[str] = child.talk.hear()
        child.kill()
    return ids


def die_recovering(path: Path, point: str) -> None:
    """Start a session in a process that is killed at that point of its recovery."""

    def recoverer(_: Talk) -> None:
        if point.startswith("session."):
            failpoints.activate(point, die)
        else:
            failpoints.activate("session.after_judge", lambda: failpoints.activate(point, die))
        Sessions(Store.open(path, RELAXED), Machine()).start(actor="victim")

    with children(recoverer) as (child,):
        child.wait_killed()


@pytest.mark.parametrize("point", [*failpoints.SESSION_NAMES, *OF_A_WRITE])
def test_the_next_one_finishes_what_a_killed_recoverer_began(store: Store, point: str) -> None:
    gone = die_holding(store.path)
    die_recovering(store.path, point)
    sessions = Sessions(Store.open(store.path, RELAXED), Machine())
    started = sessions.start(actor="planner")
    closed = recoveries(store.path)
    victims = [each.record for each in sessions.list() if each.record.actor == "victim"]
    assert len(victims) == (0 if point == "session.after_lease" else 1)
    assert sorted(closed) == sorted([*gone, *(each.id for each in victims)])
    by = {each.id: each for each in (started.record, *victims)}
    for id in closed:
        record = sessions.record(id)
        assert (record.graceful_shutdown, record.recovered_by in by) == (False, True)
        assert id in sessions.record(str(record.recovered_by)).recovered
    left = set(os.listdir(store.path / "gitctx" / "leases")) - {started.id}
    assert len(left) == (1 if point == "session.after_lease" else 0)
    assert {each.state for each in sessions.list() if each.record.id != started.id} == {"ended"}
    started.end()


@pytest.mark.parametrize("kills", few_or_many(12, 300))
def test_starters_that_are_killed_at_random_lose_no_session_and_close_none_twice(store: Store, kills: int) -> None:
    """Each of them recovers those before it, while others do the same."""

    def starter(talk: Talk) -> None:
        sessions = Sessions(Store.open(store.path, RELAXED), Machine())
        talk.say("ready")
        while True:
            sessions.start(actor="victim", beat_every_s=None)

    rng = random.Random(11)
    for _ in range(kills // 4):
        with children(*[starter] * 4) as running:
            for child in running:
                assert child.talk.hear() == "ready"
            for child in running:
                time.sleep(rng.uniform(0, 0.05))
                child.kill()
    sessions = Sessions(Store.open(store.path, RELAXED), Machine())
    started = sessions.start(actor="planner")
    records = {each.record.id: each.record for each in sessions.list()}
    gone = [id for id in records if id != started.id]
    assert len(gone) >= kills // 4
    assert sorted(recoveries(store.path)) == sorted(gone)
    for id in gone:
        assert id in records[SessionId(str(records[id].recovered_by))].recovered
    assert {each.state for each in sessions.list() if each.record.id != started.id} == {"ended"}
    started.end()
