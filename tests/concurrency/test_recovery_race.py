"""Many who start at once and find the same dead sessions: each of those is recovered by exactly one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from gitctx.sessions import Machine, Sessions
from gitctx.store import Store
from gitctx_testkit.git import git
from gitctx_testkit.processes import together

STARTERS = 8


def dead(store: Store, number: int) -> list[str]:
    """Sessions whose process is gone."""
    sessions = Sessions(store, Machine())
    agent = subprocess.Popen(["sleep", "60"])
    try:
        return [str(sessions.start(actor="coder", hold=False, pid=agent.pid, recover=False).id) for _ in range(number)]
    finally:
        agent.kill()
        agent.wait()


@pytest.mark.parametrize("number", [1, 12])
def test_of_eight_processes_that_start_at_once_one_recovers_each_dead_session(store: Store, number: int) -> None:
    gone = dead(store, number)

    def starter(name: str) -> Callable[[], tuple[str, list[str]]]:
        def start() -> tuple[str, list[str]]:
            sessions = Sessions(Store.open(store.path), Machine())
            session = sessions.start(actor=name)
            assert session.recovery.problem == ""
            got = [str(each.record.id) for each in session.recovery.recovered]
            session.end()
            return str(session.id), got

        return start

    reported = dict(together([starter(f"starter-{number}") for number in range(STARTERS)]))
    assert sorted(id for got in reported.values() for id in got) == sorted(gone)
    log = git(store.path, "log", "--format=%(trailers:key=Gitctx-Recovered,valueonly,separator=)", "sessions")
    assert sorted(line for line in log.splitlines() if line) == sorted(gone)
    sessions = Sessions(Store.open(store.path), Machine())
    for id, got in reported.items():
        assert sorted(sessions.record(id).recovered) == sorted(got)
        assert all(sessions.record(each).recovered_by == id for each in got)


def test_a_recovery_from_many_threads_at_once_is_made_once(store: Store) -> None:
    gone = dead(store, 3)
    sessions = Sessions(store, Machine())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: sessions.recover(actor=f"thread-{number}"), range(8)))
    assert sorted(each.record.id for recovery in found for each in recovery.recovered) == sorted(gone)
    assert {recovery.problem for recovery in found} == {""}
