"""How long to rest between two looks at a ref: until the kernel hints at something, else a few milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from gitctx.sync.events import Events

BUSY_S = 0.5
BUSY_PAUSE_S = 0.002
"""Between two looks for `BUSY_S` after something happened, where no hints come."""
IDLE_PAUSE_S = 0.010
"""Between two looks when nothing happens, where no hints come."""
HINTED_PAUSE_S = 0.100
"""Between two looks where hints come: one that was lost costs that much."""
DISTRUST_S = 60.0
"""So long hints aren't relied on after one was lost."""
_FOLLOW_EVERY_S = 1.0


class Pace:
    """Rests between looks at the refs in a folder. For one thread; `wake` may be called from any."""

    def __init__(self, folder: Path, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._woken = threading.Event()
        self._busy_until = monotonic() + BUSY_S
        self._distrusted_until = monotonic()
        self._followed_at = monotonic()
        self._unhinted = False
        self._events: Events | None
        try:
            self._events = Events(folder)
        except OSError:
            self._events = None

    @property
    def hinted(self) -> bool:
        """Whether hints are relied on now."""
        return self._events is not None and self._monotonic() >= self._distrusted_until

    @property
    def awake(self) -> bool:
        """Whether `wake` was called: from then on nobody rests."""
        return self._woken.is_set()

    def rest(self, at_most_s: float | None = None) -> None:
        """Wait until it may be worth to look again."""
        now = self._monotonic()
        if self._events is None:
            self._woken.wait(_least(BUSY_PAUSE_S if now < self._busy_until else IDLE_PAUSE_S, at_most_s))
            return
        self._follow(now)
        pause_s = HINTED_PAUSE_S
        if now < self._distrusted_until:
            pause_s = BUSY_PAUSE_S if now < self._busy_until else IDLE_PAUSE_S
        self._unhinted = not self._events.wait(_least(pause_s, at_most_s))

    def found(self) -> None:
        """Say that the last look found something: if no hint told of it, they aren't relied on for a while."""
        now = self._monotonic()
        self._busy_until = now + BUSY_S
        if self._unhinted and self._events is not None and not self._events.take():
            self._distrusted_until = now + DISTRUST_S
        self._unhinted = False

    def sleep(self, seconds: float) -> None:
        """Wait so long, whatever happens, unless it is woken."""
        self._woken.wait(seconds)

    def wake(self) -> None:
        """End the rest, from any thread."""
        self._woken.set()
        if self._events is not None:
            self._events.wake()

    def _follow(self, now: float) -> None:
        """The folder may be another one of that name by now."""
        if self._events is None or now - self._followed_at < _FOLLOW_EVERY_S:
            return
        self._followed_at = now
        try:
            self._events.follow()
        except OSError:
            self._distrusted_until = now + DISTRUST_S


def _least(seconds: float, at_most_s: float | None) -> float:
    return seconds if at_most_s is None else max(0.0, min(seconds, at_most_s))
