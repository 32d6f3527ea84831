"""Taking back what was asked for and hasn't begun: how a caller in another thread says that it waits no longer.

Whoever runs a call for somebody else sets a `Withdrawal` in the call's context. A write looks at it when it is planned,
and whatever waits for somebody else looks at it, or is woken by it; then they raise `Withdrawn`. What has begun is seen
through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gitctx.errors import Withdrawn

_current: ContextVar[Withdrawal | None] = ContextVar("gitctx_withdrawal", default=None)


class Withdrawal:
    """Whether a call was withdrawn. Once it is, it stays so. Safe in threads."""

    __slots__ = ("_guard", "_wakers", "withdrawn")

    def __init__(self) -> None:
        self.withdrawn = False
        self._guard = threading.Lock()
        self._wakers: list[Callable[[], object]] = []

    def withdraw(self) -> None:
        """Take the call back as far as it hasn't begun, and wake it if it waits. From any thread."""
        with self._guard:
            self.withdrawn = True
            for wake in self._wakers:
                wake()

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Within the block, `wake` is called (by any thread, perhaps at once) when the call is withdrawn."""
        with self._guard:
            self._wakers.append(wake)
            if self.withdrawn:
                wake()
        try:
            yield
        finally:
            with self._guard:
                self._wakers.remove(wake)


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


@contextmanager
def woken_by(wake: Callable[[], object]) -> Iterator[None]:
    """Within the block, `wake` is called (by any thread) when the call under way in this context is withdrawn."""
    found = _current.get()
    if found is None:
        yield
        return
    with found.waking(wake):
        yield


@contextmanager
def seen_through() -> Iterator[None]:
    """Within the block nothing is withdrawn: what takes something back has to be done."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def withdrawn() -> Withdrawn:
    """The error for a call that was withdrawn."""
    return Withdrawn(
        "the call was withdrawn before it began: nothing was written",
        hint="it was cancelled, or its context was closed; it can be repeated",
    )
