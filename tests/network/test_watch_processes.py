"""`gitctx sync --watch` as a process: killed, told to end, or run twice, it leaves nothing behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import clean_environment
from gitctx_testkit.processes import wait_until
from gitctx_testkit.working_clones import CONTEXT_REF, Meeting, ssh_in_soak_only

PATIENCE_S = 60.0
QUICK_S = 5.0
"""Within so long after a signal nothing is left, as is promised of everything that runs in the background."""
SCRIPT = "from gitctx_cli.app import main; main()"


@contextmanager
def watching(store: Path, mark: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """`gitctx sync --watch`, marked so that all that it started is found, whatever became of it."""
    mark = mark or f"{store}#{random.random()}"
    environment = clean_environment(GITCTX_TEST_MARK=mark, GITCTX_STORE=str(store), GITCTX_ACTOR="watcher")
    environment["PYTHONPATH"] = os.pathsep.join(part for part in sys.path if part)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "sync", "--watch"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for each in started_by(mark):
            with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                each.kill()


def started_by(mark: str) -> list[psutil.Process]:
    """The processes with that mark in their environment."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get("GITCTX_TEST_MARK") == mark and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except psutil.Error:
            continue
    return found


def a_write_gets_there(context: Context, meeting: Meeting, text: str) -> None:
    id = context.put("plan/a", text).id
    wait_until(lambda: meeting.ids()[id] == 1, PATIENCE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_soon_and_leaves_no_process(
    meeting: Meeting, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(temporary))
    context = meeting.store("one")
    mark = str(tmp_path)
    with watching(context.store.path, mark) as process:
        a_write_gets_there(context, meeting, "first")
        context.put("plan/b", "so that an exchange is going on")
        process.send_signal(number)
        process.wait(QUICK_S)
        assert process.returncode == (130 if number == signal.SIGINT else -number)
        wait_until(lambda: not started_by(mark), QUICK_S)
    assert list(temporary.iterdir()) == []
    temporary.rmdir()


def test_a_signal_ends_it_while_the_server_hangs(meeting: Meeting, tmp_path: Path) -> None:
    meeting.store("one")
    with meeting.proxy() as proxy:
        context = meeting.store("other", url=proxy.through(meeting.url))
        mark = str(tmp_path)
        with watching(context.store.path, mark) as process:
            a_write_gets_there(context, meeting, "first")
            proxy.hang()
            context.put("plan/b", "this hangs")
            wait_until(lambda: len(started_by(mark)) > 1, PATIENCE_S)
            process.send_signal(signal.SIGTERM)
            process.wait(QUICK_S)
            wait_until(lambda: not started_by(mark), QUICK_S)


@ssh_in_soak_only
@pytest.mark.parametrize("kills", few_or_many(2, 60))
def test_killed_at_any_moment_under_load_the_next_one_finishes(meeting: Meeting, kills: int) -> None:
    rng = random.Random(kills)
    one, other = meeting.store("one"), meeting.store("other")
    ids: list[str] = []
    with watching(one.store.path):
        for round_ in range(kills):
            with watching(other.store.path) as process:
                until = time.monotonic() + rng.uniform(0.3, 1.5)
                while time.monotonic() < until:
                    ids.append(one.put(f"one/{len(ids) % 9}", f"{round_} {len(ids)}").id)
                    ids.append(other.put(f"other/{len(ids) % 9}", f"{round_} {len(ids)}").id)
                    time.sleep(rng.uniform(0, 0.05))
                process.send_signal(signal.SIGKILL)
                process.wait()
        with watching(other.store.path):
            wait_until(lambda: set(ids) <= meeting.ids().keys() and meeting.agree(), PATIENCE_S)
    meeting.assert_once(ids)


@ssh_in_soak_only
def test_two_of_them_on_one_store_do_not_get_in_each_others_way(meeting: Meeting) -> None:
    one, other = meeting.store("one"), meeting.store("other")
    ids: list[str] = []
    with watching(one.store.path) as first, watching(one.store.path) as second, watching(other.store.path):
        for number in range(20):
            ids.append(one.put(f"one/{number}", "x").id)
            ids.append(other.put(f"other/{number}", "x").id)
            time.sleep(0.02)
        wait_until(lambda: set(ids) <= meeting.ids().keys() and meeting.agree(), PATIENCE_S)
        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        first.wait(QUICK_S)
        ids.append(one.put("one/last", "the other one goes on").id)
        wait_until(lambda: meeting.ids()[ids[-1]] == 1 and meeting.agree(), PATIENCE_S)
        assert second.poll() is None
    meeting.assert_once(ids)
    assert Store.open(one.store.path).context.head() == meeting.head(CONTEXT_REF)
