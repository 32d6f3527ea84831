"""Leases: what a session leaves on its machine as proof of life, in `gitctx/leases/<session id>`.

The file says which process the session is tied to, on which host, in which boot and process space, and which instance
of the store issued it. Its modification time is the last heartbeat. Where a process holds the session, it also holds a
kernel lock on the file: flock(2), which belongs to the open file and is let go when its last holder is gone, however
that came about. A POSIX lock would be lost when any part of the process closed any handle on the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gitctx.format.documents import to_canonical_json
from gitctx.repository.disk import sync_folder
from gitctx.values import SessionId

_MAX_BYTES = 65536


class Lease(NamedTuple):
    """What a lease file says. `held` tells that a process was to hold its lock."""

    session: SessionId
    instance: str
    host_id: str
    boot_id: str
    pid_namespace: str
    pid: int
    process_started_at: str
    held: bool


class SeenLease(NamedTuple):
    """A lease as it was found: `locked` tells whether somebody holds its lock, `beat_at` when it last beat."""

    lease: Lease
    locked: bool
    beat_at: datetime


class Leases:
    """The leases below one store's working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "leases"
        self._folder = str(self.folder)

    def ids(self) -> list[SessionId]:
        """The sessions that have a lease here."""
        try:
            return [SessionId(name) for name in os.listdir(self.folder) if not name.startswith(".")]
        except OSError:
            return []

    def put(self, lease: Lease, at: datetime, *, durable: bool = False) -> int | None:
        """Issue a lease in one step, in place of an earlier one. With `held`: the open file that holds its lock.

        A durable one is on disk then: after a power cut it proves that its session is dead. Raises OSError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".new-{secrets.token_hex(6)}"
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, to_canonical_json(lease._asdict()))
            if lease.held:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            note_beat(descriptor, at)
            if durable:
                os.fsync(descriptor)
            os.rename(temporary, self.folder / lease.session)
            if durable:
                sync_folder(str(self.folder))
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        if lease.held:
            return descriptor
        os.close(descriptor)
        return None

    def read(self, session: str) -> SeenLease | None:
        """The lease of a session; None if there is none that can be read.

        The lock is tried (if a process was to hold it), never waited for; trying it disturbs neither its holder nor
        others who try.
        """
        if not is_file_name(session):
            return None
        try:
            descriptor = os.open(f"{self._folder}/{session}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fields: dict[str, Any] = json.loads(os.read(descriptor, _MAX_BYTES))
            lease = Lease(**{name: fields[name] for name in Lease._fields})
            if lease.session != session:
                return None
            beat_at = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
            return SeenLease(lease, lease.held and _is_locked(descriptor), beat_at)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return None
        finally:
            os.close(descriptor)

    def all(self) -> Iterator[SeenLease]:
        """Every lease that can be read."""
        for session in self.ids():
            seen = self.read(session)
            if seen is not None:
                yield seen

    def remove(self, session: str) -> None:
        """Take a lease away, if there is one."""
        if is_file_name(session):
            with suppress(OSError):
                os.unlink(self.folder / session)

    def is_at(self, session: str, descriptor: int) -> bool:
        """Whether an open file is still the lease that lies there."""
        try:
            here, there = os.fstat(descriptor), os.stat(self.folder / session)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def note_beat(lease: int | Path, at: datetime) -> None:
    """Note a heartbeat on a lease file, open or by path. Raises OSError."""
    os.utime(lease, (at.timestamp(), at.timestamp()))


def is_file_name(session: str) -> bool:
    """Whether a session id can name a file: ids come from callers and from what others pushed."""
    return session.isascii() and session.isalnum() and len(session) <= 64


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
