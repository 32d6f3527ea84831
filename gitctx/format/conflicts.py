"""Conflicts that the strategy `fail` leaves open between two machines: `.gitctx/conflicts/<id>.json`, and beside it
`<id>.waiting` with the bytes that wait (none, if it is a removal that waits).

The id comes from what is in conflict, so two machines that meet the same conflict name it alike.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gitctx.errors import CorruptStore
from gitctx.format.documents import format_time, parse_time, to_canonical_json
from gitctx.format.keys import RESERVED
from gitctx.values import Etag, OpenConflict, Revision
from gitctx.values.sync import ConflictSide

CONFLICTS_PREFIX = f"{RESERVED}/conflicts/"
_FORMAT = 1


def conflict_id(key: str, base: str | None, standing: str | None, waiting: str | None) -> str:
    """The id of a conflict: 16 hex digits over the key and the three etags."""
    text = json.dumps([key, base, standing, waiting])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def about_key(id: str) -> str:
    """Where it is told what a conflict is about."""
    return f"{CONFLICTS_PREFIX}{id}.json"


def waiting_key(id: str) -> str:
    """Where the bytes are that wait."""
    return f"{CONFLICTS_PREFIX}{id}.waiting"


def encode_conflict(conflict: OpenConflict) -> bytes:
    """A conflict as bytes."""
    return to_canonical_json(
        {
            "format": _FORMAT,
            "id": conflict.id,
            "key": conflict.key,
            "base": conflict.base,
            "standing": _side(conflict.standing),
            "waiting": _side(conflict.waiting),
        }
    )


def decode_conflict(data: bytes) -> OpenConflict:
    """A conflict from bytes. Raises CorruptStore if they aren't one."""
    try:
        fields: dict[str, Any] = json.loads(data)
        return OpenConflict(
            id=str(fields["id"]),
            key=str(fields["key"]),
            base=_etag(fields["base"]),
            standing=_read_side(fields["standing"]),
            waiting=_read_side(fields["waiting"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptStore(
            f"an entry below {CONFLICTS_PREFIX} isn't a conflict: {error}",
            hint="`gitctx conflict resolve ID --keep` removes it",
        ) from error


def _side(side: ConflictSide) -> dict[str, Any]:
    return {
        "etag": side.etag,
        "revision": side.revision,
        "actor": side.actor,
        "session": side.session,
        "written_at": format_time(side.written_at),
    }


def _read_side(fields: dict[str, Any]) -> ConflictSide:
    return ConflictSide(
        etag=_etag(fields["etag"]),
        revision=Revision(str(fields["revision"])),
        actor=str(fields["actor"]),
        session=str(fields["session"]) if fields["session"] is not None else None,
        written_at=parse_time(fields["written_at"]),
    )


def _etag(text: Any) -> Etag | None:
    return Etag(str(text)) if text is not None else None
