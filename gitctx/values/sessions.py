"""Sessions with the evidence on them, and claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from gitctx.values.ids import Revision, SessionId, SessionState


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
    recovered_by: SessionId | None = None
    recovered: tuple[SessionId, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session with the verdict on it: state, last sign of life (None if it never beat here), evidence by layer."""

    record: SessionRecord
    state: SessionState
    last_beat_at: datetime | None
    evidence: tuple[Evidence, ...]


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
