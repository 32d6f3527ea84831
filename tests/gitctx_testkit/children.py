"""Real Python processes that a test starts, listens to and kills."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType

from gitctx_testkit.git import clean_environment

PATIENCE_S = 30.0


class Child:
    """A Python script in a process of its own, with arguments in `sys.argv`. Killed when its block ends."""

    def __init__(self, script: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path)),
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def line(self) -> str:
        """The next line that it prints. AssertionError if none comes."""
        assert self.process.stdout is not None
        descriptor, found = self.process.stdout.fileno(), b""
        deadline = time.monotonic() + PATIENCE_S
        while not found.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            byte = os.read(descriptor, 1) if ready else b""
            assert byte, f"no line came, only {found!r}"
            found += byte
        return found.decode().strip()

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and reap it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)


def eventually(check: Callable[[], bool], what: str) -> None:
    """Poll until a check holds. AssertionError if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.005)
