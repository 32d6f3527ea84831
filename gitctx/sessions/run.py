"""Running a command as a session: `gitctx session run -- COMMAND`."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from gitctx.errors import GitctxError, InvalidInput
from gitctx.sessions.session import BEAT_EVERY_S, Session

if TYPE_CHECKING:
    from gitctx.sessions.sessions import Sessions

_PR_SET_PDEATHSIG = 1
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_IGNORED = (signal.SIGINT, signal.SIGQUIT)


def run_command(
    sessions: Sessions,
    command: Sequence[str],
    *,
    actor: str,
    environment: Mapping[str, str],
    agent: str = "",
    message: str = "",
    beat_every_s: float = BEAT_EVERY_S,
    on_start: Callable[[Session], None] | None = None,
) -> int:
    """Run a command as a session that this process holds; its exit code, or 128 plus the signal that killed it.

    The command inherits standard input and outputs and gets `environment` (all of it; the library reads none), with
    GITCTX_SESSION, GITCTX_STORE and GITCTX_ACTOR added. SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on to it;
    SIGINT and SIGQUIT, which a terminal sends to both, are left to it. On Linux it gets a SIGTERM when this process is
    killed; what it started itself doesn't. The session ends gracefully if the command ended by itself, whatever its
    exit code. `on_start` is called when the session is there, before the command. To be called from the main thread:
    elsewhere no signal is passed on. Raises InvalidInput if there is no such command, and what `Sessions.start` and
    `end` raise (if the command has run, `details` holds its `exit_code`).
    """
    program = _find(command, environment)
    session = sessions.start(actor=actor, agent=agent or PurePath(program).name, message=message, beat_every_s=None)
    with session:
        if on_start is not None:
            on_start(session)
        added = {
            "GITCTX_SESSION": session.id,
            "GITCTX_STORE": str(sessions.store.path),
            "GITCTX_ACTOR": actor,
        }
        with _signals() as relay:
            child = _spawn(command, {**environment, **added}, session)
            relay.connect(child)
            session.keep_beating(beat_every_s)
            status = child.wait()
        code = status if status >= 0 else 128 - status
        try:
            session.end(reason=_reason(status), graceful=status >= 0)
        except GitctxError as error:
            error.details["exit_code"] = code
            raise
    return code


def _find(command: Sequence[str], environment: Mapping[str, str]) -> str:
    if not command or not command[0]:
        raise InvalidInput("there is no command to run", hint="give one after --: gitctx session run -- claude")
    found = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if found is None:
        _refuse(command[0], "there is no such program, or it can't be executed")
    return found


def _refuse(program: str, why: str) -> NoReturn:
    raise InvalidInput(
        f"the command {program[:200]!a} can't be run: {why}",
        hint="check its name and the PATH",
        details={"command": program},
    )


def _spawn(command: Sequence[str], environment: Mapping[str, str], session: Session) -> subprocess.Popen[bytes]:
    """Start the command; if the system refuses, the session has ended when InvalidInput is raised."""
    try:
        return subprocess.Popen(command, env=environment, preexec_fn=_die_with_parent())  # noqa: PLW1509 no lock in it
    except (OSError, ValueError) as error:
        session.end(reason="the command couldn't be run", graceful=False)
        _refuse(command[0], str(error))


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the command: ask for SIGTERM when the runner's thread is gone.

    Source: PR_SET_PDEATHSIG(2const). Everything is looked up before the fork.
    """
    if sys.platform != "linux":
        return None
    prctl, runner, get_parent, leave = ctypes.CDLL(None).prctl, os.getpid(), os.getppid, os._exit

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if get_parent() != runner:
            leave(128 + signal.SIGTERM)

    return ask


class _Relay:
    """Passes signals on to the child; those that come before there is one, when it is there."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def connect(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def forward(self, number: int, frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)

    def leave(self, number: int, frame: FrameType | None) -> None:
        """Nothing: the child got the same signal from the terminal."""


@contextmanager
def _signals() -> Iterator[_Relay]:
    """Relay signals for the time of the block. What was ignored before stays ignored, for the child too.

    Signals are handled by functions, never ignored: a child would inherit that.
    """
    relay = _Relay()
    if threading.current_thread() is not threading.main_thread():
        yield relay
        return
    handlers = {**dict.fromkeys(_FORWARDED, relay.forward), **dict.fromkeys(_IGNORED, relay.leave)}
    before = {}
    try:
        for number, handler in handlers.items():
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
        yield relay
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier if earlier is not None else signal.SIG_DFL)


def _reason(status: int) -> str:
    if status >= 0:
        return f"exit {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
