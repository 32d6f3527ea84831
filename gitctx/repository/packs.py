"""Writing packs: the objects of one publication, or of many packs merged, as one pack with its index.

The order makes it safe beside git, which takes every `pack-*.pack` without a `.keep` for its own to replace, every
`.idx` without a `.pack` for garbage, and a pack without `.idx` for nothing at all:

    .keep    created with the bytes of the pack; keeps it from being repacked until something reaches its objects
    .pack    a hard link to that file
    .idx     renamed into place: from here on the objects can be read

Taking a pack away goes `.pack` first, then `.idx`: whatever a kill leaves behind is garbage that holds nothing alone.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gitctx import failpoints
from gitctx.format.objects import Object
from gitctx.format.packs import Pack, make_pack
from gitctx.repository.disk import NEW, NO_LINKS, make_folders, sync_files, sync_folder, unlink_quietly, write_all
from gitctx.repository.loose import LooseObjects

_NAME = re.compile(r"(pack-[0-9a-f]{40})\.(\w+)")
_OLD_KEEP = b"gitctx\n"


class NewPack:
    """A pack on its way to disk. `descriptors` are its files, open until `release` or until it is backed out; to be
    synced before `appear` if it shall be durable.
    """

    def __init__(self, objects_dir: str, pack: Pack, *, durable: bool) -> None:
        """Write the files under names that git passes over. Raises OSError, with nothing left behind."""
        self._folder = f"{objects_dir}/pack"
        token = secrets.token_hex(20)
        self.name = f"pack-{token}"
        self.pack = pack
        self._base = f"{self._folder}/{self.name}"
        self._keep = f"{self._base}.keep"
        self._temporary = f"{self._folder}/tmp_idx_{token}"
        self._durable = durable
        self.descriptors: list[int] = []
        failpoints.hit("pack.before_keep")
        try:
            self._write(self._keep, pack.pack_bytes)
            failpoints.hit("pack.before_index")
            self._write(self._temporary, pack.index_bytes)
        except BaseException:
            self._back_out()
            raise

    def _write(self, path: str, data: bytes) -> None:
        try:
            descriptor = os.open(path, NEW, 0o444)
        except FileNotFoundError:
            make_folders(self._folder, durable=self._durable)
            descriptor = os.open(path, NEW, 0o444)
        self.descriptors.append(descriptor)
        write_all(descriptor, data)

    def appear(self) -> None:
        """Give the files their names, and wait until these are on disk if it is to be durable. Raises OSError."""
        try:
            failpoints.hit("pack.before_names")
            try:
                os.link(self._keep, f"{self._base}.pack")
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                self._write(f"{self._base}.pack", self.pack.pack_bytes)
                if self._durable:
                    os.fsync(self.descriptors[-1])
            failpoints.hit("pack.between_names")
            os.rename(self._temporary, f"{self._base}.idx")
        except BaseException:
            self._back_out()
            raise
        failpoints.hit("pack.after_index")
        if self._durable:
            sync_folder(self._folder)

    @property
    def in_place(self) -> bool:
        """Whether both files are there: after an hour in which we were stopped, somebody may have tidied up.

        Their numbers of names tell (a pack has two, with its `.keep`); where they leave a doubt, their paths.
        """
        if len(self.descriptors) == 2:
            pack, index = self.descriptors
            if os.fstat(pack).st_nlink == 2 and os.fstat(index).st_nlink == 1:
                return True
        return os.path.exists(f"{self._base}.idx") and os.path.exists(f"{self._base}.pack")

    def release(self) -> None:
        """Let others repack it. A pack that appeared is never removed: a repack may have relied on it meanwhile."""
        self._close()
        unlink_quietly(self._keep)

    def _back_out(self) -> None:
        unlink_quietly(f"{self._base}.pack")
        unlink_quietly(self._temporary)
        self.release()

    def _close(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


class Objects:
    """The objects of one publication on their way to disk: see `written`."""

    def __init__(self, objects_dir: str, loose: LooseObjects, objects: Sequence[Object], *, durable: bool) -> None:
        self._dir = objects_dir
        self._loose = loose
        self._objects = objects
        self._durable = durable
        self.packs: list[NewPack] = []

    def write(self) -> Sequence[int]:
        """Write the files; their descriptors."""
        if not self._objects:
            return ()
        self.packs.append(NewPack(self._dir, make_pack(self._objects), durable=self._durable))
        return self.packs[-1].descriptors

    def appear(self) -> None:
        """Let everybody read them."""
        if self._objects:
            self.packs[-1].appear()
            self._loose.remove_torn(self._objects)

    def ensure(self) -> None:
        """Write them again if they are gone. Raises OSError."""
        if self.packs and not self.packs[-1].in_place:
            descriptors = self.write()
            if self._durable:
                sync_files(descriptors)
            self.appear()

    def release(self) -> None:
        """Let others repack them."""
        for pack in self.packs:
            pack.release()


@contextmanager
def written(objects_dir: str, loose: LooseObjects, objects: Sequence[Object], *, durable: bool) -> Iterator[Objects]:
    """Put objects down for the time of the block, at the end of which something must reach them.

    A new object is written even if another pack holds it: that one can be dropped before the swap of the ref.
    """
    failpoints.hit("objects.before_write")
    under_way = Objects(objects_dir, loose, objects, durable=durable)
    try:
        yield under_way
    finally:
        under_way.release()


def by_name(folder: str) -> dict[str, set[str]]:
    """The packs in a folder: the name without extension (`pack-...`), and the extensions that there are."""
    found: dict[str, set[str]] = {}
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)
        if match is not None:
            found.setdefault(match[1], set()).add(match[2])
    return found


def clear_leftovers(objects_dir: str, before_s: float) -> None:
    """Remove what killed writers left and what nobody touched since `before_s` (a time stamp): `.keep` files of ours,
    files of packs that never appeared, indexes of packs that were taken away.

    A complete pack stays, and so does a pack that lost its index by other hands: it may be all there is of its objects.
    """
    folder = f"{objects_dir}/pack"
    with suppress(OSError):
        for base, kinds in by_name(folder).items():
            path = f"{folder}/{base}"
            if "keep" in kinds:
                _clear_keep(path, kinds, before_s)
            elif kinds == {"idx"} and _is_older(f"{path}.idx", before_s):
                unlink_quietly(f"{path}.idx")
        for name in os.listdir(folder):
            if re.fullmatch(r"tmp_idx_[0-9a-f]{40}", name) and _is_older(f"{folder}/{name}", before_s):
                unlink_quietly(f"{folder}/{name}")


def keeps(objects_dir: str, before_s: float) -> tuple[list[str], list[str]]:
    """Names of the `.keep` files that nobody touched since `before_s`: those that `clear_leftovers` removes, and those
    that somebody else put there to hold a pack.
    """
    folder = f"{objects_dir}/pack"
    left: list[str] = []
    foreign: list[str] = []
    with suppress(OSError):
        for base, kinds in sorted(by_name(folder).items()):
            if "keep" in kinds and _is_older(f"{folder}/{base}.keep", before_s):
                ours = _start_of_our_keep(f"{folder}/{base}.keep", kinds) is not None
                (left if ours else foreign).append(f"{base}.keep")
    return left, foreign


def _start_of_our_keep(keep: str, kinds: set[str]) -> bytes | None:
    """The first bytes of a `.keep` file that gitctx made or that holds nothing; None if it is another's."""
    try:
        with open(keep, "rb") as file:
            start = file.read(len(_OLD_KEEP))
    except OSError:
        return None
    return start if start.startswith(b"PACK") or start == _OLD_KEEP or "pack" not in kinds else None


def _clear_keep(path: str, kinds: set[str], before_s: float) -> None:
    keep = f"{path}.keep"
    start = _start_of_our_keep(keep, kinds)
    if start is None or not _is_older(keep, before_s):
        return
    if start.startswith(b"PACK") and "idx" not in kinds:
        unlink_quietly(f"{path}.pack")
    unlink_quietly(keep)


def _is_older(path: str, before_s: float) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return status.st_mtime < before_s
