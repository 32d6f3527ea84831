"""What watchers are told, and the switch that silences them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gitctx.values.ids import ChangeKind, Etag, Revision, SessionId


@dataclass(frozen=True, slots=True)
class WatchedChange:
    """How an entry changed in a revision. `before` and `etag` are what it held before and after; None where absent.

    `actor` and `session` are those of the write that made it, also where a merge brought it; `revision` is always one
    from which a watch can go on. `last_of_revision`: no more changes of that revision follow, so whoever has seen this
    one goes on from there without a gap.
    """

    revision: Revision
    key: str
    kind: ChangeKind
    before: Etag | None
    etag: Etag | None
    actor: str
    session: SessionId | None
    last_of_revision: bool


@dataclass(frozen=True, slots=True)
class SyncPause:
    """That the watchers of a store are silenced: since when, by whom, why. What isn't known is None or ""."""

    paused_at: datetime | None
    actor: str
    session: SessionId | None
    message: str
