"""What an agent tells the conductor: one JSON line each, through the agent's standard output.

A line is written in one piece, before the agent goes on: what an agent has told survives a SIGKILL of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import get_args


@dataclass(frozen=True, slots=True)
class Ready:
    """The agent's session has started."""

    session: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A write was acknowledged to the agent."""

    id: str
    what: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody else was faster to claim a piece."""

    piece: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The agent holds a piece now, of which `left` files have no finding yet."""

    piece: str
    files: int
    left: int


@dataclass(frozen=True, slots=True)
class Halfway:
    """The agent is in the middle of its piece and waits until it is told to go on."""

    piece: str
    written: int
    files: int


@dataclass(frozen=True, slots=True)
class FileSurveyed:
    """A finding is written; `read` findings of other agents were read for it."""

    path: str
    read: int


@dataclass(frozen=True, slots=True)
class Noticed:
    """The agent found a session dead; `evidence` is what each layer found: layer, finding, text."""

    session: str
    actor: str
    evidence: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class TookOver:
    """The agent holds a piece that a dead session had held."""

    piece: str
    actor: str
    files: int
    left: int


@dataclass(frozen=True, slots=True)
class PieceDone:
    """A piece is done and its claim released."""

    piece: str


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """The agent made the checkpoint."""

    name: str


@dataclass(frozen=True, slots=True)
class Done:
    """The agent's session has ended gracefully."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The agent can't go on."""

    reason: str


Message = (
    Ready
    | Acknowledged
    | Refused
    | Claimed
    | Halfway
    | FileSurveyed
    | Noticed
    | TookOver
    | PieceDone
    | Checkpointed
    | Done
    | Failed
)
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}


def encode(message: Message) -> bytes:
    """A message as a line."""
    return json.dumps([type(message).__name__, asdict(message)]).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message that a line holds. Raises ValueError if it holds none."""
    try:
        name, fields = json.loads(line)
        if "evidence" in fields:
            fields["evidence"] = tuple(tuple(row) for row in fields["evidence"])
        return _KINDS[name](**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no message of an agent: {line[:200]!r}") from error
