"""Servers that a test starts as processes of its own, and that are surely gone when it is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from gitctx_testkit.children import eventually

PATIENCE_S = 30.0
LOOPBACK = "127.0.0.1"
_PORTS_TRIED = 5


class Daemon:
    """A process that runs in the foreground, with all that it starts. It dies with the thread that started it.

    `log` gets what it prints. `inside` is a command that runs it somewhere else, such as `nsenter`.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str],
        inside: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*inside, *_dies_with_us(), *command],
                cwd=log.parent,
                env=dict(environment),
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def runs(self) -> bool:
        """Whether it is there."""
        return self._process.poll() is None

    def ready(self, answers: Callable[[], bool]) -> bool:
        """Wait until it answers. False if it ended before that; AssertionError if it does neither."""
        deadline = time.monotonic() + PATIENCE_S
        while self.runs():
            if answers():
                return self.runs()
            assert time.monotonic() < deadline, f"it never answered: {self.said()}"
            time.sleep(0.01)
        return False

    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text("utf-8", "replace")[-2000:]

    def stop(self) -> None:
        """Kill it and all that it started. Nothing is left when this returns."""
        if self.runs():
            self._process.send_signal(signal.SIGSTOP)  # so that it starts nothing more
        family = _family(self.pid)
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.wait(PATIENCE_S)
        eventually(lambda: not any(_lives(each) for each in family), f"all of {family} ended")


class Served:
    """What every server has: it runs from its making until `stop` or the end of its block."""

    host: str
    port: int
    root: Path
    """The folder that holds what it serves."""

    def __init__(self) -> None:
        self._daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. Its port is free when this returns."""
        while self._daemons:
            self._daemons.pop().stop()


def start_on_a_free_port(
    start: Callable[[int], Daemon], host: str = LOOPBACK, *, inside: Sequence[str] = ()
) -> tuple[Daemon, int]:
    """Start a server that listens on a port that nobody has, and wait until it answers; the server and its port."""
    for _ in range(_PORTS_TRIED):
        port = free_port()
        daemon = start(port)
        try:
            if daemon.ready(lambda: answers(host, port, inside=inside)):  # noqa: B023 - asked at once
                return daemon, port
        except BaseException:
            daemon.stop()
            raise
        daemon.stop()
    raise AssertionError(f"it didn't start: {daemon.said()}")


def find_program(name: str) -> str | None:
    """The path of a program; servers are where only root's PATH leads. None if it isn't installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"]))


def program(name: str) -> str:
    """The path of a program that has to be installed."""
    found = find_program(name)
    assert found is not None, f"{name} isn't installed"
    return found


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(host: str, port: int, *, inside: Sequence[str] = ()) -> bool:
    """Whether somebody accepts connections there, as seen from `inside`."""
    if inside:
        words = [*inside, "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"]
        return subprocess.run(words, capture_output=True, timeout=PATIENCE_S).returncode == 0
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


def _dies_with_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and waits for its new parent to notice doesn't."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
