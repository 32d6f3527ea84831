"""The circuit breaker of a store: while it is paused, no watcher of it on this machine is told anything.

A working file says so, `gitctx/sync.paused`: a JSON object with `paused_at`, `actor`, `session`, `message`. That it is
there is what counts, whatever is in it.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitctx.format.documents import format_time, parse_time
from gitctx.format.keys import check_actor, check_message
from gitctx.repository.disk import make_folders, unlink_quietly
from gitctx.repository.translate import translated
from gitctx.values import SessionId, SyncPause

if TYPE_CHECKING:
    from datetime import datetime

FILE = "gitctx/sync.paused"


def pause(path: Path, *, actor: str, at: datetime, session: str | None = None, message: str = "") -> SyncPause:
    """Silence the watchers of the store at `path`, within a second. If they are already: that pause stays as it is.

    Raises InvalidName, InvalidInput, StoreReadOnly, DiskFull, StorageError.
    """
    check_actor(actor)
    record = {"paused_at": format_time(at), "actor": actor, "session": session, "message": check_message(message)}
    target = path / FILE
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    with translated(path):
        make_folders(str(target.parent), durable=False)
        temporary.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
        try:
            if not target.exists():
                os.replace(temporary, target)
        finally:
            unlink_quietly(str(temporary))
    return paused(path) or SyncPause(at, actor, SessionId(session) if session else None, message)


def resume(path: Path) -> SyncPause | None:
    """Let watchers go on from where they were: the pause that this ended, None if there was none.

    Raises StoreReadOnly, StorageError.
    """
    found = paused(path)
    with translated(path), suppress(FileNotFoundError):
        os.unlink(path / FILE)
    return found


def is_paused(path: Path) -> bool:
    """Whether the watchers of the store at `path` are silenced: one look at a name, about 2 µs."""
    return os.path.exists(f"{path}/{FILE}")


def paused(path: Path) -> SyncPause | None:
    """The pause of the store at `path`; None without one. What can't be read of it is left empty."""
    try:
        data = (path / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        data = b""
    try:
        record = json.loads(data)
        session = record["session"]
        return SyncPause(
            parse_time(record["paused_at"]),
            str(record["actor"]),
            SessionId(str(session)) if session is not None else None,
            str(record["message"]),
        )
    except (ValueError, TypeError, KeyError):
        return SyncPause(None, "", None, "")
