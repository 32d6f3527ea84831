"""Reflogs: what each ref held, line by line. Ours and git's are one file, in git's format.

The log of a branch stays open between writes. One `stat` tells whether it is still that file and as it was when we last
read or wrote it; then its last line is known, and known to be whole.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import NamedTuple

from gitctx.repository.disk import Stamp, make_folders, stamp_of, write_all

NO_OBJECT = "0" * 40
_LINE = re.compile(rb"\0*([0-9a-f]{40}) ([0-9a-f]{40}) (.*?) \d+ [+-]\d{4}(?:\t(.*))?")
_MOVED = rb"(?m)^\0*%s [0-9a-f]{40} .*? (\d+) [+-]\d{4}(?:\t|$)"
_MOST_BYTES = 262144
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


class LogLine(NamedTuple):
    """One line of a reflog."""

    old: str
    new: str
    who: str
    message: str


class _OpenLog:
    """An open log, and what was known of it when it had `stamp`: its last line, and that it ends with a whole one."""

    __slots__ = ("_close", "descriptor", "known")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._close = os.close
        self.known: tuple[Stamp, LogLine] | None = None

    def __del__(self) -> None:
        self._close(self.descriptor)


class Reflogs:
    """The reflogs of the repository at `root`. Safe in threads and after a fork."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: dict[str, tuple[tuple[int, int], _OpenLog]] = {}

    def append(self, name: str, line: LogLine, at_s: int) -> int:
        """Append a line, after dropping a torn one; the size of the file before, to undo it. Raises OSError.

        Only for the holder of the ref's lock.
        """
        log, stamp = self._log(name, create=True)
        size = stamp[2]
        data = f"{line.old} {line.new} {line.who} {at_s} +0000\t{line.message}\n".encode()
        if log.known is None or log.known[0] != stamp:
            whole = _end_of_last_line(log.descriptor, size)
            if whole < size:
                size = whole
                os.ftruncate(log.descriptor, size)
        log.known = None
        try:
            write_all(log.descriptor, data)
        except OSError:
            os.ftruncate(log.descriptor, size)
            raise
        with suppress(OSError):
            log.known = (stamp_of(os.fstat(log.descriptor)), line)
        return size

    def undo(self, name: str, size: int) -> None:
        """Take back what `append` did. Only for the holder of the ref's lock. Raises OSError."""
        os.truncate(self._path(name), size)

    def last_line(self, name: str) -> LogLine | None:
        """The last line of a ref's reflog; None if there is none. A torn or foreign line is passed over."""
        try:
            log, stamp = self._log(name, create=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if log.known is not None and log.known[0] == stamp:
            return log.known[1]
        size, length = stamp[2], 512
        while True:
            start = max(0, size - length)
            data = os.pread(log.descriptor, size - start, start)
            lines = data.split(b"\n")
            for line in reversed(lines[1:] if start else lines):
                parsed = _parse(line)
                if parsed is not None:
                    if data.endswith(b"\n") and line is lines[-2]:
                        log.known = (stamp, parsed)
                    return parsed
            if start == 0 or length >= _MOST_BYTES:
                return None
            length *= 8

    def tail(self, name: str, max_bytes: int = _MOST_BYTES) -> list[LogLine]:
        """The last lines of a ref's reflog, oldest first. A torn or foreign line is left out."""
        try:
            with open(self._path(name), "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - max_bytes))
                lines = file.read().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        if size > max_bytes:
            lines = lines[1:]
        return [parsed for parsed in map(_parse, lines) if parsed is not None]

    def moved_at_s(self, name: str, away_from: str | None = None) -> int | None:
        """When a ref last moved (away from a value), in seconds since 1970; None if its reflog doesn't tell."""
        try:
            with open(self._path(name), "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        found = re.findall(_MOVED % (away_from or "[0-9a-f]{40}").encode("ascii"), data)
        return int(found[-1]) if found else None

    def _path(self, name: str) -> str:
        return f"{self._root}/logs/{name}"

    def _log(self, name: str, *, create: bool) -> tuple[_OpenLog, Stamp]:
        """The log as it is now, opened."""
        path = self._path(name)
        known = self._open.get(name)
        if known is not None:
            try:
                stamp = stamp_of(os.stat(path))
                if stamp[:2] == known[0]:
                    return known[1], stamp
            except (FileNotFoundError, NotADirectoryError):
                if not create:
                    raise
            self._open.pop(name, None)
        if not create:
            return self._opened_to_read(name, path)
        try:
            descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o644)
        except (FileNotFoundError, NotADirectoryError):
            make_folders(os.path.dirname(path), durable=False)
            descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o644)
        return self._keep(name, descriptor)

    def _opened_to_read(self, name: str, path: str) -> tuple[_OpenLog, Stamp]:
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
                raise
            log = _OpenLog(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            return log, stamp_of(os.fstat(log.descriptor))
        return self._keep(name, descriptor)

    def _keep(self, name: str, descriptor: int) -> tuple[_OpenLog, Stamp]:
        log = _OpenLog(descriptor)
        stamp = stamp_of(os.fstat(descriptor))
        if name.startswith("refs/heads/"):
            self._open[name] = (stamp[:2], log)
        return log, stamp


def _parse(line: bytes) -> LogLine | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    old, new, who, message = (part.decode("utf-8", "replace") for part in match.groups(b""))
    return LogLine(old, new, who, message)


def _end_of_last_line(descriptor: int, size: int) -> int:
    end, length = size, 1
    while end:
        start = max(0, end - length)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end, length = start, 65536
    return 0
