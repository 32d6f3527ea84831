"""How far the demo is: what its displays show while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

State = Literal["starting", "working", "killed", "done"]
EventKind = Literal["step", "kill", "notice", "rescue", "success"]


@dataclass(slots=True)
class AgentProgress:
    """One agent: what it does now, and what it has done."""

    name: str
    pid: int
    state: State = "starting"
    session: str = ""
    doing: str = ""
    files: int = 0
    writes: int = 0
    refused: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling, so many seconds after the start, about `who`; `details` are lines of their own."""

    at_s: float
    kind: EventKind
    who: str
    text: str
    details: tuple[str, ...] = ()


@dataclass(slots=True)
class Progress:
    """The whole of it."""

    project: str
    store: Path
    tracked: int
    chosen: int
    pieces: int = 0
    written: int = 0
    elapsed_s: float = 0.0
    agents: dict[str, AgentProgress] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class Display(Protocol):
    """Shows progress while it is made."""

    def begin(self, progress: Progress) -> None:
        """The work begins. The same object is changed from now on."""

    def refresh(self) -> None:
        """Something may have changed. Called often."""

    def end(self) -> None:
        """The work has ended, however it did."""
