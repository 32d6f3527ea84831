"""Opening a store, and making one."""

from __future__ import annotations

from pathlib import Path

from gitctx.config import Config
from gitctx.context.context import Context
from gitctx.repository.discovery import default_store, find_store
from gitctx.store import Store


def open_context(
    path: str | Path = ".",
    *,
    actor: str,
    session: str | None = None,
    config: Config | None = None,
    share_bases: bool = False,
) -> Context:
    """The context of the store at `path`: the store itself, or any folder of a project that has one.

    With `share_bases` what was last seen of each key is shared by all programs of the session. Raises StoreNotFound,
    NotAStore, StoreNotOwned, FormatUnsupported, BrokenHistory, InvalidName, SessionNotFound, SessionEnded.
    """
    store = Store.open(find_store(Path(path)), config)
    return Context(store, actor=actor, session=session, share_bases=share_bases)


def create_store(path: str | Path, *, config: Config | None = None) -> Path:
    """Make a store: at `path`, or for the project that `path` is a folder of. Its path. Raises AlreadyExists, DiskFull.

    Nothing is written outside the store.
    """
    place = Path(path)
    target = default_store(place) if place.is_dir() else None
    return Store.create(target or place, config).path
