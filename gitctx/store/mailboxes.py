"""Mailboxes: where those who wait in a writer queue say what they want, and are told when another writer has done it.

A mailbox is a file that belongs to one waiting writer. To wake that writer there is a socket with the file's name in
Linux's abstract name space, which leaves nothing behind. The file holds

    bytes 0 to 63     the request's head, by the owner: ticket, number, length, checksum, head of the branch
    bytes 64 to 79    the answer's head, by who holds the turn: number, length, checksum
    bytes 80 to 87    not zero: somebody has begun to make a request (or had, when the last one was asked for)
    from byte 96      the request, and behind it the answer

Everything in it is a hint. Whether a write was made is decided by the branch's history, in which its id is found; that
is why "begun" is written before anything is built. A head or a body that is torn has a wrong checksum and counts as
absent.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import select
import struct
import sys
import time
import weakref
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gitctx.repository import descriptors

if TYPE_CHECKING:
    import socket

AVAILABLE = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLKW")
_REQUEST = struct.Struct(">QQI40s")
_CHECKSUM = struct.Struct(">I")
_ANSWER = struct.Struct(">QII")
_BEGUN = struct.Struct(">Q")
_ANSWER_AT, _BEGUN_AT, _BODY_AT = 64, 80, 96
_FILES_OPEN = 64
_LONGEST_NAP_S = 0.003
_STALE_AGE_S = 2.0


class Asked(NamedTuple):
    """A request in somebody's mailbox. `begun`: another writer has begun to make it, on `head` or later."""

    name: str
    ticket: int
    number: int
    head: str
    begun: bool
    body: bytes


class OwnMailbox:
    """The mailbox of one writer of this process, made when it first has to wait. Used by one thread at a time."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._file = -1
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._number = 0
        self._length = 0
        self._open()

    def _open(self) -> None:
        import socket

        try:
            os.makedirs(self._folder, exist_ok=True)
            path = os.path.join(self._folder, self._name)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = descriptors.hold(os.open(path, flags, 0o600))
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            bell.bind(_address(self._name))
            bell.setblocking(False)
            self._poll.register(bell, select.POLLIN)
            self._socket = bell
        except OSError:
            self._socket = None
        self._finalizer = weakref.finalize(self, _remove, self._folder, self._name, self._file, os.getpid())

    def ask(self, ticket: int, head: str, body: bytes) -> None:
        """Say what is wanted from whoever holds the turn; an empty body asks only to be woken."""
        self._number += 1
        self._length = len(body)
        if self._socket is None:
            return
        self._drain(self._socket)
        request = _REQUEST.pack(ticket + 1, self._number, len(body), head.encode("ascii"))
        start = request + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(request)))
        with suppress(OSError):
            os.pwrite(self._file, start.ljust(_BODY_AT, b"\0") + body, 0)

    def rest(self, seconds: float) -> bool:
        """Sleep so long at most, less if somebody rings; whether there is an answer."""
        if self._socket is None:
            time.sleep(min(seconds, _LONGEST_NAP_S))
            return False
        try:
            if self._poll.poll(max(1, int(seconds * 1000))):
                self._socket.recv(16)
        except (InterruptedError, BlockingIOError):
            pass
        except OSError:
            time.sleep(min(seconds, _LONGEST_NAP_S))
        return self._length > 0 and self.answer() is not None

    def answer(self) -> bytes | None:
        """The answer to the last request, if there is one."""
        try:
            number, length, checksum = _ANSWER.unpack(os.pread(self._file, _ANSWER.size, _ANSWER_AT))
            if number != self._number:
                return None
            body = os.pread(self._file, length, _BODY_AT + self._length)
        except (OSError, struct.error):
            return None
        return body if len(body) == length and zlib.crc32(body) == checksum else None

    def withdraw(self) -> bool:
        """Take the request back; whether somebody had begun to make it."""
        if self._socket is None:
            return False
        try:
            os.pwrite(self._file, b"\0" * _ANSWER_AT, 0)
            return self._length > 0 and os.pread(self._file, _BEGUN.size, _BEGUN_AT).strip(b"\0") != b""
        except OSError:
            return self._length > 0

    def _drain(self, bell: socket.socket) -> None:
        """Forget who rang for the request before."""
        with suppress(OSError):
            while True:
                bell.recv(16)

    def close(self) -> None:
        """Remove it."""
        self._finalizer()
        if self._socket is not None:
            self._socket.close()


class Mailboxes:
    """The mailboxes of all who wait for one branch, as the holder of the turn sees them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}
        self._bell: socket.socket | None = None
        weakref.finalize(self, _close_all, self._files)

    def waiting(self, own: int) -> list[Asked]:
        """Who waits, without what they want, in the order of their tickets; not the writer whose ticket is `own`."""
        return self._all(own, bodies=False)

    def asked(self, own: int) -> list[Asked]:
        """What the others want and wasn't answered yet, in the order of their tickets."""
        return [asked for asked in self._all(own, bodies=True) if asked.body]

    def _all(self, own: int, *, bodies: bool) -> list[Asked]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        found = [asked for name in names if (asked := self._read(name, own, bodies))]
        if len(self._files) > len(names):
            for name in self._files.keys() - set(names):
                self._forget(name)
        return sorted(found, key=lambda asked: asked.ticket)

    def _read(self, name: str, own: int, bodies: bool) -> Asked | None:
        try:
            file = self._file(name)
            start = os.pread(file, _BODY_AT, 0)
            if len(start) < _BODY_AT:
                return None
            ticket, number, length, head = _REQUEST.unpack_from(start)
            if ticket in (0, own + 1) or (length and _ANSWER.unpack_from(start, _ANSWER_AT)[0] == number):
                return None
            if not bodies:
                return Asked(name, ticket - 1, number, "", False, b"")
            body = os.pread(file, length, _BODY_AT)
        except OSError:
            return None
        (checksum,) = _CHECKSUM.unpack_from(start, _REQUEST.size)
        if checksum != zlib.crc32(body, zlib.crc32(start[: _REQUEST.size])):
            return None
        begun = start[_BEGUN_AT:_BODY_AT].strip(b"\0") != b""
        return Asked(name, ticket - 1, number, head.decode("ascii", "replace"), begun, body)

    def begin(self, asked: Asked) -> bool:
        """Say that this request is going to be made; whether it still stands.

        Its owner withdraws it before it looks whether somebody has begun, and we begin before we look whether it is
        withdrawn: so at least one of both sees the other.
        """
        try:
            file = self._file(asked.name)
            os.pwrite(file, _BEGUN.pack(asked.number), _BEGUN_AT)
            ticket, number, _, _ = _REQUEST.unpack(os.pread(file, _REQUEST.size, 0))
        except (OSError, struct.error):
            return False
        return (ticket, number) == (asked.ticket + 1, asked.number)

    def answer(self, asked: Asked, body: bytes) -> None:
        """Answer a request, and wake who made it."""
        try:
            file = self._file(asked.name)
            os.pwrite(file, body, _BODY_AT + len(asked.body))
            os.pwrite(file, _ANSWER.pack(asked.number, len(body), zlib.crc32(body)), _ANSWER_AT)
        except OSError:
            return
        self.ring(asked)

    def ring(self, asked: Asked) -> bool:
        """Wake the owner of a mailbox; whether there is one."""
        import socket

        try:
            if self._bell is None:
                self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._bell.setblocking(False)
            self._bell.sendto(b"!", _address(asked.name))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def sweep(self) -> None:
        """Remove the mailboxes of the dead. Their owners' locks tell."""
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                if time.time() - entry.stat().st_mtime < _STALE_AGE_S:
                    continue
                file = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(self._folder, entry.name, -1, os.getpid())
                except OSError:
                    continue
                finally:
                    os.close(file)

    def _file(self, name: str) -> int:
        file = self._files.get(name)
        if file is None:
            if len(self._files) >= _FILES_OPEN:
                self._forget(next(iter(self._files)))
            file = os.open(os.path.join(self._folder, name), os.O_RDWR | os.O_CLOEXEC)
            self._files[name] = file
        return file

    def _forget(self, name: str) -> None:
        os.close(self._files.pop(name))

    def close(self) -> None:
        """Let go of all files."""
        _close_all(self._files)
        if self._bell is not None:
            self._bell.close()
            self._bell = None


def _address(name: str) -> bytes:
    return b"\0gitctx/" + name.encode("ascii", "replace")


def _remove(folder: str, name: str, file: int, pid: int) -> None:
    """Remove a mailbox; a forked child doesn't remove its parent's."""
    if pid == os.getpid():
        with suppress(OSError):
            os.unlink(f"{folder}/{name}")
        descriptors.close(file)


def _close_all(files: dict[str, int]) -> None:
    while files:
        os.close(files.popitem()[1])
