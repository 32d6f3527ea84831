"""Running a piece of a test as a user who isn't root, because root ignores permissions."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

import gitctx
from gitctx_testkit.git import no_settings_for_libgit2
from gitctx_testkit.processes import Talk, children

T = TypeVar("T")
NOBODY = 65534


def as_nobody(function: Callable[[], T]) -> T:
    """What the function returns in a process of the user `nobody`; raises what it raises."""
    if os.geteuid() != 0:
        return function()
    _import_all()

    def run(_: Talk) -> T:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return function()

    with children(run) as (child,):
        answer: T = child.result()
    return answer


@functools.cache
def _import_all() -> None:
    """Import what gitctx imports late, too: Python itself may lie where `nobody` can't read, such as in root's home."""
    for path in Path(*gitctx.__path__).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                for name in node.names:
                    importlib.import_module(name.name)
            elif isinstance(node, ast.ImportFrom) and node.module:
                importlib.import_module(node.module)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach. Those of pytest are closed to others whenever some pytest starts."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)


def give_to_nobody(path: Path) -> None:
    """Make `nobody` the owner of a folder and all in it, and let them reach it."""
    if os.geteuid() != 0:
        return
    for folder, _, files in os.walk(path):
        for place in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    let_through(path)


def let_through(path: Path) -> None:
    """Let every user reach a path below an `open_folder`."""
    for parent in path.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            os.chmod(parent, parent.stat().st_mode | 0o011)


def git_trusts(monkeypatch: pytest.MonkeyPatch, home: Path, folder: Path) -> None:
    """Have git (and libgit2) open `folder` whoever owns it, by a setting in `home`."""
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {folder}\n")
    let_through(home / ".gitconfig")
    monkeypatch.setenv("HOME", str(home))
    no_settings_for_libgit2(home)
