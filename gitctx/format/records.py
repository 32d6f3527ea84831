"""Session records (`<id>.json` on the branch `sessions`) and claims (`.gitctx/claims/<name>`), to and from bytes.

Both are canonical JSON with `format: 1`. Fields of a session record that this version doesn't know are kept.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from gitctx.errors import CorruptStore
from gitctx.format.documents import format_time, parse_time, to_canonical_json
from gitctx.values import Claim, SessionId, SessionRecord

RECORD_FORMAT = 1
_TIMES = ("started_at", "ended_at", "last_beat_at")
_TEXTS = (
    *("id", "actor", "agent", "host_id", "hostname", "boot_id", "pid_namespace"),
    *("process_started_at", "start_revision"),
)
_OPTIONAL_TEXTS = ("end_reason", "last_checkpoint", "recovered_by")
_FIELDS = tuple(SessionRecord.__dataclass_fields__)
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def session_path(id: str) -> str:
    """Where a session's record lies on the branch `sessions`."""
    return f"{id}.json"


def encode_session(record: SessionRecord) -> bytes:
    """A session record as bytes."""
    fields: dict[str, Any] = {name: getattr(record, name) for name in _FIELDS if name != "extra"}
    for name in _TIMES:
        fields[name] = format_time(fields[name]) if fields[name] is not None else None
    fields["recovered"] = list(record.recovered)
    if record.last_beat_at is None:
        del fields["last_beat_at"]
    return to_canonical_json({**record.extra, "format": RECORD_FORMAT, **fields})


def decode_session(data: bytes) -> SessionRecord:
    """A session record from bytes. Raises CorruptStore if they aren't one."""
    try:
        fields: dict[str, Any] = json.loads(data)
        known = {name: fields[name] for name in _FIELDS if name in fields and name != "extra"}
        for name in _TIMES:
            known[name] = parse_time(known[name]) if known.get(name) else None
        known["recovered"] = tuple(SessionId(id) for id in known.get("recovered") or ())
        known["extra"] = {name: value for name, value in fields.items() if name not in _FIELDS and name != "format"}
        texts = [known[name] for name in _TEXTS] + [known.get(name) or "" for name in _OPTIONAL_TEXTS]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a field that should be text isn't")
        if type(known["pid"]) is not int or known["started_at"] is None:
            raise ValueError("the pid isn't a number, or the start has no time")
        return SessionRecord(**known)
    except _UNREADABLE as error:
        raise CorruptStore(f"a session record can't be read: {error}", hint="see `gitctx verify`") from error


def encode_claim(claim: Claim) -> bytes:
    """A claim as bytes."""
    return to_canonical_json(
        {
            "format": RECORD_FORMAT,
            "id": claim.id,
            "session": claim.session,
            "actor": claim.actor,
            "message": claim.message,
            "claimed_at": format_time(claim.claimed_at),
            "expires_at": format_time(claim.expires_at),
        }
    )


def decode_claim(name: str, data: bytes) -> Claim:
    """A claim from bytes. Raises CorruptStore if they aren't one."""
    try:
        fields: dict[str, Any] = json.loads(data)
        session = fields.get("session")
        if session is not None and not isinstance(session, str):
            raise ValueError("the session isn't text")
        return Claim(
            name=name,
            id=str(fields["id"]),
            session=SessionId(session) if session is not None else None,
            actor=str(fields["actor"]),
            message=str(fields.get("message", "")),
            claimed_at=_time(fields["claimed_at"]),
            expires_at=_time(fields["expires_at"]),
        )
    except _UNREADABLE as error:
        raise CorruptStore(
            f"the claim '{name}' can't be read: {error}", hint=f"`gitctx release {name} --force` removes it"
        ) from error


def _time(text: str) -> datetime:
    return parse_time(text)
