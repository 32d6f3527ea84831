"""Work that a signal ends in good order: what it has started ends with it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_EVERY_S = 0.05


def until_told(work: Callable[[threading.Event], T]) -> T:
    """What `work` returns or raises. The first signal sets the event that it gets, and takes its usual effect when the
    work has ended; a second one takes it at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return work(threading.Event())
    job = _Job(work)
    with _heard() as told:
        job.start()
        while job.is_alive():
            job.join(_LOOK_EVERY_S)
            if told:
                job.stop.set()
    if told:
        signal.raise_signal(told[0])
    return job.result()


@contextmanager
def _heard() -> Iterator[list[int]]:
    """The signals that came. (A handler only notes them: to set an event there could wait for itself.)"""
    told: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if told:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        told.append(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in heeded:
        signal.signal(number, note)
    try:
        yield told
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)


class _Job(threading.Thread, Generic[T]):
    """The work, in a thread beside: the main one hears signals."""

    def __init__(self, work: Callable[[threading.Event], T]) -> None:
        super().__init__(name="gitctx-work", daemon=True)
        self.stop = threading.Event()
        self._work = work
        self._found: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._found.append(self._work(self.stop))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._found[0]
