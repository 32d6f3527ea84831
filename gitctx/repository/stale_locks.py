"""Lock files that a killed program left. Which ones may be cleared is a question of whose they are and of their age."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from gitctx.repository.disk import raise_unless_gone
from gitctx.repository.refs import FOREIGN_LOCK_AGE_S, Refs
from gitctx.values import Finding

_LONG_AGE_S = 3600.0
_LONG = ("gc.pid", "multi-pack-index.lock", "commit-graph.lock", "commit-graph-chain.lock", "maintenance.lock")
"""Git may hold these for minutes, while it writes large files."""
_PLACES = ("refs", "logs")
_FOLDERS = (".", "objects", "objects/info", "objects/info/commit-graphs", "objects/pack")


def look(path: Path, own_inodes: frozenset[int]) -> Iterator[tuple[Path, Finding]]:
    """The locks that may be cleared now. `own_inodes` are the files that gitctx's own locks are links to."""
    for lock in _locks(path):
        try:
            status = lock.stat()
            if status.st_ino in own_inodes:
                if _is_held(lock):
                    continue
            elif not (_maker_is_gone(lock) or time.time() - status.st_mtime > _patience_s(lock)):
                continue
        except FileNotFoundError:
            continue
        name = lock.relative_to(path).as_posix()
        yield lock, Finding("stale_lock", name, f"{name} was left behind by a program that was killed")


def clear(refs: Refs, lock: Path, *, alone: bool) -> bool:
    """Remove a lock that may be cleared; whether it is gone. `alone`: the caller has the writer queue to itself."""
    if lock.name == "gc.pid":
        lock.unlink(missing_ok=True)
        return True
    return refs.clear_stale_lock(lock, alone=alone)


def clear_all(refs: Refs, *, alone: bool) -> list[str]:
    """Remove every lock that may be cleared; their paths in the store. `alone` as for `clear`."""
    stale = list(look(refs.path, own_inodes(refs.path)))
    return [found.subject for lock, found in stale if clear(refs, lock, alone=alone)]


def own_inodes(path: Path) -> frozenset[int]:
    """The inode numbers of gitctx's own lock files."""
    try:
        return frozenset(entry.inode() for entry in os.scandir(path / "gitctx" / "locks"))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _locks(path: Path) -> Iterator[Path]:
    for place in _PLACES:
        for folder, _, names in os.walk(path / place, onerror=raise_unless_gone):
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".lock"))
    for place in _FOLDERS:
        try:
            names = sorted(os.listdir(path / place))
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield from (path / place / name for name in names if name.endswith(".lock") or name == "gc.pid")


def _patience_s(lock: Path) -> float:
    return _LONG_AGE_S if lock.name in _LONG else FOREIGN_LOCK_AGE_S


def _is_held(lock: Path) -> bool:
    """Whether the maker of a lock of gitctx's own still holds the kernel lock on it."""
    import fcntl

    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _maker_is_gone(lock: Path) -> bool:
    """Whether `gc.pid` names a process of this host that isn't there any more."""
    if lock.name != "gc.pid":
        return False
    words = lock.read_bytes().split()
    if len(words) != 2 or not words[0].isdigit() or words[1].decode("ascii", "replace") != socket.gethostname():
        return False
    try:
        os.kill(int(words[0]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
