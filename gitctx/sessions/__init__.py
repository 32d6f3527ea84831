"""Sessions: one run of an agent each, found alive or dead by evidence. And claims: work that one of them holds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitctx.sessions.claims import Claims
    from gitctx.sessions.machine import Machine
    from gitctx.sessions.process import ProcessFacts
    from gitctx.sessions.run import run_command
    from gitctx.sessions.session import Session
    from gitctx.sessions.sessions import Sessions

__all__ = ["Claims", "Machine", "ProcessFacts", "Session", "Sessions", "run_command"]

_WHERE = {
    "Claims": "claims",
    "Machine": "machine",
    "ProcessFacts": "process",
    "Session": "session",
    "Sessions": "sessions",
    "run_command": "run",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a command that only checks its session needs a part of this."""
    if name not in _WHERE:
        raise AttributeError(f"module 'gitctx.sessions' has no attribute {name!r}")
    return getattr(import_module(f"gitctx.sessions.{_WHERE[name]}"), name)
