"""Telling other hosts which sessions live here, and hearing of theirs: through the records, when they are exchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gitctx.errors import CorruptStore, ObjectMissing, SessionNotFound
from gitctx.format.records import decode_session, encode_session, session_path
from gitctx.repository.translate import translated
from gitctx.sessions.heard import HeardBeats
from gitctx.sessions.liveness import state_of
from gitctx.store.request import Planned, Request

if TYPE_CHECKING:
    from gitctx.sessions.issuing import Issuer
    from gitctx.sessions.roster import Roster
    from gitctx.store import View
    from gitctx.values import Revision, SessionId, SessionRecord, Written

REFRESH_AFTER = timedelta(minutes=15)
"""A record is written anew for a heartbeat no oftener than this."""


def tell_beats(roster: Roster, issuer: Issuer, actor: str) -> Written | None:
    """Note in the records of sessions that live here when they last beat, where the records are `REFRESH_AFTER` behind:
    one write for all; None if none was needed. Raises what `Branch.write` raises.
    """
    beats = _beats_to_tell(roster, issuer)
    if not beats:
        return None

    def plan(view: View) -> Planned:
        changes: dict[str, bytes | None] = {}
        for id, beat_at in beats.items():
            data = view.value(session_path(id))
            record = decode_session(data) if data is not None else None
            if record is not None and record.ended_at is None:
                changes[session_path(id)] = encode_session(replace(record, last_beat_at=beat_at))
        return Planned(changes=changes)

    count = f"{len(beats)} sessions" if len(beats) > 1 else next(iter(beats))
    return roster.store.sessions.write(
        Request(op="session-beat", subject=f"session-beat {count}", actor=actor, plan=plan)
    )


def _beats_to_tell(roster: Roster, issuer: Issuer) -> dict[SessionId, datetime]:
    here, now = issuer.surroundings(), roster.store.config.clock()
    found: dict[SessionId, datetime] = {}
    for seen in issuer.leases.all():
        try:
            record = roster.record(seen.lease.session)
        except (SessionNotFound, CorruptStore, ObjectMissing):
            continue
        behind = seen.beat_at - (record.last_beat_at or record.started_at) >= REFRESH_AFTER
        if behind and state_of(record, here.facts_of(record, ground_too=False), now) == "alive":
            found[record.id] = seen.beat_at
    return found


def note_heard(roster: Roster, before: Revision, after: Revision) -> None:
    """Note that what the records say since `before` came in now, for sessions that run elsewhere."""
    view = roster.store.sessions.view(after)
    own = roster.machine.host_id()
    came: list[SessionRecord] = []
    for change in roster.store.sessions.view(before).changes_to(view):
        if change.after is None:
            continue
        try:
            record = decode_session(view.blob(change.after))
        except (CorruptStore, ObjectMissing):
            continue
        if record.host_id != own and change.key == session_path(record.id):
            came.append(record)
    with translated(roster.store.path):
        HeardBeats(roster.store.path / "gitctx").note(came, roster.store.config.clock())
