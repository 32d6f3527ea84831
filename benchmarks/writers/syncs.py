"""The syncs of a durable write with nothing computed: what the disk alone costs. No contender, but their bound."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.workload import Update

_PACK, _INDEX, _LOCK = b"p" * 1500, b"i" * 1200, b"r" * 41


class SyncsAlone:
    """The files of one pack per write and of one ref, written, synced and renamed in the order that keeps them safe.

    A `.keep` that need not last, pack and index, their folder; then the lock file that becomes the ref, and its folder.
    """

    def __init__(self, folder: Path) -> None:
        self._packs, self._refs = folder / "pack", folder / "refs"
        self._packs.mkdir()
        self._refs.mkdir()
        self._done = 0

    def fill(self, entries: Mapping[str, bytes]) -> None:
        return

    def write(self, update: Update) -> None:
        self._done += 1
        base = self._packs / f"pack-{self._done:040}"
        keep = base.with_suffix(".keep")
        keep.write_bytes(b"keep\n")
        _put(base.with_suffix(".pack"), _PACK)
        _put(base.with_suffix(".idx"), _INDEX)
        _sync(self._packs)
        _put(self._refs / "context", _LOCK)
        _sync(self._refs)
        keep.unlink()

    def versions(self) -> int:
        return len(list(self._packs.glob("*.idx")))

    def close(self) -> None:
        return


def _put(target: Path, data: bytes) -> None:
    temporary = f"{target}.lock"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(temporary, target)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(descriptor)
    os.close(descriptor)
