"""The writer queue of one branch on one machine: fair, first come first served, and freed by the kernel.

It only saves lost races: compare-and-swap decides as always. A writer waits as long as the queue moves, however long it
is. Whoever is in front and doesn't move for the time of our patience (a stopped process) is passed over, by us and by
all who come later; a queue that can't be used at all is done without.

Who waits is woken by who leaves, and looks for itself now and then, the more often the nearer its turn is: so the death
of the writer in front is noticed within milliseconds.

Beside the tickets the file holds a note: the head that gitctx published last, and the head last known to be on disk.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from gitctx import failpoints
from gitctx.repository import descriptors
from gitctx.store import tickets
from gitctx.store.tickets import Tickets

_NOTE_AT = 16
_NOTE_BYTES = 82
_NOTE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40})\n")
_LOOK_EVERY_S = 0.005
_LONGEST_REST_S = 0.1
_NAP_S = 0.002
_LOCK_LOOK_EVERY_S = 0.1


class Note(NamedTuple):
    """What the last writer knew: the head it published, and the head that was on disk then. None: nothing is known."""

    published: str | None
    durable: str | None


class Place(Protocol):
    """What a writer does while it waits."""

    def take(self, ticket: int) -> None:
        """It has to wait, with this ticket."""

    def rest(self, seconds: float) -> bool:
        """Sleep so long, or until somebody rings; whether there is nothing left to wait for."""


class Turn:
    """One place in the queue.

    `held`: it is our turn. `alone`: and nobody who drew a ticket before us is still there (passed over, but perhaps
    about to wake up).
    """

    def __init__(self, descriptor: int, *, held: bool, alone: bool, ticket: int = -1) -> None:
        self._descriptor = descriptor
        self.ticket = ticket
        self.held = held
        self.alone = held and alone
        self._note: Note | None = None

    def note(self) -> Note:
        """What the last writer left. A note that is torn or can't be read counts as none."""
        if self._note is None or not self.held:
            self._note = self._read_note()
        return self._note

    def _read_note(self) -> Note:
        match = _NOTE.fullmatch(_read_note(self._descriptor))
        if match is None:
            return Note(None, None)
        published, durable = match[1].decode(), match[2].decode()
        return Note(published, durable if durable != "0" * 40 else None)

    def leave_note(self, published: str, durable: str | None) -> None:
        """Leave a note for the next writer. Without a turn, or when it can't be written, there is simply none."""
        if not self.held:
            return
        self._note = None
        try:
            os.pwrite(self._descriptor, f"{published} {durable or '0' * 40}\n".encode(), _NOTE_AT)
        except OSError:
            return

    def others_wait(self) -> bool:
        """Whether anybody may be waiting behind us."""
        return self.drawn() > 0

    def drawn(self) -> int:
        """How many came after us, whether they are still there or not."""
        try:
            return Tickets(self._descriptor).drawn_since(self.ticket) if self.ticket >= 0 else 0
        except OSError:
            return 0

    def next_ticket(self) -> int | None:
        """The lowest ticket behind us that is still held; None if nobody waits."""
        try:
            return Tickets(self._descriptor).first_of(self.ticket + 1, self.ticket + 1 + self.drawn())
        except OSError:
            return None

    def is_first(self) -> bool:
        """Whether nobody is in front of us: whoever is next then waits for us to leave."""
        try:
            queue = Tickets(self._descriptor)
            return self.held or (self.ticket >= 0 and queue.first_of(queue.lowest(), self.ticket) is None)
        except OSError:
            return False

    def waits(self, ticket: int) -> bool:
        """Whether the holder of another ticket is still there."""
        try:
            return self.ticket >= 0 and Tickets(self._descriptor).is_held(ticket)
        except OSError:
            return False


class WriterQueue:
    """The queue at `path`, a file that is made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._idle: list[_OpenQueue] = []
        weakref.finalize(self, _close_idle, self._idle)

    @contextmanager
    def turn(self, patience_s: float, place: Place | None = None) -> Iterator[Turn]:
        """Wait for one's turn while the queue moves; one that stands still for `patience_s` is passed over.

        The block runs in any case: without a turn if there is no queue to be had, or if there is nothing left to wait
        for at our `place`. Raises nothing of its own.
        """
        opened = self._open()
        if opened is None:
            yield Turn(-1, held=False, alone=False)
            return
        descriptor = opened.descriptor
        if not tickets.AVAILABLE:
            wait = _LockWait(descriptor, patience_s)
            try:
                turn = wait.for_turn()
                failpoints.hit("queue.after_acquire")
                yield turn
            finally:
                wait.leave()
            return
        try:
            turn = _wait_with_ticket(descriptor, patience_s, place or _Asleep())
            failpoints.hit("queue.after_acquire")
            yield turn
        finally:
            self._close(opened)

    def _open(self) -> _OpenQueue | None:
        """The file, opened; the one that was used last if it is still that file and nobody uses it."""
        with suppress(OSError, IndexError):
            opened = self._idle.pop()
            if opened.pid == os.getpid():
                if opened.file == _identity(os.stat(self._path)):
                    return opened
                descriptors.close(opened.descriptor)
        try:
            return self._open_anew()
        except FileNotFoundError:
            try:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                return self._open_anew()
            except OSError:
                return None
        except OSError:
            return None

    def _open_anew(self) -> _OpenQueue:
        descriptor = descriptors.hold(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        return _OpenQueue(descriptor, os.getpid(), _identity(os.fstat(descriptor)))

    def _close(self, opened: _OpenQueue) -> None:
        """Give the place back, and keep the file for the next turn."""
        try:
            Tickets(opened.descriptor).give_back()
        except OSError:
            descriptors.close(opened.descriptor)
            return
        if self._idle:
            descriptors.close(opened.descriptor)
        else:
            self._idle.append(opened)


class _OpenQueue(NamedTuple):
    """A queue file that was opened: by which process, and which file it is."""

    descriptor: int
    pid: int
    file: tuple[int, int]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_dev


def _close_idle(idle: list[_OpenQueue]) -> None:
    for descriptor, pid, _ in idle:
        if pid == os.getpid():
            descriptors.close(descriptor)


def _read_note(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, _NOTE_BYTES, _NOTE_AT) if descriptor >= 0 else b""
    except OSError:
        return b""


class _Asleep:
    """A place where nothing happens."""

    def take(self, ticket: int) -> None:
        return

    def rest(self, seconds: float) -> bool:
        time.sleep(min(seconds, _NAP_S))
        return False


def _wait_with_ticket(descriptor: int, patience_s: float, place: Place) -> Turn:
    queue = Tickets(descriptor)
    try:
        number = queue.draw(time.monotonic() + patience_s)
        if number is None:
            return Turn(descriptor, held=False, alone=False)
        failpoints.hit("queue.after_ticket")
        start = queue.lowest()
        waited = queue.first_of(start, number) is not None
        if waited and not _queue_up(queue, start, number, patience_s, place):
            return Turn(descriptor, held=False, alone=False, ticket=number)
        alone = (start == 0 and not waited) or queue.first_of(0, number) is None
        return Turn(descriptor, held=True, alone=alone, ticket=number)
    except OSError:
        return Turn(descriptor, held=False, alone=False)


def _queue_up(queue: Tickets, start: int, number: int, patience_s: float, place: Place) -> bool:
    """Wait until nobody in front counts. Whoever is first in front and stays it for too long is passed over.

    False if there is nothing left to wait for before that.
    """
    place.take(number)
    first, since = -1, time.monotonic()
    while True:
        now = queue.first_of(max(start, queue.lowest()), number)
        if now is None:
            return True
        if now != first:
            first, since = now, time.monotonic()
        elif time.monotonic() - since > patience_s:
            queue.pass_over(now)
            continue
        if place.rest(min(_LOOK_EVERY_S * (number - now), _LONGEST_REST_S)):
            return False


class _LockWait:
    """Where the platform has no such tickets: one lock on the file, in no promised order.

    A blocking lock has no time limit, so a thread of its own does the blocking.
    """

    def __init__(self, descriptor: int, patience_s: float) -> None:
        self._descriptor = descriptor
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._got = threading.Event()
        self._blocked = False
        self._left = False

    def for_turn(self) -> Turn:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Turn(self._descriptor, held=True, alone=True)
        except BlockingIOError:
            self._block(lambda: fcntl.flock(self._descriptor, fcntl.LOCK_EX))
        except OSError:
            return Turn(self._descriptor, held=False, alone=False)
        seen, since = _read_note(self._descriptor), time.monotonic()
        while not self._got.wait(_LOCK_LOOK_EVERY_S):
            note = _read_note(self._descriptor)
            if note != seen:
                seen, since = note, time.monotonic()
            elif time.monotonic() - since > self._patience_s:
                return Turn(self._descriptor, held=False, alone=False)
        return Turn(self._descriptor, held=True, alone=True)

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

    def _close(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError:
            pass
        finally:
            descriptors.close(self._descriptor)
