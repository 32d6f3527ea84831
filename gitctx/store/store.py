"""A store: its repository, its branches, and how revisions are named."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitctx.config import Config
from gitctx.errors import InvalidRevision, RevisionNotFound
from gitctx.repository import Repository
from gitctx.store import identity
from gitctx.store.branch import Branch
from gitctx.store.rotated import BASES, ROTATED, Originals
from gitctx.values import Revision

if TYPE_CHECKING:
    from gitctx.store.history import History

_HEX = re.compile(r"[0-9a-fA-F]{4,40}")
_BACK = re.compile(r"(.+?)~(\d{0,9})")


class Store:
    """An open store. Safe in threads; costs nothing to keep open and needs no closing."""

    def __init__(self, repository: Repository, config: Config) -> None:
        self.path = repository.path
        self.repository = repository
        self.config = config
        self.identity = identity.identify(repository)
        self.context = Branch(repository, identity.CONTEXT, config)
        self.sessions = Branch(repository, identity.SESSIONS, config)

    @cached_property
    def _originals(self) -> Originals:
        return Originals(self.repository)

    @cached_property
    def history(self) -> History:
        """What happened in this store."""
        from gitctx.store.history import History

        return History(self.repository)

    @classmethod
    def open(cls, path: Path, config: Config | None = None) -> Store:
        """The store at a path. Raises StoreNotFound, NotAStore, StoreNotOwned, FormatUnsupported, BrokenHistory."""
        config = config or Config()
        return cls(Repository.open(path, git_timeout_s=config.git_timeout_s), config)

    @classmethod
    def create(cls, path: Path, config: Config | None = None) -> Store:
        """Make a store at a path that doesn't exist yet. Raises AlreadyExists, DiskFull, StoreReadOnly."""
        config = config or Config()
        return cls(identity.create(path, config), config)

    def resolve(self, text: str) -> Revision:
        """The revision that a text names: `head`, a checkpoint, a full id, 4 or more digits of one, or one of these
        with `~N` (N commits back by first parents). Raises InvalidRevision and RevisionNotFound.
        """
        back = _BACK.fullmatch(text) if isinstance(text, str) else None
        if back is not None:
            return self._back(self.resolve(back[1]), int(back[2] or 1))
        if not isinstance(text, str) or not text or not text.isprintable():
            raise InvalidRevision(
                f"{text!r} can't name a revision", hint="use a revision id, a checkpoint's name, head or head~3"
            )
        if text in ("head", "HEAD", "context"):
            return self.context.head()
        if text == "sessions":
            return self.sessions.head()
        target = self.checkpoint_commit(text)
        if target is not None:
            return target
        if _HEX.fullmatch(text):
            return self._by_id(text.lower())
        raise RevisionNotFound(
            f"{text!r} is neither a revision nor a checkpoint of this store",
            hint="`gitctx log` lists revisions, `gitctx checkpoint list` checkpoints",
            details={"revision": text},
        )

    def _by_id(self, prefix: str) -> Revision:
        """The revision of that id; for an original that a rotation made anew, the one that stands for it now."""
        found: str | None = None
        missing: RevisionNotFound | None = None
        try:
            found = self.repository.expand(prefix)
        except RevisionNotFound as error:
            missing = error
        head = self.context.head()
        if found is None or (self.was_rotated() and not self.repository.is_ancestor(found, head)):
            standing = self._originals.standing_for(prefix, head)
            if len(standing) == 1:
                return Revision(standing[0])
        if found is None:
            assert missing is not None
            raise missing
        return Revision(found)

    def was_rotated(self) -> bool:
        """Whether there ever was a rotation, as far as its refs tell."""
        return bool(self.repository.ref_names(BASES) or self.repository.ref_names(ROTATED))

    def checkpoint_commit(self, name: str) -> Revision | None:
        """The commit that a checkpoint's tag leads to; None if there is no such tag."""
        if name.startswith("/") or ".." in name:
            return None
        oid = self.repository.read_ref(f"refs/tags/{name}")
        if oid is None:
            return None
        tag = self.repository.read_tag(oid)
        return Revision(tag.target if tag is not None else oid)

    def _back(self, revision: Revision, steps: int) -> Revision:
        for step in range(steps):
            parents = self.repository.read_commit(revision).parents
            if not parents:
                raise RevisionNotFound(f"history goes back only {step} commits from there", hint="see `gitctx log`")
            revision = Revision(parents[0])
        return revision


def is_full_id(text: str) -> bool:
    """Whether a text is a whole revision id: 40 lower-case hex digits."""
    return len(text) == 40 and _HEX.fullmatch(text) is not None and text == text.lower()
