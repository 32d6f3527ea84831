"""Looking at the sessions of a store: what is recorded of them, and which of them live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gitctx.errors import CorruptStore, ObjectMissing, SessionEnded, SessionNotFound, SessionTaken
from gitctx.format.documents import format_time
from gitctx.format.records import decode_session, session_path
from gitctx.sessions.issuing import Issuer
from gitctx.sessions.leases import is_file_name
from gitctx.sessions.liveness import judge, state_of
from gitctx.values import SessionId, SessionStatus

if TYPE_CHECKING:
    from datetime import datetime

    from gitctx.sessions.companions import Companions
    from gitctx.sessions.facts import Surroundings
    from gitctx.sessions.ground import Ground
    from gitctx.sessions.machine import Machine
    from gitctx.store import Store
    from gitctx.values import Revision, SessionRecord, SessionState


BY_ACTOR = "actor:"
"""How `recovered_by` begins where somebody recovered a session outside any session of their own."""


class Roster:
    """The sessions of one store, seen from one machine."""

    def __init__(self, store: Store, machine: Machine) -> None:
        self.store = store
        self.machine = machine
        self._issuer = Issuer(store.path, machine, store.config)
        self.companions: Companions | None = None
        """What sessions that are started here get from above."""
        self._known: tuple[Revision | None, dict[str, SessionRecord]] = (None, {})

    def record(self, id: str) -> SessionRecord:
        """What is recorded of a session. Costs one look at the branch while that doesn't move.

        Raises SessionNotFound, CorruptStore.
        """
        head = self.store.sessions.head()
        known_head, records = self._known
        if known_head != head:
            records = {}
            self._known = (head, records)
        found = records.get(id)
        if found is None:
            data = self.store.sessions.view(head).value(session_path(id)) if is_file_name(id) else None
            if data is None:
                raise session_not_found(id)
            found = records[id] = decode_session(data)
        return found

    def get(self, id: str) -> SessionStatus:
        """A session with the verdict on it and the evidence. Raises SessionNotFound."""
        return self._scan().status(self.record(id))

    def list(self, *, include_ended: bool = True) -> Sequence[SessionStatus]:
        """All sessions, newest first. Records that can't be read are left out (`verify` names them).

        What an ended session built on isn't looked at; `get` does that.
        """
        scan = self._scan()
        records = [record for record in self._records() if include_ended or record.ended_at is None]
        records.sort(key=lambda record: (record.started_at, record.id), reverse=True)
        return [scan.status(record, ground_too=record.ended_at is None) for record in records]

    def open_ids(self) -> Sequence[SessionId]:
        """The sessions that haven't ended, wherever they run."""
        return [record.id for record in self._records() if record.ended_at is None]

    def state(self, id: str) -> SessionState:
        """Whether a session is alive, silent, dead or ended. Raises SessionNotFound."""
        record = self.record(id)
        if record.ended_at is not None:
            return "ended"
        return state_of(record, self._issuer.surroundings().facts_of(record), self.store.config.clock())

    def require_active(self, id: str) -> SessionRecord:
        """The record of a session that may go on writing. Raises SessionNotFound, SessionEnded, SessionTaken."""
        record = self.record(id)
        if record.recovered_by is not None:
            raise SessionTaken(
                f"the session {id} was taken over by {taker(record.recovered_by)}",
                hint="what it wrote is kept; to go on, start a new session with `gitctx session start`",
                details={"session": id, "recovered_by": record.recovered_by},
            )
        if record.ended_at is not None:
            at = format_time(record.ended_at)
            reason = f" ({record.end_reason})" if record.end_reason else ""
            raise SessionEnded(
                f"the session {id} ended at {at}{reason}",
                hint="start a new session with `gitctx session start`",
                details={"session": id, "ended_at": at},
            )
        return record

    def anchored(self) -> SessionId | None:
        """The session tied to this process or to the nearest of its ancestors; None if there is none.

        Costs one look at a folder where no session has a lease.
        """
        if not self._issuer.leases.ids():
            return None
        by_process = self._leased_here()
        if not by_process:
            return None
        own = self.machine.own_pid()
        this = self.machine.process(own)
        for process in (*((this,) if this is not None else ()), *self.machine.ancestors(own)):
            for id in sorted(by_process.get((process.pid, process.started_at or ""), ()), reverse=True):
                if self._is_active(id):
                    return id
        return None

    def _leased_here(self) -> Mapping[tuple[int, str], Sequence[SessionId]]:
        """The sessions with a lease that counts here, by number and start of their process."""
        here = self._issuer.surroundings()
        place = (here.host_id, here.boot_id, here.pid_namespace, here.instance)
        found: dict[tuple[int, str], list[SessionId]] = {}
        for seen in self._issuer.leases.all():
            lease = seen.lease
            if (lease.host_id, lease.boot_id, lease.pid_namespace, lease.instance) == place:
                found.setdefault((lease.pid, lease.process_started_at), []).append(lease.session)
        return found

    def _is_active(self, id: str) -> bool:
        try:
            self.require_active(id)
        except (SessionNotFound, SessionEnded, SessionTaken, CorruptStore, ObjectMissing):
            return False
        return True

    def _records(self) -> Iterator[SessionRecord]:
        for key, etag in (view := self.store.sessions.view()).etags():
            try:
                record = decode_session(view.blob(etag))
            except (CorruptStore, ObjectMissing):
                continue
            if key == session_path(record.id):
                yield record

    def _scan(self) -> Scan:
        from gitctx.sessions.ground import Ground

        ground = Ground(self.store)
        return Scan(self._issuer.surroundings(ground), ground, self.store.config.clock)


class Scan:
    """One look at many sessions, through all layers of evidence."""

    def __init__(self, here: Surroundings, ground: Ground, clock: Callable[[], datetime]) -> None:
        self._here = here
        self._clock = clock
        self.ground = ground

    def status(self, record: SessionRecord, *, ground_too: bool = True) -> SessionStatus:
        """The verdict on a session."""
        facts = self._here.facts_of(record, ground_too=ground_too)
        state, evidence = judge(record, facts, self._clock())
        ours = facts.lease is not None and facts.lease.lease.instance == self._here.instance
        beat_at = facts.lease.beat_at if facts.lease is not None and ours else record.last_beat_at
        mark = self.ground.last_checkpoint(record)
        return SessionStatus(record, state, beat_at, evidence, mark.name if mark is not None else None)


def taker(recovered_by: str) -> str:
    """Who recovered a session, in words."""
    actor = recovered_by.removeprefix(BY_ACTOR)
    return f"the session {actor}" if actor == recovered_by else f"{actor} (outside any session)"


def session_not_found(id: str) -> SessionNotFound:
    """The error for a session that the store doesn't know."""
    return SessionNotFound(
        f"there is no session {id[:80]!a} in this store",
        hint="`gitctx session list` shows those there are; ids are given in full",
        details={"session": id},
    )
