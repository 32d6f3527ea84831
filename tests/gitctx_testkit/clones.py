"""Stores on several machines, in one process: each its own store, all with one clock that a test can trust."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx.sync.joining import join
from gitctx.values import Exchanged
from gitctx_testkit.audit import head_of
from gitctx_testkit.git import git
from gitctx_testkit.hosted import Hosted

HUB = "hub.git"
_TAGS = "refs/tags/"
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def _pair() -> Path:
    """A folder with a hub and two machines that have exchanged all."""
    made = Clones(Path(tempfile.mkdtemp(prefix="gitctx-pair-")), _BEGIN - timedelta(days=1))
    atexit.register(shutil.rmtree, made.folder, ignore_errors=True)
    one = made.begin("one")
    one.exchange()
    made.join("two")
    return made.folder


class Clock:
    """Each look is a second later than the one before, on whatever machine: what was written later is later."""

    def __init__(self, begin: datetime) -> None:
        self._now = begin

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


class Clones:
    """Machines below a folder, and one empty bare repository that serves them all."""

    def __init__(self, folder: Path, begin: datetime = _BEGIN) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.hub = Hosted(folder / HUB)
        self.machines: list[Machine] = []
        self.config = Config(durability="relaxed", clock=Clock(begin), sleep=_nap)

    def begin(self, name: str, *, remote: bool = True) -> Machine:
        """A machine with a store of its own, which knows the hub as `origin`."""
        Store.create(self.folder / name / "store.git", self.config)
        machine = self._machine(name)
        if remote:
            machine.ctx.sync.add_remote("origin", str(self.hub.path))
        return machine

    def join(self, name: str) -> Machine:
        """A machine that joins the store of the hub."""
        join(self.folder / name / "store.git", str(self.hub.path), config=self.config)
        return self._machine(name)

    def copy(self, machine: Machine, name: str) -> Machine:
        """A machine with a copy of the store folder of another one."""
        shutil.copytree(machine.path, self.folder / name / "store.git")
        return self._machine(name)

    def pair(self) -> tuple[Machine, Machine]:
        """Two machines of one store that have exchanged all: copies of a pair that is made once, where that will do."""
        if self.machines or self.hub.path != self.folder / HUB:
            one = self.begin("one")
            one.exchange()
            return one, self.join("two")
        model = _pair()
        shutil.rmtree(self.hub.path)
        for name in (HUB, "one", "two"):
            shutil.copytree(model / name, self.folder / name)
        for name in ("one", "two"):
            config = self.folder / name / "store.git" / "config"
            config.write_text(config.read_text().replace(str(model), str(self.folder)))
        return self._machine("one"), self._machine("two")

    def settle(self, *machines: Machine) -> None:
        """Exchange until nobody has anything new: all are the same then. AssertionError if that never comes."""
        machines = machines or tuple(self.machines)
        for _ in range(8):
            changed = [machine.exchange().changed for machine in machines]
            if not any(changed) or len({tuple(machine.refs().items()) for machine in machines}) == 1:
                break
        else:
            raise AssertionError("exchanges never come to rest")
        for branch in ("context", "sessions"):
            assert len({machine.head(branch) for machine in machines}) == 1

    def _machine(self, name: str) -> Machine:
        machine = Machine(name, self.folder / name / "store.git", self.config)
        self.machines.append(machine)
        return machine


class Machine:
    """One machine: its store, and somebody who writes there under its name."""

    def __init__(self, name: str, path: Path, config: Config) -> None:
        self.name = name
        self.path = path
        self.config = config
        self.ctx = Context(Store.open(path, config), actor=name)

    def exchange(self, remote: str | None = None, **how: object) -> Exchanged:
        """Exchange with the hub, or another remote."""
        return self.ctx.sync.exchange(remote, **how)  # type: ignore[arg-type]

    def content(self) -> dict[str, str]:
        """All entries but those of gitctx itself, as text."""
        return {info.key: self.ctx.get(info.key).text() for info in self.ctx.list() if not _reserved(info.key)}

    def refs(self) -> dict[str, str]:
        """Branches and checkpoints: full name -> object id."""
        listed = git(self.path, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
        return dict(line.split(" ") for line in listed.splitlines())

    def checkpoints(self) -> dict[str, str]:
        """The checkpoints: name -> id of the tag."""
        return {ref.removeprefix(_TAGS): oid for ref, oid in self.refs().items() if ref.startswith(_TAGS)}

    def head(self, branch: str = "context") -> str:
        """The head of a branch, as git sees it."""
        return head_of(self.path, branch)

    def reopened(self) -> Machine:
        """The same machine as another process would see it."""
        self.ctx = Context(Store.open(self.path, self.config), actor=self.name)
        return self


def _reserved(key: str) -> bool:
    return key.startswith(".gitctx/")


def _nap(seconds: float) -> None:
    time.sleep(min(seconds, 0.05))
