"""A network of namespaces: machines joined by cables to a server, and nothing to the world outside."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from gitctx_testkit.daemons import PATIENCE_S, Daemon, program
from gitctx_testkit.git import clean_environment

_SERVER = "192.0.2.1"
_MACHINE_ID = Path("/etc/machine-id")
_WALLS = ("--net", "--uts", "--mount")
_SETTLE = 'ip link set lo up; echo "$1" >/proc/sys/kernel/hostname; [ ! -e "$3" ] || mount --bind "$2" "$3"'


class Host:
    """A namespace with a host name and a machine id of its own.

    `inside` is what runs a command there: `[*host.inside, "git", "fetch"]`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        identity = folder / "machine-id"
        identity.write_text(f"{uuid.uuid4().hex}\n")
        script = f"set -e; {_SETTLE}; : >ready; exec sleep infinity"
        words = ["unshare", *_WALLS, "sh", "-c", script, "sh", name, str(identity), str(_MACHINE_ID)]
        self.name = name
        self._holder = Daemon(words, folder / "log", environment=clean_environment())
        self.pid = self._holder.pid
        self.inside = (program("nsenter"), "--wd=.", "--target", str(self.pid), *_WALLS)
        if not self._holder.ready((folder / "ready").exists):
            raise AssertionError(f"no namespace: {self._holder.said()}")

    def run(self, *words: str) -> str:
        """Run a command there that has to end well; what it printed."""
        return _run(*self.inside, *words)

    def stop(self) -> None:
        """Give it up. Its cables go with it."""
        self._holder.stop()


class Network:
    """A server and some machines, each on a cable of its own that a test can pull and plug in again.

    Servers start with `host=network.address, inside=network.server.inside`.
    """

    address = _SERVER
    """Where every machine reaches the server."""

    def __init__(self, folder: Path, machines: int = 2) -> None:
        folder.mkdir()
        self._hosts: list[Host] = []
        try:
            self.server = self._host(folder, "server")
            self.server.run("ip", "address", "add", f"{_SERVER}/32", "dev", "lo")
            self.machines = [self._host(folder, f"machine{number}") for number in range(1, machines + 1)]
            for number, machine in enumerate(self.machines, start=1):
                self._join(machine, 4 * number)
        except BaseException:
            self.stop()
            raise

    def pull(self, machine: Host) -> None:
        """Part a machine from the server: what is under way hangs, and nothing new gets through."""
        self.server.run("ip", "link", "set", machine.name, "down")

    def plug_in(self, machine: Host) -> None:
        """Join it again."""
        self.server.run("ip", "link", "set", machine.name, "up")

    def stop(self) -> None:
        """Give up all of it."""
        while self._hosts:
            self._hosts.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _host(self, folder: Path, name: str) -> Host:
        self._hosts.append(Host(folder / name, name))
        return self._hosts[-1]

    def _join(self, machine: Host, first: int) -> None:
        theirs, ours = (f"192.0.2.{first + number}" for number in (1, 2))
        cable = ["ip", "link", "add", machine.name, "type", "veth", "peer", "name", "cable", "netns", str(machine.pid)]
        self.server.run(*cable)
        self.server.run("ip", "address", "add", f"{theirs}/30", "dev", machine.name)
        self.server.run("ip", "link", "set", machine.name, "up")
        machine.run("ip", "address", "add", f"{ours}/30", "dev", "cable")
        machine.run("ip", "link", "set", "cable", "up")
        machine.run("ip", "route", "add", "default", "via", theirs)


def can_make_networks() -> bool:
    """Whether this user can make namespaces here, with a cable in them."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        _run("unshare", *_WALLS, "ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
    except AssertionError:
        return False
    return True


def _run(*words: str) -> str:
    done = subprocess.run(
        words,
        env=clean_environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stderr}"
    return done.stdout
