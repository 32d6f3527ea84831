"""The updates that every contender stores: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
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


class Read(NamedTuple):
    """Look at a key."""

    key: str


class Write(NamedTuple):
    """Put a new value."""

    update: Update


class Append(NamedTuple):
    """Add a line to a log."""

    update: Update


class Together(NamedTuple):
    """Put several keys at once."""

    updates: Sequence[Update]


Step = Read | Write | Append | Together
"""What an agent does next."""

BOARD = tuple(f"board/{name}.md" for name in ("plan", "status", "open-questions", "who-does-what"))
"""Keys that all agents write to."""


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


def agent_steps(keys: Sequence[str], *, number: int, seed: int) -> Iterator[Step]:
    """What agent `number` does, endlessly and always the same for a seed: mostly reads, small updates of its own
    status, of the board that all write to, and of notes; lines for logs; now and then several keys at once or a large
    note of 20 to 200 KB.
    """
    rng = random.Random(f"{seed}/{number}")
    actor = f"coder-{number}"
    done = 0

    def update(key: str, size: int) -> Update:
        nonlocal done
        done += 1
        value = b"%d/%d/%d %s" % (seed, number, done, excerpt(rng, size))
        return Update(key, value, actor, f"step {done}")

    def small() -> int:
        return rng.randint(40, 600)

    while True:
        kind = rng.choices(("read", "status", "board", "note", "log", "together", "large"), (45, 15, 10, 8, 15, 5, 2))[
            0
        ]
        match kind:
            case "read":
                yield Read(rng.choice((*BOARD, rng.choice(keys))))
            case "status":
                yield Write(update(f"agents/{actor}/status.md", small()))
            case "board":
                yield Write(update(rng.choice(BOARD), small()))
            case "note":
                yield Write(update(rng.choice(keys), small()))
            case "log":
                yield Append(update(f"log/{rng.choice((actor, 'all'))}-{seed}.md", 80))
            case "together":
                yield Together([update(key, small()) for key in rng.sample(keys, rng.randint(3, 8))])
            case "large":
                yield Write(update(f"notes/{actor}/{rng.randrange(5)}.md", rng.randint(20_000, 200_000)))


def excerpt(rng: random.Random, size: int) -> bytes:
    """A piece of a long text: made in no time whatever its size (at most 1 MiB)."""
    text = _book()
    start = rng.randrange(len(text) - size)
    return text[start : start + size - 1] + b"\n"


@cache
def _book() -> bytes:
    rng = random.Random(4)
    lines = [_text(rng, rng.randint(30, 120)) for _ in range(2000)]
    return b"".join(rng.choices(lines, k=30_000))


def _text(rng: random.Random, size: int) -> bytes:
    words: list[str] = []
    length = 0
    while length < size:
        words.append(rng.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words).encode()[:size] + b"\n"
