"""Lists of packs that the merging of small packs leaves alone, below `gitctx/maintenance/`:

    settled     made by maintenance, with deltas
    reserved    being read by a git command of maintenance; an old list is that of one that was killed

Both are disposable. Without the first every pack counts as fresh, and the next maintenance goes over it once more.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable

from gitctx.repository.disk import make_folders, unlink_quietly

_NAME = re.compile(r"pack-[0-9a-f]{40}")
_LONGEST_READ_S = 3600.0


class PackList:
    """One list, of the repository at `path`. Names are those of packs, without extension."""

    def __init__(self, path: str, which: str) -> None:
        self._folder = f"{path}/gitctx/maintenance"
        self._path = f"{self._folder}/{which}"

    def read(self) -> frozenset[str]:
        """The names. A list that can't be read is an empty one."""
        try:
            with open(self._path, encoding="ascii") as file:
                return frozenset(_NAME.findall(file.read()))
        except (OSError, ValueError):
            return frozenset()

    def write(self, names: Iterable[str]) -> None:
        """Replace the list. Raises OSError."""
        temporary = f"{self._folder}/work-{secrets.token_hex(8)}"
        make_folders(self._folder, durable=False)
        try:
            with open(temporary, "x", encoding="ascii") as file:
                file.write("".join(f"{name}\n" for name in sorted(names)))
            os.rename(temporary, self._path)
        except BaseException:
            unlink_quietly(temporary)
            raise

    def remove(self) -> None:
        """Remove the list, if there is one."""
        unlink_quietly(self._path)

    def is_young(self) -> bool:
        """Whether the list is there and was written in the last hour."""
        try:
            return time.time() - os.stat(self._path).st_mtime < _LONGEST_READ_S
        except OSError:
            return False


def left_alone(path: str) -> frozenset[str]:
    """The packs that are on either list."""
    reserved = PackList(path, "reserved")
    settled = PackList(path, "settled").read()
    return settled | reserved.read() if reserved.is_young() else settled
