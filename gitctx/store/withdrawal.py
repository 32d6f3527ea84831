"""Taking back what was asked for and hasn't begun: how a caller in another thread says that it waits no longer.

Whoever runs a call for somebody else sets a `Withdrawal` in the call's context. A write looks at it when it is planned,
and whatever waits for somebody else looks at it every few milliseconds; then they raise `Withdrawn`. What has begun is seen through.
"""

from __future__ import annotations

from contextvars import ContextVar

from gitctx.errors import Withdrawn

_current: ContextVar[Withdrawal | None] = ContextVar("gitctx_withdrawal", default=None)


class Withdrawal:
    """Whether a call was withdrawn. Once it is, it stays so."""

    __slots__ = ("withdrawn",)

    def __init__(self) -> None:
        self.withdrawn = False

    def withdraw(self) -> None:
        """Take the call back as far as it hasn't begun. From any thread."""
        self.withdrawn = True


def set_current(withdrawal: Withdrawal) -> None:
    """Let this context's calls be withdrawn by it."""
    _current.set(withdrawal)


def current() -> Withdrawal | None:
    """What can withdraw the call under way in this context; None where nobody can."""
    return _current.get()


def is_withdrawn() -> bool:
    """Whether nobody waits any more for the call under way in this context."""
    found = _current.get()
    return found is not None and found.withdrawn


def stop_if_withdrawn() -> None:
    """Raise Withdrawn if nobody waits any more for the call under way in this context."""
    if is_withdrawn():
        raise withdrawn()


def withdrawn() -> Withdrawn:
    """The error for a call that was withdrawn."""
    return Withdrawn(
        "the call was withdrawn before it began: nothing was written",
        hint="it was cancelled, or its context was closed; it can be repeated",
    )
