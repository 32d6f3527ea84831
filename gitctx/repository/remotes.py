"""The remotes of a store, in its git configuration, so that plain git knows them as well."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pygit2

from gitctx.errors import AlreadyExists, InvalidName, RemoteNotFound
from gitctx.repository.translate import translated
from gitctx.values import Remote

if TYPE_CHECKING:
    from gitctx.repository.repository import Repository

OWN = "refs/"
"""Namespace on a remote that holds nothing but the store: `refs/heads/context`, `refs/tags/...`."""
SHARED = "refs/gitctx/"
"""Namespace on a remote that also holds a project: `refs/gitctx/heads/context`, `refs/gitctx/tags/...`."""
NAMESPACES = (OWN, SHARED)
TRACKING = "refs/gitctx/remotes/"
_NAMESPACE = "gitctxnamespace"
_NO_ROTATION = "gitctxnorotation"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_NOT_NAMES = ("pause", "resume")


class Remotes:
    """The remotes of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def list(self) -> Sequence[Remote]:
        """All remotes, by name."""
        config = self._repository.config()
        names = sorted({name[7:-4] for name in config if name.startswith("remote.") and name.endswith(".url")})
        return [
            Remote(name, config[f"remote.{name}.url"], config.get(f"remote.{name}.{_NAMESPACE}", "")) for name in names
        ]

    def get(self, name: str) -> Remote:
        """One remote. Raises RemoteNotFound."""
        known = self.list()
        for remote in known:
            if remote.name == name:
                return remote
        there = f"there are {', '.join(each.name for each in known)}" if known else "there is none yet"
        raise RemoteNotFound(
            f"the store has no remote '{name}' ({there})",
            hint="`gitctx remote add NAME URL` adds one",
            details={"remote": name},
        )

    def add(self, name: str, url: str, *, namespace: str = "") -> Remote:
        """Add a remote. Nothing is sent to it. Raises InvalidName, AlreadyExists."""
        if not _NAME.fullmatch(name) or name.endswith((".", ".lock")) or ".." in name or name in _NOT_NAMES:
            raise InvalidName(f"the name {name!r} for a remote is refused", hint="use a name like origin")
        if not url or url.startswith("-") or not url.isprintable():
            raise InvalidName(f"{url!r} is no URL", hint="give what `git clone` takes, like ssh://host/path/store.git")
        if any(each.name == name for each in self.list()):
            raise AlreadyExists(
                f"there is a remote '{name}' already", hint="`gitctx remote remove` removes it", details={"name": name}
            )
        with translated(self._repository.path):
            config = pygit2.Config(str(self._repository.path / "config"))
            config[f"remote.{name}.url"] = url
            config[f"remote.{name}.tagopt"] = "--no-tags"
        if namespace:
            self.place(name, namespace)
        return self.get(name)

    def place(self, name: str, namespace: str) -> Remote:
        """Say where the store's refs are on a remote, so that `git fetch NAME` fetches them as an exchange does."""
        with translated(self._repository.path):
            config = pygit2.Config(str(self._repository.path / "config"))
            config[f"remote.{name}.{_NAMESPACE}"] = namespace
            with suppress(KeyError):
                config.delete_multivar(f"remote.{name}.fetch", ".*")
            for refspec in fetch_refspecs(name, namespace):
                config.set_multivar(f"remote.{name}.fetch", "^$", refspec)
        return self.get(name)

    def clear_locks(self, name: str, *, older_than_s: float) -> None:
        """Remove lock files that a killed git left on what is remembered of a remote: they would end every later fetch.
        Only for whoever is alone with that remote. A git that still lives loses nothing by it, because what is
        remembered is only what was seen.
        """
        for lock in (self._repository.path / tracking(name)).rglob("*.lock"):
            with suppress(OSError):
                if time.time() - lock.stat().st_mtime >= older_than_s:
                    lock.unlink()

    def note_no_rotation(self, name: str) -> None:
        """Remember that a remote takes no rewritten history."""
        with translated(self._repository.path):
            pygit2.Config(str(self._repository.path / "config"))[f"remote.{name}.{_NO_ROTATION}"] = True

    def any_without_rotation(self) -> bool:
        """Whether a remote is known to take no rewritten history: then rotating by itself would only be undone."""
        return any(name.endswith(f".{_NO_ROTATION}") for name in self._repository.config())

    def remove(self, name: str) -> Remote:
        """Forget a remote and what is known of its refs; on the remote nothing changes. Raises RemoteNotFound."""
        found = self.get(name)
        self._repository.git("config", "--remove-section", f"remote.{name}")
        gone = "".join(f"delete {ref}\n" for ref in self._repository.ref_names(f"{tracking(name)}"))
        if gone:
            self._repository.git("update-ref", "--stdin", stdin=gone.encode())
        return found


def tracking(name: str) -> str:
    """Where the refs of a remote are remembered in the store."""
    return f"{TRACKING}{name}/"


def fetch_refspecs(name: str, namespace: str) -> Sequence[str]:
    """What of a remote is fetched: branches and checkpoints."""
    return [f"+{namespace}{kind}/*:{tracking(name)}{kind}/*" for kind in ("heads", "tags")]


def is_local(url: str) -> bool:
    """Whether a URL is a path of this machine."""
    return "://" not in url and (":" not in url.partition("/")[0] or Path(url).exists())
