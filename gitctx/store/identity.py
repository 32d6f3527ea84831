"""What makes a bare repository a gitctx store: branches with a root commit that says so, and settings that keep it
safe.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gitctx.config import Config
from gitctx.errors import WAY_OUT, AlreadyExists, BrokenHistory, FormatUnsupported, GitctxError, NotAStore
from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import make_object
from gitctx.repository import Repository
from gitctx.repository.repository import temporary_sibling

CONTEXT = "context"
SESSIONS = "sessions"
REQUIRED_CONFIG: Mapping[str, str] = {
    "core.logallrefupdates": "always",
    "core.fsync": "committed",
    "gc.auto": "0",
    "receive.autogc": "false",
    "receive.denynonfastforwards": "true",
    "receive.denydeletes": "true",
}
_FORMAT = "gitctx.format"
_STORE = "gitctx.store"
_LOOK_BACK = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """The store's id (a ULID), its format and its epoch (how many rotations there were)."""

    store_id: str
    format: int
    epoch: int


def create(path: Path, config: Config) -> Repository:
    """Make a store at a path that doesn't exist yet (an empty folder will do).

    It is built beside the path and renamed into place, so that there is never half a store and of several makers one
    wins. Raises AlreadyExists, NotAStore (the folder holds something else), DiskFull, StoreReadOnly.
    """
    from gitctx.repository.translate import from_os

    refuse_full_folder(path)
    store_id = new_ulid(config.clock(), config.rng)
    place = temporary_sibling(path)
    try:
        building = Repository.create(place, head=f"refs/heads/{CONTEXT}", config=config_of(store_id))
        for branch in (CONTEXT, SESSIONS):
            begin_branch(building, branch, store_id, config)
        return building.move_to(path)
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, GitctxError):
            raise
        raise from_os(error, path) from error


def refuse_full_folder(path: Path) -> None:
    """Raise unless a store may be made at a path, whose parent folders are made. Raises AlreadyExists, StorageError."""
    from gitctx.repository.translate import from_os

    try:
        if path.is_dir() and any(path.iterdir()):
            raise AlreadyExists(f"{path} isn't empty", hint="choose a path that doesn't exist yet")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, AlreadyExists):
            raise
        raise from_os(error, path) from error


def config_of(store_id: str) -> dict[str, str | bool | int]:
    """The configuration that a store has from its beginning."""
    return {**REQUIRED_CONFIG, _FORMAT: messages.FORMAT, _STORE: store_id}


def begin_branch(building: Repository, branch: str, store_id: str, config: Config) -> None:
    """Make the root commit of a branch."""
    now = config.clock()
    who = messages.Identity("gitctx", f"gitctx@{messages.EMAIL_DOMAIN}", now)
    tree = make_object("tree", b"")
    trailers = [
        (messages.OP, "init"),
        (messages.FORMAT_TRAILER, str(messages.FORMAT)),
        (messages.STORE, store_id),
        (messages.EPOCH, "0"),
        (messages.ID, new_ulid(now, config.rng)),
    ]
    text = messages.build_message(f"init {branch}", "", trailers)
    commit = make_object(
        "commit", messages.encode_commit(tree=tree.oid, parents=[], author=who, committer=who, message=text)
    )
    building.publish(
        [tree, commit],
        f"refs/heads/{branch}",
        commit.oid,
        expected=None,
        who=f"{who.name} <{who.email}>",
        message="gitctx: init",
        at_s=int(now.timestamp()),
        durable=False,
    )


def identify(repository: Repository) -> Identity:
    """Read what the store says of itself. Raises NotAStore, BrokenHistory, FormatUnsupported.

    The root commit is the truth; where history is long, the copy in the repository's configuration spares the walk.
    """
    config = repository.config()
    head = repository.read_ref(f"refs/heads/{CONTEXT}")
    if head is None:
        if _STORE in config:
            raise BrokenHistory(
                f"the branch {CONTEXT} is gone from the store {repository.path}",
                hint=f"{WAY_OUT} (its last values are in {repository.path}/logs/refs/heads/{CONTEXT})",
            )
        raise NotAStore(
            f"{repository.path} is a git repository but no gitctx store (it has no branch {CONTEXT})",
            hint="give the path of a store, or make one with `gitctx init`",
            details={"path": str(repository.path)},
        )
    root = _root(repository, head, None if _STORE not in config else _LOOK_BACK)
    if root is None:
        return Identity(config[_STORE], _checked(config.get(_FORMAT, "1"), repository.path), 0)
    commit = repository.read_commit(root)
    store_id, format = commit.trailer(messages.STORE), commit.trailer(messages.FORMAT_TRAILER)
    if store_id is None or format is None:
        if _STORE in config:  # the branch was forced to an unrelated history; the next write brings ours back
            return Identity(config[_STORE], _checked(config.get(_FORMAT, "1"), repository.path), 0)
        raise NotAStore(
            f"{repository.path} is a git repository, but its branch {CONTEXT} wasn't made by gitctx",
            hint="make a store with `gitctx init` at another path",
            details={"path": str(repository.path)},
        )
    _checked(config.get(_FORMAT, "1"), repository.path)
    epoch = commit.trailer(messages.EPOCH) or "0"
    return Identity(store_id, _checked(format, repository.path), int(epoch) if epoch.isdecimal() else 0)


def _root(repository: Repository, head: str, limit: int | None) -> str | None:
    """The root commit down the first parents; None if it is farther than `limit`."""
    oid, steps = head, 0
    while limit is None or steps < limit:
        parents = repository.read_commit(oid).parents
        if not parents:
            return oid
        oid, steps = parents[0], steps + 1
    return None


def _checked(format: str, path: Path) -> int:
    if format.strip() == str(messages.FORMAT):
        return messages.FORMAT
    raise FormatUnsupported(
        f"the store {path} has format {format}, and this gitctx reads format {messages.FORMAT}",
        hint="upgrade gitctx: pip install --upgrade gitctx-store",
        details={"format": format, "supported": messages.FORMAT},
    )
