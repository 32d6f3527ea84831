"""Sessions: finding out who lives, and recovering those that don't."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import gitctx
from benchmarks.growth import grow
from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from gitctx import Config
from gitctx.format.documents import new_ulid
from gitctx.format.records import encode_session, session_path
from gitctx.sessions import Machine, Sessions
from gitctx.store import Store
from gitctx.store.request import Planned, Request
from gitctx.values import Revision, SessionId, SessionRecord

NAME = "sessions"

_KEYS = 500
_MOST_CHECKPOINTS = 50
START, START_ONE = "start, nobody is dead", "start that recovers one"


class _Size(NamedTuple):
    rounds: int
    sessions: int
    together: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=11, sessions=1000, together=1000),
    "quick": _Size(rounds=5, sessions=1000, together=200),
    "tiny": _Size(rounds=1, sessions=10, together=5),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure with handles opened anew each time, as a command has them."""
    size = _SIZES[scale]
    many = _many(folder / "many.git", size.sessions)
    few = gitctx.create(folder / "few.git")
    agent = subprocess.Popen(["sleep", "3600"])
    turns: dict[str, Callable[[], float]] = {
        (verdicts := f"verdicts for {size.sessions:,} sessions"): lambda: _list(many, size.sessions),
        (one := "recovery of one"): lambda: _recover(few, 1),
        (together := f"recovery of {size.together:,} at once"): lambda: _recover(few, size.together),
        START: lambda: _start(few, agent.pid, 0),
        START_ONE: lambda: _start(few, agent.pid, 1),
    }
    try:
        samples = interleave(turns, rounds=size.rounds)
    finally:
        agent.kill()
        agent.wait()
    rows = {name: Row(name, found) for name, found in samples.items()}
    return Section(
        name=NAME,
        title="Sessions",
        what="time of one call on a durable store that was opened anew",
        unit="ms",
        rows=list(rows.values()),
        reference=one,
        checks=[
            Check(f"{one}, ms", rows[one].median, at_most=100),
            Check(f"{verdicts}, ms", rows[verdicts].median, at_most=500),
            Check(f"{together}, ms a session", rows[together].median / size.together),
        ],
        notes=["half of the many are dead, each started on another revision, some made checkpoints; all six layers"],
    )


def _many(path: Path, number: int) -> Path:
    """A store with sessions, every other one of them dead, each with another start revision."""
    store = Store.open(gitctx.create(path), Config(durability="relaxed"))
    grow(store, number + 1, keys=_KEYS, first="topic-00/cold.md")
    revisions = [oid for oid, _ in store.repository.walk(store.context.head())][:number]
    alive = _new(store, Machine().own_pid())
    records = [alive, _dead(store)] * (number // 2)
    made = [
        replace(record, id=SessionId(new_ulid(record.started_at, store.config.rng)), start_revision=Revision(revision))
        for record, revision in zip(records, revisions, strict=False)
    ]
    _register(store, made)
    for record in made[:: max(2, number // _MOST_CHECKPOINTS)]:
        gitctx.Context(store, actor="planner", session=record.id).checkpoints.create(f"mark-{record.id}")
    return path


def _list(path: Path, number: int) -> float:
    sessions = _opened(path)
    taken_s = seconds(sessions.list)
    states = [status.state for status in sessions.list()]
    if (states.count("dead"), states.count("alive")) != (number // 2, number // 2):
        raise AssertionError(f"the verdicts are wrong: {states[:10]}")
    return taken_s * 1000


def _recover(path: Path, number: int) -> float:
    _die(path, number)
    sessions = _opened(path)
    found = []
    taken_s = seconds(lambda: found.append(sessions.recover(actor="planner")))
    if len(found[0].recovered) != number:
        raise AssertionError(f"{len(found[0].recovered)} sessions were recovered instead of {number}")
    return taken_s * 1000


def _start(path: Path, pid: int, dead: int) -> float:
    _die(path, dead)
    sessions = _opened(path)
    made = []
    taken_s = seconds(lambda: made.append(sessions.start(actor="planner", hold=False, pid=pid)))
    made[0].end()
    if len(made[0].recovery.recovered) != dead:
        raise AssertionError(f"the start recovered {made[0].recovery}")
    return taken_s * 1000


def _die(path: Path, number: int) -> None:
    """Leave so many sessions behind whose process is gone."""
    store = Store.open(path, Config(durability="relaxed"))
    if number:
        template = _dead(store)
        ids = [SessionId(new_ulid(template.started_at, store.config.rng)) for _ in range(number)]
        _register(store, [replace(template, id=id) for id in ids])


def _register(store: Store, records: list[SessionRecord]) -> None:
    sessions = Sessions(store, Machine())
    for record in records:
        sessions._issuer.issue(record, held=False)
    content = {session_path(record.id): encode_session(record) for record in records}
    store.sessions.write(Request("session-start", "session-start", "planner", lambda view: Planned(content)))


def _new(store: Store, pid: int) -> SessionRecord:
    """The record of a session of a process, as a start would make it."""
    sessions = Sessions(store, Machine())
    return sessions._new_record("coder-1", "claude", sessions._anchor(pid, hold=False))


def _dead(store: Store) -> SessionRecord:
    """The record of a session whose process is gone."""
    child = subprocess.Popen(["sleep", "3600"])
    try:
        return _new(store, child.pid)
    finally:
        child.kill()
        child.wait()


def _opened(path: Path) -> Sessions:
    return Sessions(Store.open(path), Machine())
