"""The updates that every contender stores: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_WORDS = (
    "plan",
    "parser",
    "lexer",
    "tests",
    "merge",
    "review",
    "claim",
    "waits",
    "before",
    "after",
    "then",
    "moves",
    "on",
)


class Update(NamedTuple):
    """One versioned, attributed change of one key."""

    key: str
    value: bytes
    actor: str
    message: str


def entries(count: int, *, folders: int = 20, seed: int = 1) -> dict[str, bytes]:
    """Keys and values that a store holds before anything is measured, spread over folders."""
    rng = random.Random(seed)
    return {f"topic-{number % folders:02}/note-{number:06}.md": _text(rng, 200) for number in range(count)}


def updates(keys: Sequence[str], *, actor: str = "planner", seed: int = 2, value_bytes: int = 200) -> Iterator[Update]:
    """An endless line of updates to these keys, each with a value that wasn't there before."""
    rng = random.Random(seed)
    number = 0
    while True:
        number += 1
        value = b"%d " % number + _text(rng, value_bytes)
        yield Update(rng.choice(keys), value, actor, f"step {number}")


def _text(rng: random.Random, size: int) -> bytes:
    words: list[str] = []
    length = 0
    while length < size:
        words.append(rng.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words).encode()[:size] + b"\n"
