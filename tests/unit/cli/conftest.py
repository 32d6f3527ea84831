"""The command, run in this very process with streams of its own."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pygit2
import pytest
from pygit2.enums import ConfigLevel

from gitctx.store import Store
from gitctx_cli.app import run
from gitctx_cli.env import Env
from gitctx_cli.output import Output
from gitctx_testkit.unprivileged import open_folder

NOBODY = 65534


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Result:
    """What one command line did."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def jsons(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return found


@dataclass
class Command:
    """The command at one place, with an environment."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        *arguments: str | Path,
        stdin: bytes | io.BytesIO | None = b"",
        code: int | None = 0,
        environ: dict[str, str] | None = None,
        out: io.BytesIO | None = None,
        encoding: str = "utf-8",
    ) -> Result:
        """Run a command line; its exit code has to be `code` (None: any)."""
        out = out if out is not None else io.BytesIO()
        err = io.BytesIO()
        env = Env(
            Output(out, err, out_encoding=encoding, err_encoding=encoding),
            stdin=io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin,
            environ={**self.environ, **(environ or {})},
            folder=self.folder,
            login="tester",
        )
        result = Result(run([str(word) for word in arguments], env), out.getvalue(), err.getvalue().decode())
        assert code in (None, result.code), (arguments, result)
        return result

    def changed(self, *arguments: str, **more: Any) -> Any:
        """The acknowledgement of a write."""
        return self(*arguments, "--json", **more).json

    def log(self, *arguments: str) -> Sequence[Any]:
        """What history tells."""
        return self("log", "--json", *arguments).jsons


def look_for_git_settings_in(folder: str) -> None:
    """Where libgit2 looks for the user's settings. It has read HOME once, when it was loaded."""
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM):
        pygit2.settings.search_path[level] = folder


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(_no_outside_settings: None) -> None:
    look_for_git_settings_in(os.environ["HOME"])


@pytest.fixture
def cli(store: Store, tmp_path: Path) -> Command:
    """The command on a fresh store, as the actor `planner`."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Command(folder, {"GITCTX_STORE": str(store.path), "GITCTX_ACTOR": "planner"})


@pytest.fixture
def terminal() -> type[Terminal]:
    """A stream that says it is a terminal."""
    return Terminal


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user of the machine may write in."""
    with open_folder() as folder:
        folder.chmod(0o777)
        yield folder


@pytest.fixture
def as_nobody(cli: Command) -> Callable[[Callable[[], Any]], Any]:
    """Run a function as a user without privileges: in a forked child if root runs the tests, else here."""
    if os.getuid() != 0:
        return lambda function: function()
    cli("put", "warm-up", "v", "--id", "imports")
    cli("get", "warm-up", "--json")
    cli("get", "none", "--json", code=3)
    cli("put", "warm-up", "v", "--id", "imports", "--if-absent", code=5)
    return _as_nobody


def _as_nobody(function: Callable[[], Any]) -> Any:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            look_for_git_settings_in("/")
            told = pickle.dumps((True, function()))
        except (AssertionError, Exception) as error:  # noqa: BLE001 - told to the parent, whatever it is
            told = pickle.dumps((False, repr(error)))
        os.write(writer, told)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        fine, found = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    assert fine, found
    return found
