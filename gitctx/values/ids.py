"""Ids with types of their own, so that a checker tells an etag from a revision; and closed sets of words."""

from __future__ import annotations

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
