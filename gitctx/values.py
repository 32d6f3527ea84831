"""The values that cross gitctx's borders: frozen, slotted, printable.

Times are aware UTC. Ids are strings with types of their own, so that a checker tells an etag from a revision.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType

Revision = NewType("Revision", str)
"""A commit of the store by its full id: 40 lower-case hex digits."""
Etag = NewType("Etag", str)
"""The blob id of an entry's bytes: 40 lower-case hex digits."""
WriteId = NewType("WriteId", str)
"""The idempotency key of a write: a ULID, or 1 to 64 characters of the caller's choice."""
SessionId = NewType("SessionId", str)
"""A ULID."""

ChangeKind = Literal["added", "changed", "removed"]
Durability = Literal["durable", "relaxed"]
SessionState = Literal["alive", "silent", "dead", "ended"]
Json = Any
"""What `json.loads` gives."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its bytes, as they were at `revision` (the head that was read)."""

    key: str
    value: bytes
    etag: Etag
    git_path: str
    """Where plain git finds it: `git show <revision>:<git_path>`; differs from the key in folders of over 256
    children.
    """
    revision: Revision

    def text(self) -> str:
        """The value as UTF-8 text. Raises UnicodeDecodeError (a ValueError) if it isn't."""
        return self.value.decode("utf-8")

    def json(self) -> Json:
        """The value parsed as JSON. Raises json.JSONDecodeError (a ValueError) if it isn't."""
        return json.loads(self.value)


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """One line of a listing; `size` is in bytes."""

    key: str
    etag: Etag
    size: int


@dataclass(frozen=True, slots=True)
class EntryEtag:
    """What a write left at a key; `etag` is None where the key was removed."""

    key: str
    etag: Etag | None


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
class Change:
    """How a key differs between two revisions; an absent side is None."""

    key: str
    kind: ChangeKind
    before: Etag | None
    after: Etag | None


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


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem or oddity that `verify` found: a stable `code`, what it is about, and a sentence with what to do."""

    code: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`: `commits` and `objects` are how many were checked."""

    ok: bool
    commits: int
    objects: int
    problems: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


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
