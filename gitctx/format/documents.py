"""Python objects as canonical JSON, times as RFC 3339, and new ULIDs.

Canonical: UTF-8, sorted keys, indent of two, final newline; equal values give equal bytes.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

from gitctx.errors import InvalidInput

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


def to_canonical_json(value: Any) -> bytes:
    """The bytes of a JSON value. Raises InvalidInput for NaN, infinities, keys that aren't text, and other types."""
    _check(value, ())
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=2)
        return text.encode("utf-8") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"the value can't be written as JSON: {error}",
            hint="pass text, bytes, or dicts, lists, text, numbers, bool, None",
        ) from error


def read_canonical_json(data: bytes) -> Any:
    """The value of which these are the canonical bytes. Raises ValueError for bytes that are those of no value."""
    try:
        value = json.loads(data.decode("utf-8"))
        if to_canonical_json(value) == data:
            return value
    except (InvalidInput, RecursionError) as error:
        raise ValueError(f"it isn't canonical JSON: {error}") from error
    raise ValueError("it is JSON, but not in the canonical form")


def _check(value: Any, inside: tuple[int, ...]) -> None:
    if id(value) in inside or len(inside) > 200:
        raise InvalidInput("the value can't be written as JSON: it holds itself, or is nested over 200 deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInput(
                    f"the value can't be written as JSON: the key {key!r} isn't text",
                    hint="use text for keys in objects",
                )
            _check(item, (*inside, id(value)))
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item, (*inside, id(value)))


def to_bytes(value: Any) -> bytes:
    """A value as it is stored: bytes as they are, text as UTF-8 with nothing appended, else canonical JSON."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInput("the text holds a lone surrogate", hint="pass bytes, or text that is UTF-8") from error
    return to_canonical_json(value)


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC; with milliseconds where there are any."""
    at = at.astimezone(UTC)
    text = at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time, aware UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC)


def new_ulid(at: datetime, rng: random.Random) -> str:
    """A ULID: 48 bits of milliseconds, 80 random bits, in Crockford's base 32. Source: the ULID specification."""
    number = (int(at.timestamp() * 1000) << 80) | rng.getrandbits(80)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
