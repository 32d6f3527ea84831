"""A database server that a benchmark starts for itself: on a free loopback port, with its files in a folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

_PATIENCE_S = 30.0
_PORT_FILE = "port"

_Command = Callable[[int, int], Sequence[str]]


def installed(program: str) -> bool:
    """Whether a server can be measured on this machine."""
    return shutil.which(program) is not None


class Server:
    """The server of a folder: started by whoever opens the folder first, and stopped when that one closes it."""

    def __init__(
        self, folder: Path, command: Callable[[int, int], Sequence[str]], ready: Callable[[int], bool]
    ) -> None:
        """`command` makes the words to run from two free ports, `ready` tells whether the first one answers."""
        told = folder / _PORT_FILE
        self._stop: Callable[[], object] | None = None
        if told.exists():
            self.port = int(told.read_text("ascii"))
            return
        self.port, second = _free_ports(2)
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(command(self.port, second), cwd=folder, stdout=log, stderr=log)
        self._stop = weakref.finalize(self, _end, process)
        deadline = time.monotonic() + _PATIENCE_S
        while not ready(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} doesn't answer: see {folder / 'server.log'}")
            time.sleep(0.02)
        told.write_text(str(self.port), "ascii")

    def close(self) -> None:
        """Stop it, if it was started here."""
        if self._stop is not None:
            self._stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
