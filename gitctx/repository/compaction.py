"""Keeping packs few: when many small ones lie beside one another, they become one of the next size.

Nothing here is needed for a write to be safe, so whatever goes wrong ends it quietly, to be tried again later. It is
safe beside writers, readers, git's own repacking and itself: packs are only copied from, and taken away when the
merged one is in place and on disk, whatever durability the writes had.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from gitctx import failpoints
from gitctx.format.packs import Pack, Source, count_by_size, merge, packs_in_multi_index, read_source
from gitctx.repository import descriptors
from gitctx.repository.disk import sync_files, unlink_quietly
from gitctx.repository.packs import NewPack, by_name
from gitctx.repository.settled import left_alone

FAN_IN = 32
"""So many packs in one level become one."""
LEVELS = (128, 4096, 131_072)
"""A level holds packs of fewer objects than this; larger ones are left to git."""
MOST_SOURCES = 128
MOST_BYTES = 64 << 20
"""A merge takes no more than this at once, so that it stays short (32 packs of 4 objects: a few milliseconds)."""


_PATIENCE_S = 5.0
_NAP_S = 0.01


class Candidate(NamedTuple):
    """A pack that may be merged: its name without extension, and the sizes in bytes of its files."""

    name: str
    pack_bytes: int
    index_bytes: int


def choose(candidates: list[Candidate]) -> list[Candidate]:
    """The packs to merge: the lowest level that has enough of them. Empty if none has."""
    for level, below in enumerate(LEVELS):
        least = LEVELS[level - 1] if level else 0
        chosen: list[Candidate] = []
        room = MOST_BYTES
        for candidate in sorted(candidates, key=lambda each: each.pack_bytes):
            if least <= count_by_size(candidate.index_bytes) < below and candidate.pack_bytes <= room:
                chosen.append(candidate)
                room -= candidate.pack_bytes
        if len(chosen) >= FAN_IN:
            return chosen[:MOST_SOURCES]
    return []


class Compactor:
    """Merges the small packs of one repository. `known` are packs that this process wrote, by their name without
    extension: they needn't be read.
    """

    def __init__(self, repository_dir: str, known: Mapping[str, Pack] | None = None) -> None:
        self._objects_dir = f"{repository_dir}/objects"
        self._folder = f"{self._objects_dir}/pack"
        self._known = known or {}
        self._repository_dir = repository_dir

    def run(self) -> None:
        """Merge packs if there are many of a size, unless somebody does already. Raises nothing."""
        try:
            if len(self.candidates()) >= FAN_IN:
                self._run_alone()
        except (OSError, MemoryError):
            return

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """For the time of the block nobody merges packs: git's own check takes one that goes away for damage. Waits a
        few seconds for a merge that is under way; where that can't be had, the block runs all the same.
        """
        try:
            descriptor = self._open_lock()
        except OSError:
            yield
            return
        try:
            until = time.monotonic() + _PATIENCE_S
            while not _locked(descriptor, fcntl.LOCK_SH) and time.monotonic() < until:
                time.sleep(_NAP_S)
            yield
        finally:
            descriptors.close(descriptor)

    def _run_alone(self) -> None:
        descriptor = self._open_lock()
        try:
            if _locked(descriptor, fcntl.LOCK_EX):
                self._run()
        finally:
            descriptors.close(descriptor)

    def _open_lock(self) -> int:
        """The folder of the packs itself is what is locked: so a check of a store leaves nothing behind."""
        return descriptors.hold(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def _run(self) -> None:
        listed = self._in_multi_index()
        if listed is None:
            return
        chosen = choose([self._measured(name) for name in self.candidates() if name not in listed])
        if not chosen:
            return
        sources: dict[str, Source] = {}
        for candidate in chosen:
            source = read_source(self._pack(candidate.name))
            if source is not None:
                sources[candidate.name] = source
        if len(sources) < FAN_IN // 2:
            return
        failpoints.hit("compact.before_merge")
        merged = NewPack(self._objects_dir, merge(sources.values()), durable=True)
        try:
            sync_files(merged.descriptors)
            merged.appear()
            failpoints.hit("compact.after_merge")
            if merged.in_place:
                self._take_away(list(sources))
            failpoints.hit("compact.after_delete")
        finally:
            merged.release()

    def _take_away(self, names: list[str]) -> None:
        """Remove packs that are merged, but none that somebody has begun to rely on by its name."""
        listed = self._in_multi_index()
        if listed is None:
            return
        for name in names:
            if name not in listed and not os.path.exists(f"{self._folder}/{name}.keep"):
                unlink_quietly(f"{self._folder}/{name}.pack")
                failpoints.hit("compact.between_deletes")
                unlink_quietly(f"{self._folder}/{name}.idx")

    def candidates(self) -> list[str]:
        """Packs that have nothing but an index beside them, and that maintenance hasn't settled or begun to. The others
        are under way, or git keeps more about them.
        """
        settled = left_alone(self._repository_dir)
        return [
            name for name, kinds in by_name(self._folder).items() if kinds == {"pack", "idx"} and name not in settled
        ]

    def _measured(self, name: str) -> Candidate:
        known = self._known.get(name)
        if known is not None:
            return Candidate(name, len(known.pack_bytes), len(known.index_bytes))
        path = f"{self._folder}/{name}"
        return Candidate(name, os.stat(f"{path}.pack").st_size, os.stat(f"{path}.idx").st_size)

    def _in_multi_index(self) -> set[str] | None:
        """The packs that a multi-pack-index names, which must stay as long as it does. None while git writes one.

        An index that names a pack which is gone (we were faster than the git that made it) is removed, as git does.
        """
        path = f"{self._folder}/multi-pack-index"
        if os.path.exists(f"{path}.lock"):
            return None
        try:
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                names = {name.removesuffix(".idx") for name in packs_in_multi_index(data)}
        except FileNotFoundError:
            return set()
        except ValueError:
            return None
        if not all(os.path.exists(f"{self._folder}/{name}.pack") for name in names):
            unlink_quietly(path)
        return names

    def _pack(self, name: str) -> Pack:
        known = self._known.get(name)
        return known if known is not None else Pack(self._read(f"{name}.pack"), self._read(f"{name}.idx"))

    def _read(self, name: str) -> bytes:
        with open(f"{self._folder}/{name}", "rb") as file:
            return file.read()


def _locked(descriptor: int, how: int) -> bool:
    """Whether the lock could be taken at once."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
