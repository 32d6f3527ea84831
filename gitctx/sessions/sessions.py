"""Starting, beating and ending sessions.

Each change of a session's life is one commit on the branch `sessions`; its record is `<id>.json` there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from gitctx.errors import CorruptStore, GitctxError, InvalidInput, InvalidName, SessionNotFound
from gitctx.format.documents import new_ulid
from gitctx.format.keys import check_actor, check_message, check_write_id
from gitctx.format.records import decode_session, encode_session, session_path
from gitctx.sessions.roster import Roster, session_not_found
from gitctx.sessions.session import BEAT_EVERY_S, Session
from gitctx.store.bases import forget_session
from gitctx.store.request import Planned, Request
from gitctx.values import SessionId, SessionRecord

if TYPE_CHECKING:
    from gitctx.sessions.process import ProcessFacts
    from gitctx.store import View

_UNRECORDED_LEASE_KEPT = timedelta(days=1)
_MAX_AGENT_CHARACTERS = 64


class Sessions(Roster):
    """The sessions of one store, seen from one machine. Safe in threads."""

    def start(
        self,
        *,
        actor: str,
        agent: str = "",
        pid: int | None = None,
        hold: bool = True,
        message: str = "",
        id: str | None = None,
        beat_every_s: float | None = BEAT_EVERY_S,
    ) -> Session:
        """Start a session, tied to the process `pid`: when that is gone, the session is dead.

        With `hold`, this process (the default for `pid`) holds the session until it ends it, and beats every
        `beat_every_s` seconds (None: not by itself). Without, the call only registers the session; then `pid` is by
        default the nearest ancestor that isn't a shell or a wrapper. `id` is the idempotency key of the write: the same
        id again gives the same session. Raises InvalidInput if there is no such process, InvalidName, SessionEnded, and
        what `Branch.write` raises.
        """
        from gitctx.store.edits import digest_of

        process = self._anchor(pid, hold=hold)
        record = self._new_record(check_actor(actor), _check_agent(agent), process)
        request = Request(
            op="session-start",
            subject=f"session-start {record.id}",
            actor=actor,
            plan=lambda view: Planned(changes={session_path(record.id): encode_session(record)}),
            message=check_message(message),
            session=record.id,
            id=check_write_id(id) if id is not None else None,
            digest=digest_of("session-start", [], actor=actor, agent=agent, pid=[process.pid, process.started_at]),
        )
        self._sweep()
        session = self._register(record, request, hold=hold)
        if hold and beat_every_s is not None:
            session.keep_beating(beat_every_s)
        return session

    def beat(self, id: str) -> None:
        """Note a sign of life of a session. Raises SessionNotFound, SessionEnded, SessionTaken.

        A lease that is gone, or that came with a copy of the store, is issued anew if the session's process runs here;
        else LeaseLost.
        """
        self._issuer.beat(self.require_active(id))

    def end(self, id: str, *, reason: str = "", graceful: bool = True) -> SessionRecord:
        """End a session, whoever holds it. Its record; one that has ended already stays as it is.

        Raises SessionNotFound, and what `Branch.write` raises.
        """
        record = self.record(id)
        reason = check_message(reason)

        def plan(view: View) -> Planned:
            data = view.value(session_path(id))
            if data is None:
                raise session_not_found(id)
            found = decode_session(data)
            if found.ended_at is not None:
                return Planned()
            now = self.store.config.clock()
            ended = replace(found, ended_at=now, end_reason=reason or None, graceful_shutdown=graceful)
            return Planned(changes={session_path(id): encode_session(ended)})

        if record.ended_at is None:
            self.store.sessions.write(
                Request(
                    op="session-end",
                    subject=f"session-end {id}",
                    actor=record.actor,
                    plan=plan,
                    message=reason,
                    session=id,
                )
            )
        self._forget(id)
        return self.record(id)

    def _register(self, record: SessionRecord, request: Request, *, hold: bool) -> Session:
        """Lease first, then the record: a session that is recorded always has a lease to be judged by.

        The lease stays if the record was perhaps written.
        """
        lock = self._issuer.issue(record, held=hold)
        try:
            found = SessionId(self.store.sessions.write(request).key.removesuffix(".json"))
        except BaseException as error:
            if lock is not None:
                os.close(lock)
            if isinstance(error, GitctxError) and error.changed == "no":
                self._issuer.leases.remove(record.id)
            raise
        if found == record.id:
            return Session(self, self._issuer, self.record(found), lock)
        if lock is not None:
            os.close(lock)
        self._issuer.leases.remove(record.id)
        earlier = self.require_active(found)
        return Session(self, self._issuer, earlier, self._issuer.issue(earlier, held=hold))

    def _new_record(self, actor: str, agent: str, process: ProcessFacts) -> SessionRecord:
        config, machine = self.store.config, self.machine
        now = config.clock()
        return SessionRecord(
            id=SessionId(new_ulid(now, config.rng)),
            actor=actor,
            agent=agent,
            host_id=machine.host_id(),
            hostname=machine.hostname(),
            boot_id=machine.boot_id(),
            pid_namespace=machine.pid_namespace(),
            pid=process.pid,
            process_started_at=process.started_at or "",
            started_at=now,
            start_revision=self.store.context.head(),
        )

    def _anchor(self, pid: int | None, *, hold: bool) -> ProcessFacts:
        machine = self.machine
        if pid is None and not hold:
            from gitctx.sessions.anchor import choose_anchor

            found = choose_anchor(machine.ancestors(machine.own_pid()))
            if found is None:
                raise InvalidInput(
                    "no process around this one can be taken for an agent, so there is nothing to tie the session to",
                    hint="say which one with --pid, or use `gitctx session run -- COMMAND`",
                )
            return found
        wanted = pid if pid is not None else machine.own_pid()
        process = machine.process(wanted)
        if process is None:
            raise InvalidInput(
                f"there is no process {wanted}",
                hint="give the number of the agent's process, which has to be running",
                details={"pid": wanted},
            )
        return process

    def _forget(self, id: str) -> None:
        self._issuer.leases.remove(id)
        forget_session(self.store.path, id)

    def _sweep(self) -> None:
        """Take away what sessions left that ended elsewhere, or that a killed start never recorded."""
        now = self.store.config.clock()
        for seen in self._issuer.leases.all():
            try:
                if self.record(seen.lease.session).ended_at is not None:
                    self._forget(seen.lease.session)
            except SessionNotFound:
                if not seen.locked and now - seen.beat_at > _UNRECORDED_LEASE_KEPT:
                    self._forget(seen.lease.session)
            except CorruptStore:
                continue


def _check_agent(agent: str) -> str:
    if len(agent) <= _MAX_AGENT_CHARACTERS and (not agent or agent.isprintable()):
        return agent
    raise InvalidName(
        f"the agent {agent[:80]!a} is refused: it has to be at most {_MAX_AGENT_CHARACTERS} printable characters",
        hint="use the name of the product, like claude or codex",
    )
