"""Starting, beating and ending sessions.

Each change of a session's life is one commit on the branch `sessions`; its record is `<id>.json` there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from gitctx import failpoints
from gitctx.config import RetryPolicy
from gitctx.errors import GitctxError, InvalidInput, InvalidName
from gitctx.format.documents import new_ulid
from gitctx.format.keys import check_actor, check_message, check_write_id
from gitctx.format.records import decode_session, encode_session, session_path
from gitctx.sessions import ends
from gitctx.sessions.roster import Roster, session_not_found
from gitctx.sessions.session import BEAT_EVERY_S, Session
from gitctx.store.request import Planned, Request
from gitctx.values import Recovery, SessionId, SessionRecord

if TYPE_CHECKING:
    from gitctx.sessions.process import ProcessFacts
    from gitctx.store import View
    from gitctx.values import Handover, Revision, Written

_MAX_AGENT_CHARACTERS = 64
_APART_PATIENCE_S = 0.25
_APART_RETRY = RetryPolicy(deadline_s=3.0)


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
        on_signals: bool = True,
        recover: bool = True,
    ) -> Session:
        """Start a session, tied to the process `pid`: when that is gone, the session is dead.

        With `hold`, this process (the default for `pid`) holds the session until it ends it, and beats every
        `beat_every_s` seconds (None: not by itself). It is ended at the program's exit at the latest, and with
        `on_signals` when SIGTERM, SIGHUP or SIGINT would end the program unhandled. Without `hold`, the call only
        registers the session; then `pid` is by default the nearest ancestor that isn't a shell or a wrapper.

        With `recover`, sessions that are found dead are recovered by this one; its `recovery` says which. That failing
        keeps no session from starting. `id` is the idempotency key of the write: the same id again gives the same
        session. Raises InvalidInput if there is no such process, InvalidName, SessionEnded, and what `Branch.write`
        raises.
        """
        process = self._anchor(pid, hold=hold)
        record = self._new_record(check_actor(actor), _check_agent(agent), process)
        request = self._start_request(record, process, message=message, id=id)
        session = self._register(record, request, hold=hold)
        if hold:
            ends.expect(session, on_signals=on_signals)
        failpoints.hit("session.after_register")
        if recover:
            session.recovery = self._recover_for(session)
        if hold and beat_every_s is not None:
            session.keep_beating(beat_every_s)
        return session

    def _start_request(self, record: SessionRecord, process: ProcessFacts, *, message: str, id: str | None) -> Request:
        from gitctx.store.edits import digest_of

        started = [process.pid, process.started_at]
        return Request(
            op="session-start",
            subject=f"session-start {record.id}",
            actor=record.actor,
            plan=lambda view: Planned(changes={session_path(record.id): encode_session(record)}),
            message=check_message(message),
            session=record.id,
            id=check_write_id(id) if id is not None else None,
            digest=digest_of("session-start", [], actor=record.actor, agent=record.agent, pid=started),
        )

    def recover(
        self, id: str | None = None, *, actor: str, session: str | None = None, silent: bool = False, message: str = ""
    ) -> Recovery:
        """Recover one session, or all that are dead: close them with the evidence. With `silent` also a session of
        which nothing is proved; if it lives after all, its next write raises SessionTaken.

        `session` is the one that goes on, if there is one; it is noted in the records. Of several who recover one
        session exactly one closes it: only there it is among the result's `recovered`. Raises (only with `id`)
        SessionNotFound, CorruptStore, SessionNotDead; InvalidName, SessionEnded (of `session`), and what
        `Branch.write` raises.
        """
        from gitctx.sessions.recoveries import Recoverer, Recoveries

        own = self.require_active(session).id if session is not None else None
        by = Recoverer(check_actor(actor), own, check_message(message))
        recoveries = Recoveries(self, self._issuer)
        return recoveries.one(id, by, silent=silent) if id is not None else recoveries.all(by, silent=silent)

    def handover(self, id: str, *, most_writes: int = 20) -> Handover:
        """What a session leaves to whoever continues: its writes since its last checkpoint, and more.

        Raises SessionNotFound, CorruptStore, ObjectMissing.
        """
        from gitctx.sessions.handover import handover_of

        return handover_of(self.store, self.get(id), most_writes=most_writes)

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
        self._issuer.forget(id)
        return self.record(id)

    def tell_beats(self, *, actor: str) -> Written | None:
        """Note in the records when sessions that live here last beat, for hosts that see nothing but records. At most
        every 15 minutes for a session, and all in one write; None if there was nothing to tell. Raises what
        `Branch.write` raises.
        """
        from gitctx.sessions.telling import tell_beats

        return tell_beats(self, self._issuer, actor)

    def note_heard(self, before: Revision, after: Revision) -> None:
        """Note that records between two revisions of the branch came in from elsewhere now. Raises StorageError."""
        from gitctx.sessions.telling import note_heard

        note_heard(self, before, after)

    def apart(self) -> Sessions:
        """The same sessions through handles of their own, which wait for nobody who stands still."""
        from gitctx.store import Store

        config = replace(self.store.config, group_commit=False, queue_patience_s=_APART_PATIENCE_S, retry=_APART_RETRY)
        return Sessions(Store.open(self.store.path, config), self.machine)

    def _register(self, record: SessionRecord, request: Request, *, hold: bool) -> Session:
        """Lease first, then the record: a session that is recorded always has a lease to be judged by.

        The lease stays if the record was perhaps written.
        """
        lock = self._issuer.issue(record, held=hold)
        failpoints.hit("session.after_lease")
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

    def _recover_for(self, session: Session) -> Recovery:
        """What goes wrong is told and keeps nothing from going on."""
        try:
            return self.recover(actor=session.record.actor, session=session.id)
        except (GitctxError, OSError) as error:
            return Recovery(problem=str(error))


def _check_agent(agent: str) -> str:
    if len(agent) <= _MAX_AGENT_CHARACTERS and (not agent or agent.isprintable()):
        return agent
    raise InvalidName(
        f"the agent {agent[:80]!a} is refused: it has to be at most {_MAX_AGENT_CHARACTERS} printable characters",
        hint="use the name of the product, like claude or codex",
    )
