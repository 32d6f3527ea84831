"""Whether a session lives: a judgement over facts that were gathered before. Pure, so every case can be tested.

Evidence comes in six layers. Only the layer `process` proves anything; the others support it and are told to whoever
has to decide about a session that is `silent`, or goes on where a dead one stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from gitctx.format.documents import format_time
from gitctx.sessions.facts import Facts
from gitctx.values import Evidence, SessionRecord, SessionState

HEARTBEAT_SUSPICIOUS_AFTER = timedelta(hours=2)
"""A heartbeat older than this is worth a look. It proves nothing: one long tool call of an agent takes as long."""

NEEDED_BYTES = 64 * 1024 * 1024
NEEDED_FILES = 1000
"""Less than this leaves no room to recover and go on: a write takes kilobytes and three files, maintenance more."""

Layer = Callable[[SessionRecord, Facts, datetime], Evidence]


def judge(record: SessionRecord, facts: Facts, now: datetime) -> tuple[SessionState, tuple[Evidence, ...]]:
    """The state of a session, and what each layer found."""
    evidence = tuple([layer(record, facts, now) for layer in LAYERS])
    return _state(record, next(each for each in evidence if each.layer == "process")), evidence


def state_of(record: SessionRecord, facts: Facts, now: datetime) -> SessionState:
    """The state of a session alone.

    `ended`: its record says so. `dead` and `alive`: proved by its process, on the host, in the process space and by the
    store instance that its lease is of. `silent`: no proof either way.
    """
    return _state(record, process_layer(record, facts, now))


def _state(record: SessionRecord, process: Evidence) -> SessionState:
    if record.ended_at is not None:
        return "ended"
    if process.finding == "alive":
        return "alive"
    return "dead" if process.finding == "dead" else "silent"


def lease_layer(record: SessionRecord, facts: Facts, now: datetime) -> Evidence:
    """Does the kernel still hold the session's lock? Support only: a child that was forked may hold it as well."""
    if facts.lease is None:
        return Evidence("lease", "unknown", "there is no lease of it here", now)
    if facts.lease.lease.instance != facts.instance:
        return Evidence("lease", "unknown", "its lease is of another copy of this store", now)
    if not facts.lease.lease.held:
        return Evidence("lease", "unknown", "it has a lease that no process was to hold", now)
    if facts.lease.locked:
        return Evidence("lease", "alive", "a process holds its lease", now)
    return Evidence("lease", "suspicious", "nobody holds its lease any more", now)


def process_layer(record: SessionRecord, facts: Facts, now: datetime) -> Evidence:
    """Does that very process exist? The only proof there is, and only where `_no_proof` finds nothing against it."""
    reason = _no_proof(record, facts)
    if reason:
        return Evidence("process", "unknown", reason, now)
    if record.boot_id != facts.boot_id:
        return Evidence("process", "dead", "this host was started anew since", now)
    process = facts.process
    if process is None:
        return Evidence("process", "dead", f"the process {record.pid} is gone", now)
    if process.started_at is None or not record.process_started_at:
        return Evidence("process", "unknown", f"the system doesn't show when process {record.pid} started", now)
    if process.started_at != record.process_started_at:
        text = f"the process {record.pid} is gone, and its number belongs to another one ({process.name or 'unnamed'})"
        return Evidence("process", "dead", text, now)
    return Evidence("process", "alive", f"the process {record.pid} ({process.name}) runs", now)


def _no_proof(record: SessionRecord, facts: Facts) -> str:
    """Why what is seen here proves nothing about the session; "" if it does."""
    if not record.host_id or record.host_id != facts.host_id:
        return f"it runs on another host ({record.hostname or 'unnamed'})"
    if record.pid_namespace != facts.pid_namespace:
        return "it runs in another process space (a container?)"
    if facts.lease is None:
        return "without a lease, this store doesn't know whether it is one of its own"
    lease = facts.lease.lease
    if not facts.instance or lease.instance != facts.instance:
        return "its lease was issued by another copy of this store"
    if (lease.pid, lease.process_started_at, lease.boot_id) != (record.pid, record.process_started_at, record.boot_id):
        return "its lease and its record name different processes"
    if not record.boot_id or not facts.boot_id:
        return "the system doesn't tell since when it runs"
    if record.boot_id != facts.boot_id and not facts.local:
        return "it ran in another boot of a host of this name, and the store's disk is shared between hosts"
    return ""


def heartbeat_layer(record: SessionRecord, facts: Facts, now: datetime) -> Evidence:
    """When did it last beat?"""
    if facts.lease is None or facts.lease.lease.instance != facts.instance:
        return _heard_layer(facts, now)
    at = facts.lease.beat_at
    age = now - at
    if age > HEARTBEAT_SUSPICIOUS_AFTER:
        return Evidence("heartbeat", "suspicious", f"it last beat at {format_time(at)}, long ago", now)
    if age < -HEARTBEAT_SUSPICIOUS_AFTER:
        return Evidence("heartbeat", "unknown", f"it last beat at {format_time(at)}, which is yet to come", now)
    return Evidence("heartbeat", "alive", f"it last beat at {format_time(at)}", now)


def _heard_layer(facts: Facts, now: datetime) -> Evidence:
    """When did a heartbeat last come in from elsewhere? On the clock of this host: others may go wrong."""
    if facts.heard is None:
        return Evidence("heartbeat", "unknown", "it never beat here", now)
    text = f"it last beat at {facts.heard.beat} by its own host's clock, heard here at {format_time(facts.heard.at)}"
    age = now - facts.heard.at
    if age > HEARTBEAT_SUSPICIOUS_AFTER:
        return Evidence("heartbeat", "suspicious", f"{text}, long ago", now)
    if age < -HEARTBEAT_SUSPICIOUS_AFTER:
        return Evidence("heartbeat", "unknown", f"{text}, which is yet to come", now)
    return Evidence("heartbeat", "alive", text, now)


def silent_for_s(facts: Facts, now: datetime) -> float:
    """How many seconds ago a session last beat here, or was last heard of; 0 where neither is known."""
    if facts.lease is not None and facts.lease.lease.instance == facts.instance:
        return (now - facts.lease.beat_at).total_seconds()
    return (now - facts.heard.at).total_seconds() if facts.heard is not None else 0.0


def integrity_layer(record: SessionRecord, facts: Facts, now: datetime) -> Evidence:
    """Can what it built on be read: the head, its last checkpoint, the revision that it started on?"""
    sound = facts.sound
    if sound is None:
        return Evidence("integrity", "unknown", "nobody looked at what it builds on", now)
    if sound.damaged:
        return Evidence("integrity", "damaged", "; ".join(sound.damaged), now)
    if sound.unknown:
        return Evidence("integrity", "unknown", "; ".join(sound.unknown), now)
    return Evidence("integrity", "sound", f"can be read: {', '.join(sound.fine)}", now)


def space_layer(record: SessionRecord, facts: Facts, now: datetime) -> Evidence:
    """Is there room to recover and go on?"""
    room = facts.room
    if room is None:
        return Evidence("space", "unknown", "nobody knows how much room there is", now)
    files = "" if room.free_files is None else f" and {room.free_files} files"
    text = f"{room.free_bytes // (1024 * 1024)} MiB{files} free"
    short = room.free_bytes < NEEDED_BYTES or (room.free_files is not None and room.free_files < NEEDED_FILES)
    return Evidence("space", "short" if short else "enough", text, now)


def orphan_layer(record: SessionRecord, facts: Facts, now: datetime) -> Evidence:
    """Did it start and never end gracefully?"""
    if record.ended_at is None:
        return Evidence("orphan", "open", f"it started at {format_time(record.started_at)} and hasn't ended", now)
    how = "gracefully" if record.graceful_shutdown else "not gracefully"
    reason = f": {record.end_reason}" if record.end_reason else ""
    finding = "ended" if record.graceful_shutdown else "suspicious"
    return Evidence("orphan", finding, f"it ended {how} at {format_time(record.ended_at)}{reason}", now)


LAYERS: tuple[Layer, ...] = (
    lease_layer,
    process_layer,
    heartbeat_layer,
    integrity_layer,
    space_layer,
    orphan_layer,
)
