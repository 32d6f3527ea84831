"""Tickets in a file: numbers in order of arrival, each a byte that its holder locks, freed by the kernel.

Open-file-description locks, so that threads queue like processes, a forked child takes nothing over, and whoever dies
lets go at once. The file holds the next number (bytes 0 to 7) and the lowest number that still counts (bytes 8 to 15):
tickets below that were passed over because their holders didn't move.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

AVAILABLE = hasattr(fcntl, "F_OFD_SETLKW")
_FIRST = 1 << 20
_GATE = 1 << 61
_FLOCK = struct.Struct("hhqqi")
_BUSY = {errno.EAGAIN, errno.EACCES}
_LONGEST_NAP_S = 0.005


class Tickets:
    """The tickets of one open queue file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def draw(self, deadline: float) -> int | None:
        """The next number, its byte locked; None if the short lock around drawing can't be had until `deadline`."""
        nap = 0.0001
        while not self._lock(fcntl.F_WRLCK, _GATE, 1):
            if time.monotonic() > deadline:
                return None
            time.sleep(nap)
            nap = min(2 * nap, _LONGEST_NAP_S)
        number = self._next()
        while not self._lock(fcntl.F_WRLCK, _FIRST + number, 1):
            number += 1
        os.pwrite(self._descriptor, (number + 1).to_bytes(8, "big"), 0)
        self._lock(fcntl.F_UNLCK, _GATE, 1)
        return number

    def lowest(self) -> int:
        """The lowest number that counts."""
        raw = os.pread(self._descriptor, 16, 0)
        lowest = _number(raw[8:])
        return lowest if lowest <= _number(raw[:8]) else 0

    def pass_over(self, number: int) -> None:
        """Let tickets up to this number count no longer."""
        os.pwrite(self._descriptor, (number + 1).to_bytes(8, "big"), 8)

    def first_of(self, start: int, number: int) -> int | None:
        """The lowest ticket from `start` and below `number` that is held; None if there is none."""
        first = None
        end = number
        while end > start:
            query = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, _FIRST + start, end - start, 0)
            answer = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, query)
            kind, _, position, _, _ = _FLOCK.unpack(answer)
            if kind == fcntl.F_UNLCK:
                break
            first = end = max(start, position - _FIRST)
        return first

    def drawn_since(self, number: int) -> int:
        """How many tickets were drawn after this one."""
        return max(0, self._next() - number - 1)

    def is_held(self, number: int) -> bool:
        """Whether somebody else holds this ticket."""
        return self.first_of(number, number + 1) is not None

    def give_back(self) -> None:
        """Let go of every byte, whoever else has the file open."""
        self._lock(fcntl.F_UNLCK, 0, 0)

    def _next(self) -> int:
        return _number(os.pread(self._descriptor, 8, 0))

    def _lock(self, kind: int, start: int, length: int) -> bool:
        try:
            request = _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, request)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        return True


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "big") % (1 << 40) if len(raw) == 8 else 0
