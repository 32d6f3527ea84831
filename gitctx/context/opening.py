"""Opening a store, and making one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gitctx.config import Config
from gitctx.context.context import Context
from gitctx.errors import GitctxError, NotFound
from gitctx.repository.discovery import default_store, find_store
from gitctx.store import Store

if TYPE_CHECKING:
    from gitctx.values import Recovered


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
    place = find_store(Path(path))
    recovered = None
    try:
        store = Store.open(place, config)
    except GitctxError as error:
        recovered = recover_from(error, place, config) if config is not None and config.auto_recover else None
        if recovered is None:
            raise
        store = Store.open(place, config)
    context = Context(store, actor=actor, session=session, share_bases=share_bases)
    context.recovered = recovered
    return context


def recover_from(error: BaseException, path: Path, config: Config | None = None) -> Recovered | None:
    """Recover the store at a path if that is what an error calls for: what was done, or None if the error comes from
    something else. Raises RecoveryImpossible and what `Recovery.apply` raises.
    """
    from gitctx.recovery import Recovery, may_be_damage

    if not may_be_damage(error):
        return None
    try:
        recovered = Recovery(path, config).apply()
    except NotFound:
        return None
    return recovered if recovered.changed else None


def create_store(path: str | Path, *, config: Config | None = None) -> Path:
    """Make a store: at `path`, or for the project that `path` is a folder of. Its path. Raises AlreadyExists, DiskFull.

    Nothing is written outside the store.
    """
    place = Path(path)
    target = default_store(place) if place.is_dir() else None
    return Store.create(target or place, config).path
