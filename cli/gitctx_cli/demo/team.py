"""The agents' processes: started, listened to, killed, never left behind."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from gitctx.repository.project import Project
from gitctx_cli.demo.messages import Message, decode

_END_PATIENCE_S = 2.0
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Member:
    """One agent's process, and what it said that isn't a whole line yet. `open` until its output has ended."""

    name: str
    process: subprocess.Popen[bytes]
    talk: IO[bytes]
    rest: bytes = b""
    open: bool = field(default=True)


class Team:
    """The running agents. As a context manager it ends them with its block, whatever happens."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def working(self) -> bool:
        """Whether anybody may still say something."""
        return any(member.open for member in self._members.values())

    def start(self, name: str, store: Path, project: Project) -> int:
        """Start an agent; its process id.

        In a process group of its own, so that Ctrl-C reaches the demo alone; without the current folder on the import
        path, as that is the user's project.
        """
        command = [sys.executable, "-P", "-m", "gitctx_cli.demo.agent", "--actor", name]
        command += ["--store", str(store), "--project", str(project.git_dir), "--head", project.head]
        talk = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the team
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk, start_new_session=True
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        member = Member(name, process, talk)
        self._members[name] = member
        self._selector.register(process.stdout, selectors.EVENT_READ, member)
        return process.pid

    def listen(self, patience_s: float) -> Sequence[tuple[str, Message]]:
        """What agents have said since; waits for it at most so long."""
        heard: list[tuple[str, Message]] = []
        for key, _ in self._selector.select(patience_s):
            member: Member = key.data
            heard += [(member.name, message) for message in self._read(member)]
        return heard

    def go_on(self, name: str) -> None:
        """Tell an agent that waits to go on."""
        process = self._members[name].process
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(b"go\n")
            process.stdin.flush()

    def kill(self, name: str) -> Sequence[tuple[str, Message]]:
        """Kill an agent with SIGKILL and wait until it is gone. What it had still said before."""
        member = self._members[name]
        member.process.kill()
        member.process.wait()
        heard: list[tuple[str, Message]] = []
        while member.open:
            heard += [(name, message) for message in self._read(member)]
        return heard

    def last_words(self, name: str) -> str:
        """The end of what an agent wrote to standard error, for when something went wrong."""
        talk = self._members[name].talk
        talk.seek(0)
        return talk.read()[-2000:].decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End whoever still runs, and wait for them."""
        for member in self._members.values():
            assert member.process.stdin is not None
            with suppress(OSError):
                member.process.stdin.close()
        for member in self._members.values():
            try:
                member.process.wait(_END_PATIENCE_S)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
            if member.process.stdout is not None:
                member.process.stdout.close()
            member.talk.close()
        self._selector.close()
        self._members.clear()

    def _read(self, member: Member) -> list[Message]:
        assert member.process.stdout is not None
        try:
            data = os.read(member.process.stdout.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return []
        if not data:
            self._selector.unregister(member.process.stdout)
            member.open = False
            return []
        *lines, member.rest = (member.rest + data).split(b"\n")
        return [decode(line) for line in lines]
