"""`session run`: the command is the session, so its end is the session's end, however either of them goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.errors import InvalidInput, StorageError
from gitctx.sessions import Machine, Session, Sessions, run_command
from gitctx.sessions.run import _signals
from gitctx.store import Store
from gitctx_testkit.children import Child, eventually

RUNNER = """
import os, sys
from pathlib import Path
from gitctx.config import Config
from gitctx.sessions import Machine, Sessions, run_command
from gitctx.store import Store
sessions = Sessions(Store.open(Path(sys.argv[1]), Config(durability='relaxed')), Machine())
def started(session): print(session.id, flush=True)
code = run_command(sessions, ['sh', '-c', sys.argv[2]], actor='coder', environment=dict(os.environ), on_start=started)
print('code', code, flush=True)
"""


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return Sessions(store, Machine())


def run(sessions: Sessions, *command: str) -> int:
    return run_command(sessions, command, actor="coder", environment=dict(os.environ))


@pytest.mark.parametrize(
    ("script", "code", "graceful", "reason"),
    [
        ("exit 0", 0, True, "exit 0"),
        ("exit 3", 3, True, "exit 3"),
        ("kill -KILL $$", 137, False, "killed by SIGKILL"),
        ("kill -TERM $$", 143, False, "killed by SIGTERM"),
    ],
)
def test_the_end_of_the_command_is_the_end_of_the_session(
    sessions: Sessions, script: str, code: int, graceful: bool, reason: str
) -> None:
    assert run(sessions, "sh", "-c", script) == code
    (status,) = sessions.list()
    record = status.record
    assert (status.state, record.graceful_shutdown, record.end_reason) == ("ended", graceful, reason)
    assert (record.agent, record.pid) == ("sh", os.getpid())


def test_the_command_knows_its_session_and_gets_no_other_environment(
    store: Store, sessions: Sessions, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[Session] = []
    code = run_command(
        sessions,
        ["/bin/sh", "-c", 'echo "$GITCTX_SESSION $GITCTX_STORE $GITCTX_ACTOR $MORE ${HOME-none}"'],
        actor="coder",
        environment={"MORE": "more"},
        on_start=seen.append,
    )
    assert code == 0
    assert capfd.readouterr().out == f"{seen[0].id} {store.path} coder more none\n"


@pytest.mark.parametrize("command", [[], [""], ["no-such-program-anywhere"], ["/etc/passwd"], ["/"]])
def test_a_command_that_is_not_there_starts_no_session(sessions: Sessions, command: list[str]) -> None:
    with pytest.raises(InvalidInput):
        run(sessions, *command)
    assert sessions.list() == []


def test_a_command_that_the_system_refuses_leaves_an_ended_session(sessions: Sessions, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    with pytest.raises(InvalidInput, match="broken"):
        run(sessions, str(broken))
    (status,) = sessions.list()
    assert (status.state, status.record.graceful_shutdown) == ("ended", False)


def test_when_the_end_cannot_be_written_the_exit_code_is_not_lost(store: Store, sessions: Sessions) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    def arm(session: Session) -> None:
        failpoints.activate("objects.before_write", fail)

    try:
        with pytest.raises(StorageError) as caught:
            run_command(sessions, ["sh", "-c", "exit 7"], actor="c", environment=dict(os.environ), on_start=arm)
    finally:
        failpoints.deactivate()
    assert caught.value.details["exit_code"] == 7


def test_a_killed_runner_takes_its_command_along_and_the_session_is_dead(store: Store, sessions: Sessions) -> None:
    with Child(RUNNER, store.path, "echo $$; exec sleep 60") as runner:
        id, command = runner.line(), int(runner.line())
        assert sessions.state(id) == "alive"
        runner.kill()
        assert sessions.state(id) == "dead"
        if sys.platform == "linux":
            eventually(lambda: Machine().process(command) is None, "the command is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_request_to_end_reaches_the_command_which_may_end_in_its_own_way(
    store: Store, sessions: Sessions, number: signal.Signals
) -> None:
    script = "trap 'exit 9' TERM HUP USR1; echo up; while :; do sleep 0.01; done"
    with Child(RUNNER, store.path, script) as runner:
        id = runner.line()
        assert runner.line() == "up"
        os.kill(runner.pid, number)
        assert runner.line() == "code 9"
        assert sessions.record(id).end_reason == "exit 9"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_from_the_terminal_is_left_to_the_command(
    store: Store, sessions: Sessions, number: signal.Signals
) -> None:
    with Child(RUNNER, store.path, "echo $$; exec sleep 60") as runner:
        id, command = runner.line(), int(runner.line())
        os.kill(runner.pid, number)
        os.kill(command, number)
        assert runner.line() == f"code {128 + number}"
        assert sessions.record(id).end_reason == f"killed by {number.name}"


def test_what_was_ignored_stays_ignored_for_the_command(store: Store) -> None:
    with Child(
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + RUNNER, store.path, "kill -HUP $$; echo lives"
    ) as runner:
        runner.line()
        assert runner.line() == "lives"


def test_a_request_to_end_that_comes_before_the_command_is_passed_on_to_it() -> None:
    with _signals() as relay:
        os.kill(os.getpid(), signal.SIGTERM)
        child = subprocess.Popen(["sleep", "60"])
        relay.connect(child)
        assert child.wait(30) == -signal.SIGTERM


def test_signal_handlers_are_put_back(sessions: Sessions) -> None:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    run(sessions, "true")
    assert [signal.getsignal(number) for number in numbers] == before


def test_it_also_works_outside_the_main_thread(sessions: Sessions) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(sessions, "sh", "-c", "exit 4")))
    thread.start()
    thread.join()
    assert codes == [4]


def test_the_session_is_held_and_beats_while_the_command_runs(store: Store, sessions: Sessions) -> None:
    script = f'while [ -z "$(find {store.path}/gitctx/leases -type f -newermt 2000-01-01)" ]; do sleep 0.01; done'

    def age(session: Session) -> None:
        assert session.held
        os.utime(store.path / "gitctx" / "leases" / session.id, (1, 1))

    code = run_command(
        sessions, ["sh", "-c", script], actor="c", environment=dict(os.environ), beat_every_s=0.02, on_start=age
    )
    assert code == 0
