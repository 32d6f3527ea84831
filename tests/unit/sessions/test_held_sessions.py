"""Sessions that a real process holds: found dead when it is killed, and never because of anything else."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from gitctx.errors import LeaseLost, RetriesExhausted, SessionEnded
from gitctx.sessions import Machine, Sessions
from gitctx.sessions.leases import Leases
from gitctx.store import Store
from gitctx.values import SessionStatus
from gitctx_testkit.children import Child, eventually

HOLD = """
import os, sys
from pathlib import Path
from gitctx.config import Config
from gitctx.sessions import Machine, Sessions
from gitctx.store import Store
store = Store.open(Path(sys.argv[1]), Config(durability='relaxed'))
session = Sessions(store, Machine()).start(actor='coder', agent='test')
print(session.id, flush=True)
"""
SLEEP = HOLD + "input()\nsession.end(reason='told to')\n"
FORK = HOLD + "child = os.fork()\nif child: print(child, flush=True)\nimport time; time.sleep(60)\n"
# A child made behind Python's back keeps the parent's lock.
CLONE = HOLD + (
    "import ctypes, time\nchild = ctypes.CDLL(None).fork()\nif child: print(child, flush=True)\ntime.sleep(60)\n"
)


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return Sessions(store, Machine())


def findings(status: SessionStatus) -> dict[str, str]:
    return {item.layer: item.finding for item in status.evidence}


def is_locked(store: Store, id: str) -> bool:
    seen = Leases(store.path / "gitctx").read(id)
    assert seen is not None
    return seen.locked


def test_a_killed_holder_is_dead_at_the_next_look_and_the_kernel_let_its_lock_go(
    store: Store, sessions: Sessions
) -> None:
    with Child(SLEEP, store.path) as child:
        id = child.line()
        status = sessions.get(id)
        assert status.state == "alive"
        assert findings(status)["lease"] == "alive"
        assert status.record.pid == child.pid
        child.kill()
        status = sessions.get(id)
        assert status.state == "dead"
        assert findings(status) == {
            "lease": "suspicious",
            "process": "dead",
            "heartbeat": "alive",
            "integrity": "sound",
            "space": "enough",
            "orphan": "open",
        }


def test_a_zombie_holder_is_dead(store: Store, sessions: Sessions) -> None:
    with Child(SLEEP, store.path) as child:
        id = child.line()
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: sessions.state(id) == "dead", "dead before it is reaped")
        assert child.process.returncode is None


def test_a_stopped_holder_is_alive(store: Store, sessions: Sessions) -> None:
    with Child(SLEEP, store.path) as child:
        id = child.line()
        os.kill(child.pid, signal.SIGSTOP)
        assert sessions.state(id) == "alive"


def test_a_holder_that_ends_it_leaves_a_graceful_record(store: Store, sessions: Sessions) -> None:
    with Child(SLEEP, store.path) as child:
        id = child.line()
        child.tell("end")
        child.process.wait(30)
        record = sessions.record(id)
        assert (sessions.state(id), record.graceful_shutdown, record.end_reason) == ("ended", True, "told to")


@pytest.mark.parametrize(("script", "locked"), [(FORK, False), (CLONE, True)])
def test_a_forked_child_keeps_no_dead_session_alive(
    store: Store, sessions: Sessions, script: str, locked: bool
) -> None:
    if locked and sys.platform != "linux":
        pytest.skip("forks with the C library")
    with Child(script, store.path) as child:
        id, orphan = child.line(), int(child.line())
        child.kill()
        try:
            os.kill(orphan, 0)
            eventually(lambda: is_locked(store, id) == locked, "the lock is as it should be")
            assert sessions.state(id) == "dead"
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_a_forked_child_neither_ends_nor_beats_the_session_of_its_parent(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="coder")
    child = os.fork()
    if child == 0:
        refused = 0
        for call in (session.beat, session.end):
            try:
                call()
            except LeaseLost:
                refused += 1
        with session:
            pass
        os._exit(0 if refused == 2 and not session.held else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sessions.state(session.id) == "alive"
    assert session.held
    session.end()


def test_a_block_ends_its_session_gracefully(sessions: Sessions) -> None:
    with sessions.start(actor="coder") as session:
        assert sessions.state(session.id) == "alive"
        assert sessions.anchored() == session.id
    assert session.record.graceful_shutdown is True
    assert session.record.end_reason is None
    assert not session.held


def test_a_block_that_raises_ends_its_session_gracefully_and_says_why(sessions: Sessions) -> None:
    with pytest.raises(ZeroDivisionError), sessions.start(actor="coder") as session:
        raise ZeroDivisionError
    assert (session.record.graceful_shutdown, session.record.end_reason) == (True, "ZeroDivisionError")


def test_an_end_that_fails_hides_no_error_of_the_block(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sessions.start(actor="coder")

    def fail(*_: object, **__: object) -> None:
        raise RetriesExhausted("busy")

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "end", fail)
        with pytest.raises(ZeroDivisionError) as caught, session:
            raise ZeroDivisionError
        assert "busy" in caught.value.__notes__[0]
        with pytest.raises(RetriesExhausted), session:
            pass
    assert session.held
    session.end()
    assert not session.held


def test_a_held_session_beats_by_itself_and_its_thread_ends_with_it(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="coder", beat_every_s=0.01)
    lease = store.path / "gitctx" / "leases" / session.id
    os.utime(lease, (1, 1))
    eventually(lambda: lease.stat().st_mtime > 1, "it beats")
    thread = session._thread
    assert thread is not None
    assert thread.daemon
    session.end()
    assert not thread.is_alive()


def test_a_held_session_renews_a_lease_that_was_deleted_with_the_working_folder(
    store: Store, sessions: Sessions
) -> None:
    session = sessions.start(actor="coder", beat_every_s=0.01)
    shutil.rmtree(store.path / "gitctx" / "leases")
    (store.path / "gitctx" / "instance").unlink()
    eventually(lambda: sessions.state(session.id) == "alive", "the lease is back")
    assert findings(sessions.get(session.id))["lease"] == "alive"
    session.end()


def test_a_session_that_was_ended_by_others_is_not_held_on_to(store: Store, sessions: Sessions) -> None:
    session = sessions.start(actor="coder", beat_every_s=0.01)
    Sessions(Store.open(store.path), Machine()).end(session.id, reason="enough", graceful=False)
    thread = session._thread
    assert thread is not None
    eventually(lambda: not thread.is_alive(), "it stops beating")
    with pytest.raises(SessionEnded, match="enough"):
        session.beat()
    assert os.listdir(store.path / "gitctx" / "leases") == []
    assert session.end().end_reason == "enough"


def test_a_full_disk_does_not_stop_the_heartbeat(
    store: Store, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions.start(actor="coder", beat_every_s=None)
    beaten: list[int] = []

    def fail_once(id: str, lock: int) -> bool:
        beaten.append(lock)
        if len(beaten) == 1:
            raise OSError(28, "No space left on device")
        return True

    monkeypatch.setattr(session._issuer, "beat_held", fail_once)
    session.keep_beating(0.005)
    eventually(lambda: len(beaten) > 2, "it goes on beating")
    session.end()


def test_a_program_that_forgets_to_end_its_session_still_exits_and_ends_it(store: Store, sessions: Sessions) -> None:
    with Child(HOLD, store.path) as child:
        id = child.line()
        assert child.process.wait(30) == 0
        record = sessions.record(id)
        assert (sessions.state(id), record.graceful_shutdown, record.end_reason) == ("ended", True, "the program ended")


def test_a_command_below_a_held_session_joins_it(store: Store) -> None:
    script = HOLD + (
        "import subprocess\n"
        "ask = 'import sys; from pathlib import Path; from gitctx.sessions import *; from gitctx.store import Store;'\n"
        "ask += 'print(Sessions(Store.open(Path(sys.argv[1])), Machine()).anchored())'\n"
        'command = \'exec "$0" -c "$1" "$2"; true\'\n'
        "subprocess.run(['sh', '-c', command, sys.executable, ask, sys.argv[1]])\n"
    )
    with Child(script, store.path) as child:
        assert child.line() == child.line()


def test_a_registered_session_is_tied_to_the_process_given(store: Store, sessions: Sessions, tmp_path: Path) -> None:
    with Child("print('up', flush=True); input()") as child:
        child.line()
        session = sessions.start(actor="coder", hold=False, pid=child.pid)
        assert not session.held
        assert session._thread is None
        assert sessions.state(session.id) == "alive"
        child.kill()
        assert sessions.state(session.id) == "dead"
