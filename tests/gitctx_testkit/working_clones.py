"""Stores on several machines that meet on a git server, and the server as a test sees it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import GitctxError
from gitctx.store import Store
from gitctx.sync.joining import join
from gitctx.values import Exchanged
from gitctx_testkit.audit import assert_sound, ids_in_history
from gitctx_testkit.fault_proxy import FaultProxy
from gitctx_testkit.hosted import Hosted
from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.ssh_server import SshServer

CONTEXT_REF = "refs/heads/context"
ssh_in_soak_only = pytest.mark.parametrize(
    "server",
    [
        pytest.param("http", marks=pytest.mark.nginx),
        pytest.param("ssh", marks=[pytest.mark.sshd, pytest.mark.soak]),
    ],
    indirect=True,
)
"""For what no server does in its own way: once in the suite."""


class Meeting:
    """A repository on a server, and stores of one test that are exchanged with it; `url` is its address."""

    def __init__(self, server: SshServer | HttpServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._place = f"{folder.name}.git"
        self.hosted = Hosted(server.root / self._place)
        self.url = server.url(self._place)
        self.clones: list[Path] = []

    def store(self, name: str, *, url: str | None = None, config: Config | None = None) -> Context:
        """A store of an actor of that name. The first one begins it and publishes it, the others join it."""
        path = self.folder / f"{name}.store"
        if self.clones:
            join(path, url or self.url, config=config)
        made = Store.open(path, config=config) if self.clones else Store.create(path, config=config)
        self.clones.append(path)
        context = Context(made, actor=name)
        if len(self.clones) == 1:
            context.sync.add_remote("origin", url or self.url)
            context.sync.exchange()
        return context

    def head(self, ref: str = CONTEXT_REF) -> str | None:
        """What the server has as a ref."""
        return self.hosted.head(ref)

    def ids(self) -> Counter[str]:
        """How often each `Gitctx-Id` is in the server's history, as plain git tells."""
        return Counter(ids_in_history(self.hosted.path, CONTEXT_REF))

    def assert_once(self, acknowledged: Sequence[str]) -> None:
        """Each acknowledged write is on exactly one commit on the server."""
        counts = self.ids()
        lost = [id for id in acknowledged if counts[id] == 0]
        twice = [id for id in acknowledged if counts[id] > 1]
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes aren't on the server: {lost[:5]}"
        assert not twice, f"{len(twice)} writes are on the server twice: {twice[:5]}"

    def agree(self) -> bool:
        """Whether the server and all stores have the same head."""
        heads = {Store.open(path).context.head() for path in self.clones}
        return heads == {self.head()}

    def assert_sound(self) -> None:
        """No store has a problem, nor has the server's repository."""
        self.hosted.git("fsck", "--full", "--strict", "--no-dangling")
        for path in self.clones:
            assert_sound(path)
            assert not list((path / "refs").rglob("*.lock")), "a lock is left"

    def proxy(self) -> FaultProxy:
        """A network before the server that a test can break; `proxy.through(url)` leads through it."""
        return FaultProxy(self.server.host, self.server.port)


class Keeping:
    """What a thread that keeps exchanging has reported."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.reports: list[Exchanged | GitctxError] = []

    @property
    def errors(self) -> list[GitctxError]:
        """The exchanges that failed."""
        return [each for each in self.reports if isinstance(each, GitctxError)]

    @property
    def exchanged(self) -> list[Exchanged]:
        """The exchanges that did something."""
        return [each for each in self.reports if isinstance(each, Exchanged)]


@contextmanager
def keeping(context: Context) -> Iterator[Keeping]:
    """A thread that keeps a store in step with its remotes until the block ends."""
    found = Keeping()

    def run() -> None:
        context.sync.keep_exchanging(on_report=lambda _, report: found.reports.append(report), stop=found.stop)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        thread.join(30)
        assert not thread.is_alive(), "it didn't stop"
