"""Ctrl-C that can't get lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Interruption:
    """Remembers Ctrl-C while its block runs.

    Python raises KeyboardInterrupt wherever the program happens to be; in a destructor or a callback it is swallowed.
    `check` raises it again then, and `later` keeps it out of steps that have to be done whole. Where Ctrl-C is ignored
    or handled by somebody else, that stays so.
    """

    def __init__(self) -> None:
        self._pressed = False
        self._later = False
        self._installed = False

    def __enter__(self) -> Interruption:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGINT, self._note)
                self._installed = True
            except ValueError:  # not the main thread, which is the one that Ctrl-C interrupts
                pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed since the block began."""
        if self._pressed:
            raise KeyboardInterrupt

    @contextmanager
    def later(self) -> Iterator[None]:
        """Raise KeyboardInterrupt after the block rather than in it."""
        self._later = True
        try:
            yield
        finally:
            self._later = False
        self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        if not self._later:
            raise KeyboardInterrupt
