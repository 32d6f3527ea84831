"""Numbers in sentences."""

from __future__ import annotations


def many(number: int, noun: str) -> str:
    """How many of something: `1 file`, `1,200 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
