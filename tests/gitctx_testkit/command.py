"""The `gitctx` command as a user has it: on the PATH of a shell, with a home of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitctx_testkit.git import clean_environment

PATIENCE_S = 60


class Gitctx:
    """A `gitctx` that runs in `folder` with `environment`, which a test may change at any time.

    `inside` is a command that runs it somewhere else, such as `nsenter`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, inside: Sequence[str] = ()) -> None:
        program = folder / "bin" / "gitctx"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c 'from gitctx_cli.app import main; main()' \"$@\"\n"
        )
        program.chmod(0o755)
        self.folder = folder
        self.inside = tuple(inside)
        self.environment = clean_environment(
            PATH=f"{program.parent}:{os.environ['PATH']}",
            PYTHONPATH=os.pathsep.join(part for part in sys.path if part),
        )
        self.environment |= environment

    @property
    def store(self) -> Path:
        """The store that the environment names."""
        return Path(self.environment["GITCTX_STORE"])

    def start(self, *words: str, cwd: Path | None = None, **more: Any) -> subprocess.Popen[bytes]:
        """A process that runs."""
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        command = [*self.inside, "gitctx", *words]
        return subprocess.Popen(command, cwd=cwd or self.folder, env=self.environment, **{**options, **more})

    def __call__(self, *words: str, code: int = 0, cwd: Path | None = None) -> str:
        """What a command line prints; its exit code has to be `code`."""
        process = self.start(*words, cwd=cwd)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, (words, process.returncode, out, err)
        return out.decode()

    def shell(self, script: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A shell script that has `gitctx`."""
        return subprocess.run(
            [*self.inside, "bash", "-c", script],
            cwd=cwd or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 5,
        )


class Computer(Gitctx):
    """A user's machine: a home with git settings, a project with one commit, and a `gitctx` in that project.

    `environment` is what its clients need, such as `SshServer.environment()`; `inside` puts it on a `Network`.
    """

    def __init__(
        self, folder: Path, *, environment: Mapping[str, str] | None = None, inside: Sequence[str] = ()
    ) -> None:
        self.home = folder / "home"
        self.project = folder / "project"
        for place in (folder, self.home, self.project):
            place.mkdir()
        name = folder.name
        (self.home / ".gitconfig").write_text(
            f"[user]\n\tname = {name}\n\temail = {name}@example.com\n[init]\n\tdefaultBranch = main\n"
        )
        own = {"HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        own |= {f"XDG_{kind}_HOME": str(self.home / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE", "STATE")}
        super().__init__(folder, {**own, **(environment or {})}, inside=inside)
        for word in ("AUTHOR", "COMMITTER"):
            for what in ("NAME", "EMAIL"):
                self.environment.pop(f"GIT_{word}_{what}", None)
        self.folder = self.project
        self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "first")

    def git(self, *words: str, code: int | None = 0, cwd: Path | None = None) -> str:
        """What git prints in the project, without the last newline; its exit code has to be `code` (None: any)."""
        done = subprocess.run(
            [*self.inside, "git", *words],
            cwd=cwd or self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )
        assert code in (None, done.returncode), (words, done.returncode, done.stdout, done.stderr)
        return done.stdout.rstrip("\n")
