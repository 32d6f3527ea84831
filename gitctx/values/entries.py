"""Entries, listings of them, and how they differ."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gitctx.values.ids import ChangeKind, Etag, Json, Revision


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its bytes, as they were at `revision` (the head that was read)."""

    key: str
    value: bytes
    etag: Etag
    git_path: str
    """Where plain git finds it: `git show <revision>:<git_path>`; differs from the key in folders of over 256
    children.
    """
    revision: Revision

    def text(self) -> str:
        """The value as UTF-8 text. Raises UnicodeDecodeError (a ValueError) if it isn't."""
        return self.value.decode("utf-8")

    def json(self) -> Json:
        """The value parsed as JSON. Raises json.JSONDecodeError (a ValueError) if it isn't."""
        return json.loads(self.value)


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """One line of a listing; `size` is in bytes."""

    key: str
    etag: Etag
    size: int


@dataclass(frozen=True, slots=True)
class EntryEtag:
    """What a write left at a key; `etag` is None where the key was removed."""

    key: str
    etag: Etag | None


@dataclass(frozen=True, slots=True)
class Change:
    """How a key differs between two revisions; an absent side is None."""

    key: str
    kind: ChangeKind
    before: Etag | None
    after: Etag | None
