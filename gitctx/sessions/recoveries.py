"""Recovering sessions: those found dead are closed with the evidence, and what they leave is handed over.

Each is one commit on the branch `sessions`, decided on the record as it stands at the head that the commit is built on:
of any number of recoverers exactly one closes it. See docs/technical/sessions.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from gitctx import failpoints
from gitctx.errors import CorruptStore, GitctxError, InvalidInput, SessionNotDead, SessionNotFound
from gitctx.format.keys import CLAIMS_PREFIX
from gitctx.format.records import decode_claim, decode_session, encode_session, session_path
from gitctx.sessions.evidence_log import one_line, trailers_of
from gitctx.sessions.ground import Ground
from gitctx.sessions.heard import HeardBeats
from gitctx.sessions.liveness import judge, silent_for_s, state_of
from gitctx.sessions.roster import BY_ACTOR
from gitctx.store.request import Planned, Request
from gitctx.values import RecoveredSession, Recovery, SessionId, SessionStatus

if TYPE_CHECKING:
    from gitctx.sessions.issuing import Issuer
    from gitctx.sessions.roster import Roster
    from gitctx.store import View
    from gitctx.values import SessionRecord, Written

_UNRECORDED_LEASE_KEPT = timedelta(days=1)
AT_ONCE = 63
"""With the recoverer's own note they are what one compare-and-swap publishes at most."""


class Recoverer(NamedTuple):
    """Who recovers: an actor, perhaps in a session, which is then noted as the one that goes on."""

    actor: str
    session: SessionId | None
    message: str = ""

    @property
    def name(self) -> str:
        """As the record of a recovered session names it."""
        return self.session if self.session is not None else f"{BY_ACTOR}{self.actor}"


class _Found(NamedTuple):
    """What one look at the sessions found."""

    open: list[SessionRecord]
    ended: list[SessionRecord]
    unreadable: list[str]
    unrecorded: list[str]


class Recoveries:
    """Recoveries of the sessions of one store, as seen from one machine."""

    def __init__(self, roster: Roster, issuer: Issuer) -> None:
        self._roster = roster
        self._issuer = issuer
        self._store = roster.store

    def all(self, by: Recoverer, *, silent: bool = False) -> Recovery:
        """Recover all that are dead, and with `silent` those too of which nothing is proved; without it those that
        have been silent for longer than the store's settings let them.

        Only sessions that have a lease here can be proved dead, and only of those, and of sessions that were heard of,
        it is known when they last beat: so without `silent` no others are looked at. Raises nothing because of one
        session: what couldn't be done is told.
        """
        limit_s = 0.0 if silent else self._silence_limit_s()
        names = set(self._issuer.leases.ids())
        if limit_s < math.inf:
            names.update(HeardBeats(self._issuer.folder).ids())
        if silent:
            names.update(self._roster.open_ids())
        found = self._look_at(names)
        here = self._issuer.surroundings()
        clock = self._store.config.clock
        dead: list[SessionRecord] = []
        overdue: list[SessionRecord] = []
        for record in found.open:
            facts = here.facts_of(record)
            state = state_of(record, facts, clock())
            if record.id == by.session or state not in ("dead", "silent"):
                continue
            if state == "dead":
                dead.append(record)
            elif silent or silent_for_s(facts, clock()) > limit_s:
                overdue.append(record)
        judged = self._judged(dead, ("dead",)) + self._judged(overdue, ("dead", "silent"))
        recovery, error = self._close(judged, by, found.ended)
        closed = (*(record.id for record in found.ended), *(each.record.id for each in recovery.recovered))
        self._clean_up((*closed, *(id for id in found.unrecorded if self._is_left_over(id))))
        return replace(recovery, unreadable=tuple(sorted(found.unreadable)), problem=str(error or ""))

    def one(self, id: str, by: Recoverer, *, silent: bool = False) -> Recovery:
        """Recover one session; nothing if it has ended. Raises SessionNotDead (with `silent` only if it lives),
        SessionNotFound, CorruptStore, InvalidInput, and what `Branch.write` raises.
        """
        if id == by.session:
            raise InvalidInput("a session can't recover itself", hint="`gitctx session end` ends it")
        record = self._roster.record(id)
        wanted = ("dead", "silent") if silent else ("dead",)
        recovery = Recovery()
        if record.ended_at is None:
            judged = self._judged([record], ("alive", "silent", "dead"))
            if judged[0].state not in wanted:
                raise _not_dead(judged[0])
            recovery, error = self._close(judged, by, self._look_at(self._issuer.leases.ids()).ended)
            if error is not None:
                raise error
        self._clean_up([record.id])
        return recovery

    # -- looking ------------------------------------------------------------------------------------------------------

    def _silence_limit_s(self) -> float:
        """After how many seconds without a beat a silent session is taken over; without end if nobody set it."""
        try:
            limit_s = self._store.context.view().settings().take_over_silent_after_s
        except GitctxError:
            limit_s = None
        return limit_s if limit_s is not None else math.inf

    def _look_at(self, ids: Iterable[str]) -> _Found:
        found = _Found([], [], [], [])
        for id in ids:
            try:
                record = self._roster.record(id)
            except SessionNotFound:
                found.unrecorded.append(id)
                continue
            except GitctxError:
                found.unreadable.append(id)
                continue
            (found.open if record.ended_at is None else found.ended).append(record)
        found.open.sort(key=lambda record: (record.started_at, record.id))
        return found

    def _judged(self, records: Sequence[SessionRecord], wanted: Sequence[str]) -> list[SessionStatus]:
        """The verdicts by all layers on those that are still as wanted."""
        if not records:
            return []
        ground = Ground(self._store)
        here = self._issuer.surroundings(ground)
        judged = []
        for record in records:
            state, evidence = judge(record, here.facts_of(record), self._store.config.clock())
            mark = ground.last_checkpoint(record)
            if state in wanted:
                judged.append(SessionStatus(record, state, None, evidence, mark.name if mark is not None else None))
        return judged

    # -- closing ------------------------------------------------------------------------------------------------------

    def _close(
        self, judged: Sequence[SessionStatus], by: Recoverer, ended: Sequence[SessionRecord]
    ) -> tuple[Recovery, GitctxError | None]:
        """Close those that were judged. Whom we got, and the first error that kept us from getting somebody."""
        if not judged:
            return Recovery(), None
        failpoints.hit("session.after_judge")
        claims = self._claims()
        unnoted: dict[str, list[SessionId]] = {}
        for record in ended:
            if record.recovered_by is not None:
                unnoted.setdefault(record.recovered_by, []).append(record.id)
        outcomes: list[Written | GitctxError] = []
        left: dict[str, SessionRecord] = {}
        for start in range(0, len(judged), AT_ONCE):
            part = judged[start : start + AT_ONCE]
            requests = [
                self._closing(each, by, claims.get(each.record.id, ()), unnoted.get(each.record.id, ()), left)
                for each in part
            ]
            if by.session is not None:
                requests.append(self._note(by, by.session, [each.record.id for each in part]))
            outcomes += self._store.sessions.write_all(requests)[: len(part)]
            failpoints.hit("session.after_closing")
            if any(isinstance(each, GitctxError) for each in outcomes):
                break  # what keeps one from being written (no room, a held lock) may cost each of thousands its time
        error = next((each for each in outcomes if isinstance(each, GitctxError)), None)
        recovered = [
            RecoveredSession(
                left.get(each.record.id) or self._roster.record(each.record.id),
                each.state,
                each.evidence,
                claims.get(each.record.id, ()),
            )
            for each, outcome in zip(judged, outcomes, strict=False)
            if not isinstance(outcome, GitctxError) and outcome.changed
        ]
        return Recovery(tuple(recovered)), error

    def _claims(self) -> Mapping[str, tuple[str, ...]]:
        """The claims that sessions hold; none are told where the context can't be read: that is another trouble."""
        try:
            return claims_by_session(self._store.context.view(), self._store.config.clock())
        except GitctxError:
            return {}

    def _closing(
        self,
        status: SessionStatus,
        by: Recoverer,
        claims: Sequence[str],
        unnoted: Sequence[SessionId],
        left: dict[str, SessionRecord],
    ) -> Request:
        """Close one session as it was judged, unless somebody has closed it, or it belongs to another process by now.

        `unnoted` are sessions that it had recovered itself, and was killed before it could say so. The record as it is
        left goes into `left`.
        """
        judged = status.record

        def plan(view: View) -> Planned:
            record = _record_in(view, judged.id)
            if record is None or record.ended_at is not None or _process_of(record) != _process_of(judged):
                return Planned()
            closed = _closed(record, status, by.name, self._store.config.clock())
            left[judged.id] = replace(closed, recovered=tuple(dict.fromkeys((*closed.recovered, *unnoted))))
            return Planned(changes={session_path(judged.id): encode_session(left[judged.id])})

        said = f"The session of {judged.actor} is {status.state}: {one_line(_why(status))}"
        return Request(
            op="session-recover",
            subject=f"session-recover {judged.id}",
            actor=by.actor,
            plan=plan,
            message=f"{said}\n\n{by.message}" if by.message else said,
            session=by.session,
            trailers=trailers_of(status, claims),
        )

    def _note(self, by: Recoverer, own: SessionId, ids: Sequence[SessionId]) -> Request:
        """Have the recoverer's record name those of `ids` that it got."""

        def plan(view: View) -> Planned:
            record = _record_in(view, own)
            closed = [(id, _record_in(view, id)) for id in ids]
            got = [id for id, each in closed if each is not None and each.recovered_by == own]
            if record is None or not got:
                return Planned()
            noted = replace(record, recovered=tuple(dict.fromkeys((*record.recovered, *got))))
            return Planned(changes={session_path(own): encode_session(noted)})

        subject = f"session-recovered by {own}"
        return Request(op="session-recovered", subject=subject, actor=by.actor, plan=plan, session=own)

    def _is_left_over(self, id: str) -> bool:
        """Whether a lease is one that a killed start never recorded: a start that is under way has one, too."""
        seen = self._issuer.leases.read(id)
        now = self._store.config.clock()
        return seen is not None and not seen.locked and now - seen.beat_at > _UNRECORDED_LEASE_KEPT

    def _clean_up(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._issuer.forget(id)
            failpoints.hit("session.between_forgets")


def claims_by_session(view: View, now: datetime) -> Mapping[str, tuple[str, ...]]:
    """The names of the claims that sessions hold at a view. Those that can't be read, or ran out, are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for key, etag in view.etags(CLAIMS_PREFIX):
        try:
            claim = decode_claim(key.removeprefix(CLAIMS_PREFIX), view.blob(etag))
        except CorruptStore:
            continue
        if claim.session is not None and claim.expires_at > now:
            found[claim.session] = (*found.get(claim.session, ()), claim.name)
    return found


def _record_in(view: View, id: str) -> SessionRecord | None:
    data = view.value(session_path(id))
    try:
        return decode_session(data) if data is not None else None
    except CorruptStore:
        return None


def _closed(record: SessionRecord, status: SessionStatus, by: str, now: datetime) -> SessionRecord:
    """A record with the verdict in it."""
    what = "found dead" if status.state == "dead" else "taken over while silent"
    return replace(
        record,
        ended_at=now,
        end_reason=f"{what}: {one_line(_why(status))}",
        graceful_shutdown=False,
        last_checkpoint=status.last_checkpoint or record.last_checkpoint,
        recovered_by=by,
    )


def _process_of(record: SessionRecord) -> tuple[object, ...]:
    return record.host_id, record.boot_id, record.pid_namespace, record.pid, record.process_started_at


def _why(status: SessionStatus) -> str:
    return next((each.text for each in status.evidence if each.layer == "process"), "")


def _not_dead(status: SessionStatus) -> SessionNotDead:
    id = status.record.id
    hint = f"`gitctx session end {id}` ends it"
    if status.state == "silent":
        hint = f"if you know that it is gone, `gitctx session recover {id} --silent` takes it over"
    return SessionNotDead(
        f"the session {id} of {status.record.actor} is {status.state}, not dead: {_why(status)}",
        hint=hint,
        details={
            "session": id,
            "state": status.state,
            "evidence": [{"layer": each.layer, "finding": each.finding, "text": each.text} for each in status.evidence],
        },
    )
