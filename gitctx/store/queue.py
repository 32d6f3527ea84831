"""The writer queue of one branch on one machine: fair, first come first served, and freed by the kernel.

It only saves lost races: compare-and-swap decides as always. A writer waits as long as the queue moves, however long it
is. Whoever is in front and doesn't move for the time of our patience (a stopped process) is passed over, by us and by
all who come later; a queue that can't be used at all is done without.

Beside the tickets the file holds a note: the head that gitctx published last, and the head last known to be on disk.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gitctx import failpoints
from gitctx.repository import descriptors
from gitctx.store import tickets
from gitctx.store.tickets import Tickets

_NOTE_AT = 16
_NOTE_BYTES = 82
_NOTE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40})\n")
_LOOK_EVERY_S = 0.1
_POLL_EVERY_S = 0.003


class Note(NamedTuple):
    """What the last writer knew: the head it published, and the head that was on disk then. None: nothing is known."""

    published: str | None
    durable: str | None


class Turn:
    """One place in the queue.

    `held`: it is our turn. `alone`: and nobody who drew a ticket before us is still there (passed over, but perhaps
    about to wake up).
    """

    def __init__(self, descriptor: int, *, held: bool, alone: bool) -> None:
        self._descriptor = descriptor
        self.held = held
        self.alone = held and alone

    def note(self) -> Note:
        """What the last writer left. A note that is torn or can't be read counts as none."""
        match = _NOTE.fullmatch(_read_note(self._descriptor))
        if match is None:
            return Note(None, None)
        published, durable = match[1].decode(), match[2].decode()
        return Note(published, durable if durable != "0" * 40 else None)

    def leave_note(self, published: str, durable: str | None) -> None:
        """Leave a note for the next writer. Without a turn, or when it can't be written, there is simply none."""
        if not self.held:
            return
        try:
            os.pwrite(self._descriptor, f"{published} {durable or '0' * 40}\n".encode(), _NOTE_AT)
        except OSError:
            return


class WriterQueue:
    """The queue at `path`, a file that is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def turn(self, patience_s: float) -> Iterator[Turn]:
        """Wait for one's turn while the queue moves; one that stands still for `patience_s` is passed over.

        The block runs in any case: without a turn if there is no queue to be had. Raises nothing of its own.
        """
        descriptor = self._open()
        if descriptor < 0:
            yield Turn(-1, held=False, alone=False)
            return
        wait = _TicketWait(descriptor, patience_s) if tickets.AVAILABLE else _LockWait(descriptor, patience_s)
        try:
            turn = wait.for_turn()
            failpoints.hit("queue.after_acquire")
            yield turn
        finally:
            wait.leave()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return descriptors.hold(os.open(self._path, flags, 0o644))
        except FileNotFoundError:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return descriptors.hold(os.open(self._path, flags, 0o644))
            except OSError:
                return -1
        except OSError:
            return -1


def _read_note(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, _NOTE_BYTES, _NOTE_AT) if descriptor >= 0 else b""
    except OSError:
        return b""


class _Wait:
    """The wait of one writer. A blocking lock has no time limit, so a thread of its own does the blocking."""

    def __init__(self, descriptor: int, patience_s: float) -> None:
        self._descriptor = descriptor
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._got = threading.Event()
        self._blocked = False
        self._left = False

    def for_turn(self) -> Turn:
        raise NotImplementedError

    def _unlock(self) -> None:
        raise NotImplementedError

    def _block(self, lock: Callable[[], object]) -> None:
        """Begin to block; `_got` is set when the lock is ours."""

        def run() -> None:
            try:
                lock()
                self._got.set()
            except OSError:
                pass
            with self._guard:
                self._blocked = False
                if self._left:
                    self._close()

        self._blocked = True
        threading.Thread(target=run, name="gitctx-queue", daemon=True).start()

    def leave(self) -> None:
        """Give the place back. A thread that still blocks on the descriptor closes it when it wakes."""
        with self._guard:
            self._left = True
            if not self._blocked:
                self._close()
                return
        try:
            self._unlock()
        except OSError:
            return

    def _close(self) -> None:
        try:
            self._unlock()
        except OSError:
            pass
        finally:
            descriptors.close(self._descriptor)


class _TicketWait(_Wait):
    def __init__(self, descriptor: int, patience_s: float) -> None:
        super().__init__(descriptor, patience_s)
        self._tickets = Tickets(descriptor)

    def for_turn(self) -> Turn:
        try:
            number = self._tickets.draw(time.monotonic() + self._patience_s)
            if number is None:
                return Turn(self._descriptor, held=False, alone=False)
            failpoints.hit("queue.after_ticket")
            start = self._tickets.lowest()
            if not self._tickets.is_first(start, number):
                self._queue_up(start, number)
            alone = self._tickets.first_of(0, number) is None
            return Turn(self._descriptor, held=True, alone=alone)
        except OSError:
            return Turn(self._descriptor, held=False, alone=False)

    def _queue_up(self, start: int, number: int) -> None:
        """Wait until nobody in front counts. Whoever is first in front and stays it for too long is passed over."""
        self._block(lambda: self._tickets.wait_until_first(start, number))
        first, since = -1, time.monotonic()
        passed = False
        while not self._got.wait(_POLL_EVERY_S if passed else _LOOK_EVERY_S):
            counting = max(start, self._tickets.lowest())
            passed = counting > start
            now = self._tickets.first_of(counting, number)
            if now is None:
                return
            if now != first:
                first, since = now, time.monotonic()
            elif time.monotonic() - since > self._patience_s:
                self._tickets.pass_over(now)

    def _unlock(self) -> None:
        self._tickets.give_back()


class _LockWait(_Wait):
    """Where the platform has no such tickets: one lock on the file, in no promised order."""

    def for_turn(self) -> Turn:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Turn(self._descriptor, held=True, alone=True)
        except BlockingIOError:
            self._block(lambda: fcntl.flock(self._descriptor, fcntl.LOCK_EX))
        except OSError:
            return Turn(self._descriptor, held=False, alone=False)
        seen, since = _read_note(self._descriptor), time.monotonic()
        while not self._got.wait(_LOOK_EVERY_S):
            note = _read_note(self._descriptor)
            if note != seen:
                seen, since = note, time.monotonic()
            elif time.monotonic() - since > self._patience_s:
                return Turn(self._descriptor, held=False, alone=False)
        return Turn(self._descriptor, held=True, alone=True)

    def _unlock(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
