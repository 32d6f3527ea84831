"""Sessions with the evidence on them, and claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from gitctx.values.ids import Etag, Revision, SessionId, SessionState

if TYPE_CHECKING:
    from gitctx.values.writes import Write


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one layer found: `layer` (lease, process, heartbeat, ...), `finding` (alive, dead, unknown, ...), a
    sentence, when.
    """

    layer: str
    finding: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as the `sessions` branch records it. `extra` keeps the fields that this version doesn't know."""

    id: SessionId
    actor: str
    agent: str
    host_id: str
    hostname: str
    boot_id: str
    pid_namespace: str
    pid: int
    process_started_at: str
    """Opaque to other hosts: on Linux `<ticks since boot>`, elsewhere seconds since the epoch."""
    started_at: datetime
    start_revision: Revision
    ended_at: datetime | None = None
    end_reason: str | None = None
    graceful_shutdown: bool | None = None
    last_checkpoint: str | None = None
    recovered_by: str | None = None
    """The session that closed it when it was found dead; `actor:<name>` if that was done outside any session."""
    recovered: tuple[SessionId, ...] = ()
    last_beat_at: datetime | None = None
    """Its last heartbeat that other hosts were told of, on its own clock; None as long as that was its start."""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session with the verdict on it: state, last sign of life (None if it never beat here), evidence by layer.

    `last_checkpoint` is the one it made last, as far as it is still there.
    """

    record: SessionRecord
    state: SessionState
    last_beat_at: datetime | None
    evidence: tuple[Evidence, ...]
    last_checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class RecoveredSession:
    """A session that was closed because it was found dead, or taken over while it was silent (`state`).

    `record` is as it was left, `evidence` why, `claims` are the names of those that became free by it.
    """

    record: SessionRecord
    state: SessionState
    evidence: tuple[Evidence, ...]
    claims: tuple[str, ...]

    @property
    def why(self) -> str:
        """The layer that decided, in a sentence."""
        return next((each.text for each in self.evidence if each.layer == "process"), "")


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one look for dead sessions came to.

    `unreadable` are sessions whose records can't be read; `problem` says why something wasn't done, "" if all was.
    """

    recovered: tuple[RecoveredSession, ...] = ()
    unreadable: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LeftEntry:
    """An entry that a session wrote: the etag it left (None: it removed it), whether somebody changed it since."""

    key: str
    etag: Etag | None
    changed_since: bool


@dataclass(frozen=True, slots=True)
class Handover:
    """What a session leaves to whoever continues its work.

    `since` is where its last checkpoint was taken, else where it started; `writes` are its own since then, newest
    first, as many as were asked for of `writes_total`; `entries` those that these touched; `claims` the ones that are
    still in its name, and `claims_freed` those that its recovery freed. `evidence` is what its recovery found; if it
    wasn't recovered, what is found now.
    """

    status: SessionStatus
    evidence: tuple[Evidence, ...]
    since: Revision
    writes: tuple[Write, ...]
    writes_total: int
    entries: tuple[LeftEntry, ...]
    claims: tuple[str, ...]
    claims_freed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """An exclusive, expiring hold on a piece of work. `session` is None when it was claimed outside any session."""

    name: str
    id: str
    session: SessionId | None
    actor: str
    message: str
    claimed_at: datetime
    expires_at: datetime
    holder_state: SessionState | Literal["expired", "none"] = "none"
    """The state of the holding session; "expired" when the time is up; "none" for a claim without session."""
