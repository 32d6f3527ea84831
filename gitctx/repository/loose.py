"""Loose objects: read by ourselves, because libgit2 (1.9.7) never comes back from one that was cut off.

A store has hardly any: only other git programs write them. So the folders that could hold one are known, and looked for
again when the folder above has changed.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress

from gitctx.format.objects import Object

_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
_TICK_NS = 50_000_000


class LooseObjects:
    """The objects below `objects_dir` that are files of their own. Safe in threads."""

    def __init__(self, objects_dir: str) -> None:
        self._dir = objects_dir
        self._stamp: tuple[int, int] | None = None
        self._folders: frozenset[str] = frozenset()

    def read(self, oid: str) -> tuple[int, bytes] | None:
        """Kind (as libgit2 counts them) and bytes of an object; None if there is none.

        Raises ValueError for one that is torn, OSError.
        """
        self._look()
        if oid[:2] not in self._folders:
            return None
        try:
            with open(f"{self._dir}/{oid[:2]}/{oid[2:]}", "rb") as file:
                packed = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            header, _, data = zlib.decompress(packed).partition(b"\0")
            kind, size = header.split(b" ")
            if int(size) != len(data):
                raise ValueError(f"{len(data)} bytes instead of {int(size)}")
            return _KINDS[kind], data
        except (zlib.error, KeyError, ValueError) as error:
            raise ValueError(f"its file is torn ({error})") from error

    def remove_torn(self, objects: Sequence[Object]) -> None:
        """Remove torn files of objects that a pack has whole: git would go on complaining about them."""
        self._look()
        for item in objects:
            if item.oid[:2] in self._folders:
                path = f"{self._dir}/{item.oid[:2]}/{item.oid[2:]}"
                with suppress(FileNotFoundError), open(path, "rb") as file:
                    if not _intact(file.read(), item):
                        os.unlink(path)

    def _look(self) -> None:
        """See which folders there are, unless nothing changed. A change within one tick of the file system's clock
        can't be told from the one before, so a young time stamp isn't relied upon.
        """
        try:
            status = os.stat(self._dir)
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp != self._stamp:
                self._folders = frozenset(name for name in os.listdir(self._dir) if len(name) == 2)
                self._stamp = stamp if time.time_ns() - status.st_mtime_ns > _TICK_NS else None
        except OSError:
            self._folders, self._stamp = frozenset(), None


def _intact(data: bytes, item: Object) -> bool:
    try:
        return zlib.decompress(data) == b"%s %d\0%s" % (item.kind.encode(), len(item.data), item.data)
    except zlib.error:
        return False
