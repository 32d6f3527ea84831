"""Whether it is worth the while to look for maintenance that is due. Asked after writes, so it costs little."""

from __future__ import annotations

import fcntl
import os
import time

from gitctx.maintenance import thresholds as at
from gitctx.repository.disk import make_folders
from gitctx.repository.settled import PackList

LOCK = "gitctx/maintenance/lock"
"""The file that whoever maintains a store holds a kernel lock on."""
_OBJECT_IN_INDEX_BYTES = 28


def has_grown(path: str) -> bool:
    """Whether the fresh packs of the store at `path` are past a threshold, or nobody has looked for a day."""
    try:
        return _fresh_is_much(path) or time.time() - _looked_at(path) > at.DAY_S
    except OSError:
        return False


def is_under_way(path: str) -> bool:
    """Whether a program maintains the store at `path` now."""
    try:
        descriptor = os.open(f"{path}/{LOCK}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def note_looked(path: str) -> None:
    """Somebody has looked now. Raises OSError."""
    folder = f"{path}/gitctx/maintenance"
    make_folders(folder, durable=False)
    with open(f"{folder}/looked", "ab"):
        os.utime(f"{folder}/looked")


def _fresh_is_much(path: str) -> bool:
    settled = PackList(path, "settled").read()
    packs, index_bytes, pack_bytes = 0, 0, 0
    with os.scandir(f"{path}/objects/pack") as entries:
        for entry in entries:
            name, _, kind = entry.name.partition(".")
            if name in settled or kind not in ("idx", "pack"):
                continue
            try:
                size = entry.stat().st_size
            except FileNotFoundError:
                continue
            if kind == "idx":
                packs, index_bytes = packs + 1, index_bytes + size
            else:
                pack_bytes += size
    objects = index_bytes // _OBJECT_IN_INDEX_BYTES
    return packs >= at.FRESH_PACKS or objects >= at.FRESH_OBJECTS or pack_bytes >= at.FRESH_BYTES


def _looked_at(path: str) -> float:
    for place in ("gitctx/maintenance/looked", "HEAD"):
        try:
            return os.stat(f"{path}/{place}").st_mtime
        except FileNotFoundError:
            continue
    return time.time()
