"""What a session leaves to whoever continues its work: told from history, when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitctx.format.keys import RESERVED
from gitctx.format.records import session_path
from gitctx.sessions.evidence_log import CLAIM, evidence_in
from gitctx.sessions.ground import Ground
from gitctx.sessions.recoveries import claims_by_session
from gitctx.values import Handover, LeftEntry

if TYPE_CHECKING:
    from gitctx.store import Store
    from gitctx.values import Etag, Evidence, Revision, SessionRecord, SessionStatus, Write

_MOST_ENTRIES = 200


def handover_of(store: Store, status: SessionStatus, *, most_writes: int) -> Handover:
    """The handover of a session. Costs a look at each write since its last checkpoint (or its start)."""
    record = status.record
    since = _begin(store, record)
    writes = list(_writes(store, record, since))
    evidence, freed = _recorded(store, record)
    still = claims_by_session(store.context.view(), store.config.clock()).get(record.id, ())
    return Handover(
        status=status,
        evidence=evidence or status.evidence,
        since=since,
        writes=tuple(writes[:most_writes]),
        writes_total=len(writes),
        entries=tuple(_entries(store, writes)),
        claims=tuple(still),
        claims_freed=freed,
    )


def _begin(store: Store, record: SessionRecord) -> Revision:
    mark = Ground(store).last_checkpoint(record)
    return mark.revision if mark is not None else record.start_revision


def _writes(store: Store, record: SessionRecord, since: Revision) -> Sequence[Write]:
    """The session's own writes after a revision, newest first; if that was rotated away, all since its start."""
    head = store.context.head()
    if store.repository.is_ancestor(since, head):
        return list(store.history.writes(head, session=record.id, hide=(since,)))
    return list(store.history.writes(head, session=record.id, since=record.started_at.replace(microsecond=0)))


def _entries(store: Store, writes: Sequence[Write]) -> Sequence[LeftEntry]:
    """What each entry was after the session's last write of it, and whether that still stands; sorted by key."""
    left: dict[str, Etag | None] = {}
    for write in writes:
        for key in write.keys:
            if key not in left and not key.startswith(f"{RESERVED}/") and len(left) < _MOST_ENTRIES:
                left[key] = store.context.view(write.revision).etag(key)
    now = store.context.view()
    return [LeftEntry(key, etag, now.etag(key) != etag) for key, etag in sorted(left.items())]


def _recorded(store: Store, record: SessionRecord) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """The evidence and the freed claims that its recovery's commit tells; nothing if it wasn't recovered."""
    if record.recovered_by is None:
        return (), ()
    for write in store.history.writes(store.sessions.head(), key=session_path(record.id)):
        commit = store.repository.read_commit(write.revision)
        evidence = evidence_in(commit.trailers, commit.author.at)
        if evidence:
            return evidence, commit.trailers.get(CLAIM, ())
    return (), ()
