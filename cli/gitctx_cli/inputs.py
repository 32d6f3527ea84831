"""What users write: values, durations, times."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitctx_cli.failures import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from gitctx_cli.env import Env

STDIN = "-"
_LONGEST_S = 1e10
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def read_value(env: Env, text: str | None, file: str | None, *, what: str = "VALUE") -> bytes:
    """The bytes of a value: the text itself, a file, or standard input (`-`, or nothing off a terminal)."""
    if file is not None:
        if text is not None:
            raise UsageError(f"{what} and --file contradict each other", hint="give one of them")
        return read_file(env, file)
    if text is not None and text != STDIN:
        return os.fsencode(text)
    if env.stdin is None or (text is None and env.stdin.isatty()):
        raise UsageError(
            f"there is no {what}", hint=f"write it after the key, or pipe it in; `-` for {what} reads standard input"
        )
    return env.read_stdin()


def read_file(env: Env, file: str) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises InvalidInput."""
    if file == STDIN:
        if env.stdin is None:
            raise UsageError("standard input is closed", hint="name a file")
        return env.read_stdin()
    try:
        return env.path(file).read_bytes()
    except (OSError, ValueError) as error:
        from gitctx.errors import InvalidInput

        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"the file {file} can't be read: {reason}", hint="name a file that can be read") from error


def seconds(text: str, *, option: str) -> float:
    """A duration in seconds: `90`, `90s`, `30m`, `2h`, `1d`."""
    found = _duration_s(text)
    if found is None:
        raise UsageError(f"{option}: {text!r} isn't a duration", hint="write 90s, 30m, 2h or 1d")
    return found


def since(text: str, now: datetime) -> datetime | str:
    """`--since`: a time, a duration before now, or else a revision or checkpoint by its name."""
    from datetime import UTC, datetime, timedelta

    back_s = _duration_s(text) if text[-1:].isalpha() else None
    if back_s is not None:
        return now - timedelta(seconds=min(back_s, _LONGEST_S))
    try:
        at = datetime.fromisoformat(text) if text[4:5] == "-" else None
    except ValueError:
        at = None
    if at is None:
        return text
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)


def _duration_s(text: str) -> float | None:
    unit = text[-1:] if text[-1:].isalpha() else ""
    number = text.removesuffix(unit)
    if unit not in _UNITS or not number.replace(".", "", 1).isdecimal() or not number.isascii():
        return None
    return float(number) * _UNITS[unit]


def limit(number: int | None) -> int | None:
    """`-n`: how many at most."""
    if number is not None and number < 0:
        raise UsageError(f"-n: {number} is less than nothing", hint="give a number of lines, or leave it out")
    return number


def size(text: str, *, option: str) -> int:
    """A size in bytes: `4096`, `500k`, `20M`, `1G`."""
    unit = text[-1:] if text[-1:].isalpha() else ""
    number = text.removesuffix(unit)
    if unit.lower() not in _SIZES or not number.replace(".", "", 1).isdecimal() or not number.isascii():
        raise UsageError(f"{option}: {text!r} isn't a size", hint="write 500k, 20M or 1G")
    return int(float(number) * _SIZES[unit.lower()])
