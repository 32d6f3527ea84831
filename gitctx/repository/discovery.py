"""Where a store is: from a path to the store that belongs to it. Reads git's configuration, nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pygit2

from gitctx.errors import GitctxError, NotAStore, StoreNotFound
from gitctx.repository.translate import translated

STORE_FOLDER = Path("gitctx") / "store.git"


def git_dir_around(start: Path) -> Path | None:
    """The git dir of the project that a folder belongs to, also of one that can't be opened; None outside any. Raises
    pygit2.GitError, OSError.

    `pygit2.discover_repository` gives back a reference to None too many whenever it finds nothing (seen with pygit2
    1.21): that ends a program that looks some thousand times. So it is asked only where opening found something.
    """
    try:
        return Path(pygit2.Repository(str(start.absolute())).path)
    except pygit2.GitError as error:
        if str(error).startswith("Repository not found"):
            return None
    found = pygit2.discover_repository(str(start.absolute()))
    return Path(found) if found is not None else None


def common_dir(start: Path) -> Path | None:
    """The common git dir of the project that a folder belongs to (one for all its worktrees); None outside any."""
    with translated(start):
        git_dir = git_dir_around(start)
    if git_dir is None:
        return None
    pointer = git_dir / "commondir"
    if pointer.is_file():
        return (git_dir / pointer.read_text("utf-8").strip()).resolve()
    return git_dir.resolve()


def is_store(path: Path) -> bool:
    """Whether a folder looks like a store: a bare repository whose own configuration tells the format of a store.

    A section for gitctx alone says nothing: a project has one where `git config gitctx.actor` was used.
    """
    try:
        return (path / "objects").is_dir() and "gitctx.format" in pygit2.Config(str(path / "config"))
    except (OSError, ValueError, pygit2.GitError):
        return False


def default_store(start: Path) -> Path | None:
    """Where the store of the project around `start` is or would be; None outside any project.

    `git config gitctx.store` in the project names another place (relative to the project's top folder).
    """
    if is_store(start):
        return start
    common = common_dir(start)
    if common is None:
        return None
    if is_store(common):
        return common
    configured = _configured(common)
    if configured:
        return Path(os.path.normpath(common.parent / Path(configured)))
    return common / STORE_FOLDER


def _configured(common: Path) -> str | None:
    config: pygit2.Config
    try:
        config = pygit2.Repository(str(common)).config
    except pygit2.GitError:
        config = pygit2.Config(str(common / "config"))
    with translated(common):
        return str(config["gitctx.store"]) if "gitctx.store" in config else None


def find_store(start: Path) -> Path:
    """The store at a path, or the one of the project around it. Raises StoreNotFound.

    A path that exists and isn't inside a project is taken for a store itself: opening it says what is wrong with it.
    """
    with translated(start):
        return _find_store(start)


def _find_store(start: Path) -> Path:
    if not start.exists():
        raise StoreNotFound(
            f"there is no store at {start}", hint="`gitctx init` makes one", details={"path": str(start)}
        )
    if not start.is_dir():
        raise NotAStore(f"{start} isn't a folder, so it is no store", hint="give the path of a store or of a project")
    if (start / "HEAD").is_file() and (start / "objects").is_dir():
        return start
    found = default_store(start)
    if found is None:
        return start
    if not found.exists():
        raise StoreNotFound(
            f"the project around {start} has no store yet ({found} doesn't exist)",
            hint="`gitctx init` makes one",
            details={"path": str(found)},
        )
    return found


def remotes_of_project(start: Path) -> dict[str, str]:
    """The remotes of the project around a folder (the folder of a store, too): name -> URL. Empty outside any."""
    found = {}
    try:
        common = common_dir(start.parent if is_store(start) else start)
        config = pygit2.Config(str(common / "config")) if common is not None else ()
        for entry in config:
            if entry.name.startswith("remote.") and entry.name.endswith(".url"):
                found[entry.name[7:-4]] = entry.value or ""
    except (OSError, ValueError, pygit2.GitError, GitctxError):
        return {}
    return found


_ASKED = ("gitctx.store", "gitctx.actor", "gitctx.session", "user.name")


def read_project_config(start: Path) -> dict[str, str]:
    """What git's configuration says at a folder: `gitctx.store`, `gitctx.actor`, `gitctx.session`, `user.name`.

    Outside any project it is the user's own. What isn't set, or can't be read, is left out.
    """
    found: dict[str, str] = {}
    for read in _configurations(start):
        try:
            config = read()
            found = {**{name: config[name] or "" for name in _ASKED if name in config}, **found}
        except (OSError, ValueError, pygit2.GitError):
            continue
    return found


def _configurations(start: Path) -> list[Callable[[], pygit2.Config]]:
    """Ways to a configuration, the one that counts most first."""
    try:
        git_dir = git_dir_around(start)
    except (OSError, pygit2.GitError):
        git_dir = None
    if git_dir is not None:
        return [lambda: pygit2.Repository(str(git_dir)).config]
    return [
        pygit2.Config.get_global_config,
        pygit2.Config.get_xdg_config,
        pygit2.Config.get_system_config,
    ]
