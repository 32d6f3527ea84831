"""Verdicts as trailers of the commits on `sessions`, so that the log of what was found can be read with plain git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gitctx.values import Evidence

if TYPE_CHECKING:
    from gitctx.values import SessionStatus

RECOVERED = "Gitctx-Recovered"
STATE = "Gitctx-State"
EVIDENCE = "Gitctx-Evidence"
CHECKPOINT = "Gitctx-Checkpoint"
CLAIM = "Gitctx-Claim"
_MOST_CHARACTERS = 300


def trailers_of(status: SessionStatus, claims: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What the commit that closes a session says: the verdict, a line for each layer, what became free."""
    lines: list[tuple[str, str]] = [(RECOVERED, status.record.id), (STATE, status.state)]
    lines += [(EVIDENCE, one_line(f"{each.layer} {each.finding} {each.text}")) for each in status.evidence]
    if status.last_checkpoint is not None:
        lines.append((CHECKPOINT, status.last_checkpoint))
    return (*lines, *((CLAIM, claim) for claim in claims))


def evidence_in(trailers: Mapping[str, tuple[str, ...]], at: datetime) -> tuple[Evidence, ...]:
    """The evidence that a commit of that time holds; none if it closed no session."""
    words = [line.split(" ", 2) for line in trailers.get(EVIDENCE, ())]
    return tuple(Evidence(each[0], each[1], each[2], at) for each in words if len(each) == 3)


def one_line(text: str) -> str:
    """One line of printable text: names of processes may hold anything."""
    text = text[:_MOST_CHARACTERS]
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
