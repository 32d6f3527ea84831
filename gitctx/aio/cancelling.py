"""What became of a write that was cancelled."""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass
from typing import Any, Literal

from gitctx.errors import GitctxError
from gitctx.values import Written

Fate = Literal["made", "not_made", "undone", "unknown"]

_FATE = {"no": "not_made", "yes": "made", "unknown": "unknown"}
_ATTRIBUTE = "_gitctx_cancelled_write"


@dataclass(frozen=True, slots=True)
class CancelledWrite:
    """What became of a write that was cancelled. It is settled: nothing of it happens any more.

    `operation` is the method's name. `fate` is `made` (`result` is what the call would have returned), `not_made`
    (`error` says why, if it was more than the cancellation), `undone` (a session that had started was ended, a claim
    that was to be held released), or `unknown` (`error` is an OutcomeUnknown, say: repeat the call with its id, and it
    happens once).
    """

    operation: str
    fate: Fate
    result: Any = None
    error: BaseException | None = None

    def __str__(self) -> str:
        if self.fate == "made":
            revision = f" as {self.result.revision}" if isinstance(self.result, Written) else ""
            return f"{self.operation} was cancelled and had begun already: it was made{revision}"
        why = f" ({self.error})" if self.error is not None else ""
        if self.fate == "undone":
            return f"{self.operation} was cancelled and had begun already: it was made, and taken back"
        if self.fate == "not_made":
            return f"{self.operation} was cancelled: nothing was written{why}"
        return f"{self.operation} was cancelled, and it isn't known whether it was made{why}"


def cancelled_write(error: BaseException) -> CancelledWrite | None:
    """What became of the write whose cancelling led to an error: a CancelledError, or the TimeoutError that
    `asyncio.timeout` and `asyncio.wait_for` make of it. None if no write was cancelled by it.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        noted = getattr(found, _ATTRIBUTE, None)
        if isinstance(noted, CancelledWrite):
            return noted
        found = found.__cause__ or found.__context__
    return None


def note(error: CancelledError, write: CancelledWrite) -> None:
    """Attach to a cancellation what became of the write, for programs and for readers of a traceback."""
    setattr(error, _ATTRIBUTE, write)
    error.add_note(str(write))


def after_failure(operation: str, error: BaseException) -> CancelledWrite:
    """What became of a write that raised."""
    fate: Any = _FATE[error.changed] if isinstance(error, GitctxError) else "unknown"
    return CancelledWrite(operation, fate, error=error)
