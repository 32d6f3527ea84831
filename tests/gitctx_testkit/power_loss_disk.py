"""What a power loss may leave of a recording, if the disk keeps no more than it has to.

A file's bytes are there for certain when they were synced, a folder's names when the folder was. Of the rest anything
may be there: names in any order, whichever folder they are in, bytes without those before them, zeros in their place.
A rename is there or not as a whole, and there for certain when the folder that it goes into was synced.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from gitctx_testkit.power_loss_recording import ROOT, Data, Names, Recording, Sync

Loss = Literal["all unsynced", "nothing", "unsynced bytes", "unsynced bytes in part", "a bit of everything"]
LOSSES: tuple[Loss, ...] = (
    "all unsynced",
    "nothing",
    "unsynced bytes",
    "unsynced bytes in part",
    "a bit of everything",
)
_LONG_AGO_S = 1_700_000_000
"""Time stamp of all that is laid down: a machine takes longer to start again than any lock is respected."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left: folders with their names, files with their bytes."""

    folders: Mapping[int, Mapping[str, int]]
    files: Mapping[int, bytes]

    def digest(self) -> bytes:
        """Equal for equal remains."""
        found = hashlib.sha1(usedforsecurity=False)
        for path, node in self._walk(ROOT, ""):
            found.update(b"%s\0%d\0%s\0" % (os.fsencode(path), node, self.files.get(node, b"/")))
        return found.digest()

    def lay_down(self, place: Path) -> None:
        """Make the folder `place` with all of it."""
        place.mkdir()
        first: dict[int, str] = {}
        for path, node in self._walk(ROOT, str(place)):
            if node in self.folders:
                os.mkdir(path)
            elif node in first:
                os.link(first[node], path)
            else:
                first[node] = path
                with open(path, "wb") as file:
                    file.write(self.files[node])
                os.utime(path, (_LONG_AGO_S, _LONG_AGO_S))

    def _walk(self, folder: int, path: str) -> Iterator[tuple[str, int]]:
        for name, node in sorted(self.folders[folder].items()):
            yield f"{path}/{name}", node
            if node in self.folders:
                yield from self._walk(node, f"{path}/{name}")


@dataclass(slots=True)
class _File:
    synced: bytes = b""
    unsynced: list[tuple[int, Data]] = field(default_factory=list)


class Disk:
    """A disk on its way through a recording."""

    def __init__(self, recording: Recording) -> None:
        self._operations = recording.operations
        self._done = 0
        self._synced: dict[int, dict[str, int]] = {folder: {} for folder in recording.folders}
        self._unsynced: list[tuple[int, Names]] = []
        self._files: dict[int, _File] = {}

    def go_to(self, point: int) -> None:
        """Take part in the operations up to that number. There is no way back."""
        for number in range(self._done, point):
            operation = self._operations[number]
            if isinstance(operation, Names):
                self._unsynced.append((number, operation))
            elif isinstance(operation, Data):
                self._files.setdefault(operation.file, _File()).unsynced.append((number, operation))
            elif isinstance(operation, Sync):
                self._sync(operation)
        self._done = point

    def _sync(self, sync: Sync) -> None:
        files = self._files.items() if sync.node is None else [(sync.node, self._files.get(sync.node, _File()))]
        for _, file in files:
            file.synced = _written(file.synced, (data for number, data in file.unsynced if number < sync.covers))
            file.unsynced = [item for item in file.unsynced if item[0] >= sync.covers]
        left = []
        for number, names in self._unsynced:
            if number < sync.covers and sync.node in (None, names.changes[-1][0]):
                _rename(self._synced, names)
            else:
                left.append((number, names))
        self._unsynced = left

    def after(self, loss: Loss, random: Random) -> Remains:
        """What is left if the power goes now."""
        folders = {folder: dict(names) for folder, names in self._synced.items()}
        for _, names in self._unsynced:
            if loss != "all unsynced" and (loss != "a bit of everything" or random.random() < 0.6):
                _rename(folders, names)
        reached = {node for names in folders.values() for node in names.values()} - folders.keys()
        files = {node: self._bytes(self._files.get(node, _File()), loss, random) for node in sorted(reached)}
        return Remains(folders, files)

    def _bytes(self, file: _File, loss: Loss, random: Random) -> bytes:
        unsynced = [data for _, data in file.unsynced]
        if loss == "nothing":
            return _written(file.synced, unsynced)
        if loss in ("all unsynced", "unsynced bytes") or not unsynced:
            return file.synced
        way = random.choice(("cut", "zeros", "holes", *(("all", "none") if loss == "a bit of everything" else ())))
        if way == "none":
            return file.synced
        whole = _written(file.synced, unsynced)
        if way == "zeros":
            return file.synced[: len(whole)] + bytes(max(0, len(whole) - len(file.synced)))
        if way == "holes":
            return _written(file.synced, (data for data in unsynced if random.random() < 0.5)).ljust(len(whole), b"\0")
        if way == "cut":
            last = random.randrange(len(unsynced))
            return _written(_written(file.synced, unsynced[:last]), [_cut(unsynced[last], random)])
        return whole


def _rename(folders: dict[int, dict[str, int]], names: Names) -> None:
    """Do the step; a name goes only if it still means what it meant then."""
    given = names.changes[-1][2]
    for folder, name, node in names.changes:
        if node is not None:
            folders[folder][name] = node
        elif given is None or folders[folder].get(name) == given:
            folders[folder].pop(name, None)


def _cut(data: Data, random: Random) -> Data:
    if not data.data:
        return data
    return Data(data.what, data.path, data.file, data.offset, data.data[: random.randrange(len(data.data))])


def _written(before: bytes, changes: Iterable[Data]) -> bytes:
    found = bytearray(before)
    for change in changes:
        if change.data is None:
            del found[change.offset :]
            found.extend(bytes(change.offset - len(found)))
        else:
            found.extend(bytes(max(0, change.offset - len(found))))
            found[change.offset : change.offset + len(change.data)] = change.data
    return bytes(found)
