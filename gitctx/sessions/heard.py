"""When this store last heard of sessions that beat elsewhere: `gitctx/heard/<session>`.

Clocks of other hosts prove nothing here. So what counts is when a newer heartbeat of a session came in, on this host's
clock: the file holds the heartbeat as its host told it, and its modification time is when that was first seen here.
Disposable: without it the silence of a session counts from when it is next heard of.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gitctx.format.documents import format_time
from gitctx.sessions.leases import is_file_name
from gitctx.values import SessionId, SessionRecord

_MAX_BYTES = 64


class Heard(NamedTuple):
    """The last heartbeat that was heard of: what its host says, and when it came in here."""

    beat: str
    at: datetime


class HeardBeats:
    """What was heard, below one store's working folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "heard"

    def ids(self) -> list[SessionId]:
        """The sessions that were heard of."""
        try:
            return [SessionId(name) for name in os.listdir(self._folder) if not name.startswith(".")]
        except OSError:
            return []

    def read(self, session: str) -> Heard | None:
        """What was heard of a session; None if nothing was."""
        if not is_file_name(session):
            return None
        try:
            descriptor = os.open(self._folder / session, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            text = os.read(descriptor, _MAX_BYTES).decode("ascii", "replace")
            return Heard(text, datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC))
        except (OSError, OverflowError, ValueError):
            return None
        finally:
            os.close(descriptor)

    def note(self, records: Iterable[SessionRecord], at: datetime) -> None:
        """Note what records say that came in now. Raises OSError."""
        for record in records:
            if not is_file_name(record.id):
                continue
            if record.ended_at is not None:
                self.forget(record.id)
                continue
            beat = format_time(record.last_beat_at or record.started_at)
            known = self.read(record.id)
            if known is None or known.beat != beat:
                self._write(record.id, beat, at)

    def forget(self, session: str) -> None:
        """Nothing is to be heard of a session any more."""
        with suppress(OSError):
            os.unlink(self._folder / session)

    def _write(self, session: str, beat: str, at: datetime) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".new-{secrets.token_hex(6)}"
        temporary.write_text(beat, encoding="ascii")
        os.utime(temporary, (at.timestamp(), at.timestamp()))
        os.replace(temporary, self._folder / session)
