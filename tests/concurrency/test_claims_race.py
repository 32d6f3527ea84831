"""Claims between real processes: one winner for each, whoever is killed when."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack

import pytest

from gitctx.errors import ClaimLost
from gitctx.sessions import Claims, Machine, Sessions
from gitctx.store import Store
from gitctx.values import Claim
from gitctx_testkit.children import Child, eventually
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git

START = """
import json, sys
from pathlib import Path
from gitctx.errors import ClaimHeld
from gitctx.sessions import Claims, Machine, Sessions
from gitctx.store import Store
store = Store.open(Path(sys.argv[1]))
sessions = Sessions(store, Machine())
session = sys.argv[2] or sessions.start(actor=sys.argv[3], recover=False).id
claims = Claims(store, sessions, actor=sys.argv[3], session=session)
print(session, flush=True)
"""
RACE = (
    START
    + """
names = json.loads(input())
won, held = [], []
for name in names:
    try:
        won.append([name, claims.claim(name).id])
    except ClaimHeld as error:
        held.append([name, error.details['id']])
print(json.dumps([won, held]), flush=True)
input()
"""
)
HOLDER = (
    START
    + """
for name in json.loads(input()):
    claims.claim(name, ttl_s=86400)
print('claimed', flush=True)
input()
"""
)
WAITER = (
    START
    + """
print(claims.claim('job', wait_s=25).actor, flush=True)
"""
)


@pytest.mark.parametrize("processes", few_or_many(8, 48))
def test_of_many_processes_one_gets_each_claim(store: Store, processes: int) -> None:
    """New claims, claims of a killed session and expired ones; half of the processes are of one session."""
    names = [f"{kind}-{number}" for number in range(5) for kind in ("new", "dead", "expired")]
    sessions = Sessions(store, Machine())
    shared = sessions.start(actor="shared")
    with ExitStack() as stack:
        holder = stack.enter_context(Child(HOLDER, store.path, "", "holder"))
        lost = holder.line()
        holder.tell(json.dumps([name for name in names if name.startswith("dead")]))
        assert holder.line() == "claimed"
        holder.kill()
        outside = Claims(store, sessions, actor="outside", session=None)
        for name in names:
            if name.startswith("expired"):
                outside.claim(name, ttl_s=1)
        racers = [
            stack.enter_context(Child(RACE, store.path, shared.id if number % 2 else "", f"racer-{number}"))
            for number in range(processes)
        ]
        started = [racer.line() for racer in racers]
        own = {id for id in started if id != shared.id}
        assert len(own) == processes // 2
        assert {sessions.state(id) for id in started} == {"alive"}
        eventually(lambda: {c.holder_state for c in outside.list()} == {"dead", "expired"}, "the short ones ran out")
        for racer in racers:
            racer.tell(json.dumps(names))
        results = [json.loads(racer.line()) for racer in racers]
        winners = [claim for won, _ in results for claim in won]
        assert sorted(name for name, _ in winners) == sorted(names)
        ids = dict(winners)
        assert all(ids[name] == id for _, held in results for name, id in held)
        assert all(len(won) + len(held) == len(names) for won, held in results)
        for racer in racers:
            racer.kill()
    assert {sessions.state(id) for id in own} == {"dead"}
    subjects = git(store.path, "log", "--format=%s", "context").splitlines()
    for name in names:
        assert subjects.count(f"claim {name}") == (1 if name.startswith("new") else 2)
    assert (
        git(store.path, "log", "--format=%B", "context").count(f"Taken over from holder (session {lost}, dead).") == 5
    )
    shared.end()


def test_a_waiting_process_gets_the_claim_when_its_holder_is_killed(store: Store) -> None:
    sessions = Sessions(store, Machine())
    with ExitStack() as stack:
        holder = stack.enter_context(Child(HOLDER, store.path, "", "holder"))
        dead = holder.line()
        holder.tell(json.dumps(["job"]))
        assert holder.line() == "claimed"
        waiter = stack.enter_context(Child(WAITER, store.path, "", "waiter"))
        assert sessions.state(waiter.line()) == "alive"
        holder.kill()
        assert waiter.line() == "waiter"
    assert f"(session {dead}, dead)" in git(store.path, "log", "-1", "--format=%B", "context")


def test_a_claim_held_for_a_block_outlasts_its_time(store: Store) -> None:
    claims = Claims(store, Sessions(store, Machine()), actor="planner", session=None)
    with claims.hold("job", ttl_s=1) as claim:
        eventually(lambda: claims.get("job").expires_at > claim.expires_at, "it was extended")
        assert claims.get("job").id == claim.id
    assert claims.list() == []


def test_a_claim_lost_to_others_is_not_extended(store: Store) -> None:
    sessions = Sessions(store, Machine())
    claims = Claims(store, sessions, actor="planner", session=None)
    other = Claims(Store.open(store.path), sessions, actor="other", session=None)
    taken: list[Claim] = []

    def lose() -> None:
        with claims.hold("job", ttl_s=1):
            other.release("job", force=True)
            taken.append(other.claim("job", ttl_s=60))
            eventually(lambda: "gitctx-claim" not in {thread.name for thread in threading.enumerate()}, "it gave up")

    with pytest.raises(ClaimLost):
        lose()
    assert other.get("job") == taken[0]
