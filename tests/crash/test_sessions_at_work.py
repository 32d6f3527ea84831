"""Four sessions that update shared entries, in conflict with one another, are killed at random and start again: each
acknowledged value is in the head, or in its history.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.sessions import Sessions
from gitctx.store import Store
from gitctx.values import Written
from gitctx_testkit.audit import assert_sound, assert_written_once
from gitctx_testkit.git import git
from gitctx_testkit.processes import Child, Talk

SESSIONS = 4
RELAXED = Config(durability="relaxed")
_LIMIT_S = 250.0


def _at_work(store: Path, name: str, updates: int, told: Path) -> Callable[[Talk], None]:
    """Make the updates that aren't acknowledged yet; each acknowledgement is a line in a file."""

    def run(_: Talk) -> None:
        ctx = Context(Store.open(store, RELAXED), actor=name)
        log = os.open(told, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        done = {line.split()[0] for line in told.read_text().splitlines()}
        with ctx.sessions.start(actor=name, beat_every_s=None) as session:
            seen: dict[str, str | None] = {}
            session.sync.start(lambda change: seen.update({change.key: change.etag}))
            for number in range(updates):
                id = f"{name}-{number}"
                if id in done:
                    continue
                written = _update(session.context, name, number, id)
                etags = ",".join(str(entry.etag) for entry in written.entries)
                os.write(log, f"{id} {written.revision} {etags}\n".encode())

    return run


def _update(ctx: Context, name: str, number: int, id: str) -> Written:
    """One of the things that agents do. The base is often old, so the settings' strategy has to settle it."""
    match number % 5:
        case 0:
            return ctx.update("status/count.json", lambda value: {**(value or {}), name: number, "last": id}, id=id)
        case 1:
            return ctx.put("plan/shared.md", f"{id}\n" * (number % 40 + 1), id=id)
        case 2:
            return ctx.put("status/board.json", {name: number, "by": name}, id=id, strategy="merge")
        case 3:
            return ctx.append("status/log", id, id=id)
        case _:
            with ctx.batch(id=id) as batch:
                batch.put(f"finding/{name}.md", id)
                batch.put("finding/latest.md", id)
            assert batch.written is not None
            return batch.written


def _work_through(store: Path, folder: Path, updates: int, kills: int, rng: random.Random) -> dict[str, Path]:
    """Let all of them finish, whoever is killed meanwhile."""
    logs = {f"s{number}": folder / f"s{number}.told" for number in range(SESSIONS)}
    for log in logs.values():
        log.touch()
    running = {name: Child(_at_work(store, name, updates, log)) for name, log in logs.items()}
    deadline = time.monotonic() + _LIMIT_S
    try:
        while running:
            assert time.monotonic() < deadline, "they never finished"
            time.sleep(rng.uniform(0.0, 0.1))
            name = rng.choice(sorted(running))
            if kills > 0:
                running[name].kill()
                kills -= 1
                running[name] = Child(_at_work(store, name, updates, logs[name]))
            elif running[name].talk.heard():
                running.pop(name).result()
    finally:
        for child in running.values():
            child.kill()
    return logs


@pytest.mark.parametrize(("updates", "kills"), [(60, 12), pytest.param(1000, 300, marks=pytest.mark.soak)])
def test_each_acknowledged_value_is_in_the_head_or_its_history(tmp_path: Path, updates: int, kills: int) -> None:
    path = tmp_path / "store.git"
    Store.create(path, RELAXED)
    ctx = Context(Store.open(path, RELAXED), actor="planner")
    ctx.configure("strategies.plan/", "merge")
    logs = _work_through(path, tmp_path, updates, kills, random.Random(20261126))

    acknowledged = [line.split() for log in logs.values() for line in log.read_text().splitlines()]
    assert len(acknowledged) == SESSIONS * updates
    assert_written_once(path, [id for id, _, _ in acknowledged])
    history = set(git(path, "rev-list", "context").split())
    blobs = {line.split()[0] for line in git(path, "rev-list", "--objects", "context").splitlines()}
    for id, revision, etags in acknowledged:
        assert revision in history, id
        assert set(etags.split(",")) <= blobs, id
    numbers = range(updates)
    counted = ctx.get("status/count.json").json()
    assert isinstance(counted, dict)
    assert [counted[name] for name in logs] == [numbers[::5][-1]] * SESSIONS
    lines = ctx.get("status/log").text().split()
    assert sorted(lines) == sorted(f"{name}-{number}" for name in logs for number in numbers[3::5])
    _no_session_is_left(ctx.sessions)
    assert_sound(path)


def _no_session_is_left(sessions: Sessions) -> None:
    """The killed ones were closed by those who started after them; the last of them by us."""
    sessions.recover(actor="planner")
    assert sessions.open_ids() == []
