"""The writer queue of one branch on one machine: fair, first come first served, and freed by the kernel.

It only saves lost races: a write that waits too long goes ahead without a turn, and compare-and-swap decides as always.

One file holds the next ticket number and a note (the head that gitctx published last, and the head last known to be on
disk). A writer draws a ticket under a short lock, locks the byte of its ticket, and waits until nobody holds the byte
of a lower one. These are open-file-description locks: whoever dies, at whatever moment, lets go of its byte. Where the
platform has none, one flock on the file serves instead (no order promised).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gitctx import failpoints

_TICKETS = 1 << 20
_GATE = 1 << 61
_NOTE_AT = 16
_NOTE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40})\n")
_HAS_TICKETS = hasattr(fcntl, "F_OFD_SETLKW")
_BUSY = {errno.EAGAIN, errno.EACCES}


class Note(NamedTuple):
    """What the last writer knew: the head it published, and the head that was on disk then. None: nothing is known."""

    published: str | None
    durable: str | None


class Turn:
    """One place in the queue. `held` tells whether it is really our turn, or patience ran out."""

    def __init__(self, descriptor: int, *, held: bool) -> None:
        self._descriptor = descriptor
        self.held = held

    def note(self) -> Note:
        """What the last writer left. A note that is torn or can't be read counts as none."""
        if self._descriptor < 0:
            return Note(None, None)
        try:
            match = _NOTE.fullmatch(os.pread(self._descriptor, 82, _NOTE_AT))
        except OSError:
            match = None
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
        """Wait for one's turn, at most `patience_s`; the block runs either way. Raises nothing of its own."""
        descriptor = self._open()
        if descriptor < 0:
            yield Turn(-1, held=False)
            return
        wait = _Wait(descriptor, time.monotonic() + patience_s)
        try:
            held = wait.for_ticket() if _HAS_TICKETS else wait.for_flock()
            failpoints.hit("queue.after_acquire")
            yield Turn(descriptor, held=held)
        finally:
            wait.leave()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(self._path, flags, 0o644)
            except OSError:
                return -1
        except OSError:
            return -1


def _range_lock(descriptor: int, command: int, kind: int, start: int, length: int) -> bool:
    try:
        fcntl.fcntl(descriptor, command, struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


class _Wait:
    """The wait of one writer. A blocking lock has no time limit, so a thread of its own does the blocking."""

    def __init__(self, descriptor: int, deadline: float) -> None:
        self._descriptor = descriptor
        self._deadline = deadline
        self._guard = threading.Lock()
        self._blocked = False
        self._left = False

    def for_ticket(self) -> bool:
        """Draw a ticket and wait until all lower ones are given back; whether it is our turn."""
        try:
            ticket = self._draw()
            if ticket is None:
                return False
            failpoints.hit("queue.after_ticket")
            if ticket == 0 or _range_lock(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, _TICKETS, ticket):
                return True
            return self._block(
                lambda: _range_lock(self._descriptor, fcntl.F_OFD_SETLKW, fcntl.F_RDLCK, _TICKETS, ticket)
            )
        except OSError:
            return False

    def for_flock(self) -> bool:
        """Wait for the one lock on the file; whether it is our turn."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in _BUSY:
                return False

        return self._block(lambda: fcntl.flock(self._descriptor, fcntl.LOCK_EX))

    def _draw(self) -> int | None:
        while not _range_lock(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, _GATE, 1):
            if time.monotonic() > self._deadline:
                return None
            time.sleep(0.0002)
        raw = os.pread(self._descriptor, 8, 0)
        ticket = int.from_bytes(raw, "big") if len(raw) == 8 else 0
        ticket %= 1 << 40
        while not _range_lock(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, _TICKETS + ticket, 1):
            ticket += 1
        os.pwrite(self._descriptor, (ticket + 1).to_bytes(8, "big"), 0)
        _range_lock(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, _GATE, 1)
        return ticket

    def _block(self, lock: Callable[[], object]) -> bool:
        got = threading.Event()

        def run() -> None:
            try:
                lock()
                got.set()
            except OSError:
                pass
            with self._guard:
                self._blocked = False
                if self._left:
                    self._close()

        self._blocked = True
        threading.Thread(target=run, name="gitctx-queue", daemon=True).start()
        return got.wait(max(0.0, self._deadline - time.monotonic()))

    def leave(self) -> None:
        """Give the place back. A thread that still blocks on the descriptor closes it when it wakes."""
        with self._guard:
            self._left = True
            if not self._blocked:
                self._close()
                return
        try:
            if _HAS_TICKETS:
                _range_lock(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, 0, 0)
        except OSError:
            return

    def _close(self) -> None:
        try:
            if _HAS_TICKETS:
                _range_lock(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, 0, 0)
        except OSError:
            pass
        finally:
            os.close(self._descriptor)
