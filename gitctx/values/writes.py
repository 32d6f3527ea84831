"""Writes: their acknowledgement, what history tells of them, and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gitctx.values.entries import EntryEtag
from gitctx.values.ids import Etag, Revision, SessionId, WriteId


@dataclass(frozen=True, slots=True)
class Written:
    """The acknowledgement of a write.

    `revision` is the commit that made the change (for `changed=False`, the head at which nothing needed changing),
    `head` the branch head when it was acknowledged, `retries` how many compare-and-swaps were lost before it went
    through, `superseded` the etags that lost a conflict to this write.
    """

    revision: Revision
    head: Revision
    id: WriteId
    changed: bool
    retries: int = 0
    superseded: tuple[Etag, ...] = ()
    entries: tuple[EntryEtag, ...] = ()

    @property
    def etag(self) -> Etag | None:
        """The etag of a write to one key; None if that key was removed. Raises ValueError for a write to several."""
        if len(self.entries) != 1:
            raise ValueError(f"a write of {len(self.entries)} entries has no single etag: see `entries`")
        return self.entries[0].etag

    @property
    def key(self) -> str:
        """The key of a write to one key. Raises ValueError for a write to several."""
        if len(self.entries) != 1:
            raise ValueError(f"a write of {len(self.entries)} entries has no single key: see `entries`")
        return self.entries[0].key


@dataclass(frozen=True, slots=True)
class Write:
    """One write as history tells it.

    `op` is None for a commit that gitctx didn't make; `keys` are sorted; `session` and `id` may be None likewise.
    """

    revision: Revision
    op: str | None
    keys: tuple[str, ...]
    actor: str
    session: SessionId | None
    id: WriteId | None
    message: str
    written_at: datetime
    parents: tuple[Revision, ...] = ()
    retries: int = 0
    superseded: tuple[Etag, ...] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A named content. `revision` is where it was taken, `commit` the parentless commit that the tag points at."""

    name: str
    revision: Revision
    commit: Revision
    created_at: datetime
    message: str
    actor: str
    session: SessionId | None
