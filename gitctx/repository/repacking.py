"""Packs that git makes of others, and taking those away that are contained in them.

git writes the new pack aside. It appears among the others as every pack of ours does: see `gitctx.repository.packs`.
Only when it is on disk, with its names, the others go: so whenever this is killed, no object is without a pack.

What git reads has to stay where it is while git reads it. The merging of small packs is held off for the moment in
which git begins, then every pack that is there by then is listed as reserved, which that merging leaves alone. So
writers are never held up, and those packs that they put down meanwhile are merged as always.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from gitctx import failpoints
from gitctx.errors import GitFailed
from gitctx.format.packs import count_by_size
from gitctx.repository.disk import NO_LINKS, make_folders, sync_folder, unlink_quietly
from gitctx.repository.packs import by_name
from gitctx.repository.repository import Repository
from gitctx.repository.settled import PackList
from gitctx.repository.watched_git import OnPercent, WatchedGit

_HELD_OFF_S = 1.0
"""So long git gets to find out which packs there are."""
_WORK = "gitctx/maintenance/work-"
_OLD_KEEP = b"gitctx\n"


class PackFiles(NamedTuple):
    """A pack: its name without extension, the bytes of it and its index, how many objects, when it was touched last
    (seconds since 1970), and the extensions that there are.
    """

    name: str
    size_bytes: int
    objects: int
    touched_at: float
    kinds: frozenset[str]


class Repacking:
    """Repacking of one repository, for the one program that maintains it. `gentle`: at a low priority, on one core.

    `on_percent` is told how far git is with what it does now.
    """

    def __init__(self, repository: Repository, *, timeout_s: float, gentle: bool, on_percent: OnPercent | None) -> None:
        self._repository = repository
        self._timeout_s = timeout_s
        self._gentle = gentle
        self._on_percent = on_percent
        self._folder = f"{repository.path}/objects/pack"
        self._settled = PackList(str(repository.path), "settled")
        self._reserved = PackList(str(repository.path), "reserved")

    # -- git ----------------------------------------------------------------------------------------------------------

    def git(self, *arguments: str, stdin: bytes | Callable[[], bytes] = b"") -> bytes:
        """Run git while no pack goes away that it may have seen; its output. Raises GitFailed.

        A function is asked for what git reads when no pack goes away any more.
        """
        options = ["-c", "pack.writeReverseIndex=false", *(("-c", "pack.threads=1") if self._gentle else ())]
        with self._repository.without_compaction():
            running = WatchedGit(
                self._repository.path,
                [*options, *arguments],
                stdin=stdin if isinstance(stdin, bytes) else stdin(),
                timeout_s=self._timeout_s,
                gentle=self._gentle,
                on_percent=self._on_percent,
            )
            try:
                running.wait(_HELD_OFF_S)
                with suppress(OSError):
                    self._reserved.write(by_name(self._folder))
            except BaseException:
                with suppress(GitFailed):
                    running.end()
                raise
        try:
            return running.end()
        finally:
            self._reserved.remove()

    def pack(self, work: Path, *arguments: str, stdin: bytes | Callable[[], bytes] = b"") -> list[Path]:
        """Have git make a pack below `work`; where, without extension. None if there was nothing to pack. Raises
        GitFailed.
        """
        base = str(work / "pack")
        progress = "--progress" if self._on_percent is not None else "-q"
        output = self.git("pack-objects", "--delta-base-offset", "--non-empty", progress, *arguments, base, stdin=stdin)
        return [Path(f"{base}-{each}") for each in output.decode("ascii").split()]

    # -- packs --------------------------------------------------------------------------------------------------------

    def all(self) -> list[PackFiles]:
        """The packs that can be read, without those that a `.keep` holds."""
        found = []
        for name, kinds in by_name(self._folder).items():
            if {"pack", "idx"} <= kinds and "keep" not in kinds:
                with suppress(FileNotFoundError):
                    found.append(self._measured(name, kinds))
        return found

    def kept(self) -> list[str]:
        """The packs that a `.keep` holds."""
        return [name for name, kinds in by_name(self._folder).items() if {"idx", "keep"} <= kinds]

    def _measured(self, name: str, kinds: set[str]) -> PackFiles:
        pack, index = os.stat(f"{self._folder}/{name}.pack"), os.stat(f"{self._folder}/{name}.idx")
        size = pack.st_size + index.st_size
        return PackFiles(name, size, count_by_size(index.st_size), pack.st_mtime, frozenset(kinds))

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A folder to make packs in, for the time of the block. Raises OSError."""
        folder = Path(f"{self._repository.path}/{_WORK}{secrets.token_hex(8)}")
        make_folders(str(folder), durable=False)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def appeared(self, made: Sequence[Path]) -> Iterator[list[str]]:
        """Let packs that git made aside appear, on disk, and be kept for the time of the block. Their names.

        Raises OSError; those that appeared stay then, and hurt nobody.
        """
        names: list[str] = []
        try:
            for each in made:
                names.append(f"pack-{secrets.token_hex(20)}")
                self._appear(each, names[-1])
                failpoints.hit("repack.after_appear")
            self._repository.sync_everything()
            yield names
        finally:
            for name in names:
                unlink_quietly(f"{self._folder}/{name}.keep")

    def _appear(self, made: Path, name: str) -> None:
        base = f"{self._folder}/{name}"
        try:
            os.link(f"{made}.pack", f"{base}.keep")
            failpoints.hit("repack.after_keep")
            os.link(f"{made}.pack", f"{base}.pack")
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            Path(f"{base}.keep").write_bytes(_OLD_KEEP)
            os.rename(f"{made}.pack", f"{base}.pack")
        with suppress(FileNotFoundError):
            os.rename(f"{made}.mtimes", f"{base}.mtimes")
        failpoints.hit("repack.between_names")
        os.rename(f"{made}.idx", f"{base}.idx")

    def take_away(self, gone: Iterable[str], *, kept_as: Sequence[str], beside: Sequence[str] = ()) -> None:
        """Remove packs of which all that is wanted is in the packs `kept_as`, which are settled by it, and those
        `beside`. One that somebody keeps stays.

        First the multi-pack-index names none of them any more. Raises OSError, GitFailed; nothing is lost then.
        """
        for name in (*kept_as, *beside):
            os.stat(f"{self._folder}/{name}.idx")
            os.stat(f"{self._folder}/{name}.pack")
        settled = (self._settled.read() - set(gone)) | set(kept_as)
        self._settled.write(settled)
        self.index(settled)
        failpoints.hit("repack.before_delete")
        for name in sorted(gone):
            base = f"{self._folder}/{name}"
            if not os.path.exists(f"{base}.keep"):
                for kind in ("bitmap", "rev", "mtimes", "pack", "idx"):
                    unlink_quietly(f"{base}.{kind}")
                failpoints.hit("repack.between_deletes")
        sync_folder(self._folder)

    def index(self, names: Iterable[str]) -> None:
        """Have the multi-pack-index name these packs, so far as they are there; with less than two there is none.

        Raises GitFailed, OSError.
        """
        there = [name for name in sorted(names) if os.path.exists(f"{self._folder}/{name}.idx")]
        if len(there) > 1:
            listed = "".join(f"{name}.idx\n" for name in there)
            self.git("multi-pack-index", "write", "--no-progress", "--stdin-packs", stdin=listed.encode("ascii"))
            return
        path = f"{self._folder}/multi-pack-index"
        if os.path.exists(f"{path}.lock"):
            raise GitFailed(f"{path}.lock exists", details={"stderr": "File exists"})
        unlink_quietly(path)
        for each in Path(self._folder).glob("multi-pack-index-*"):
            unlink_quietly(str(each))

    def forget_gone(self) -> None:
        """Strike packs that aren't there any more from the list of the settled ones. Raises OSError."""
        settled = self._settled.read()
        there = settled & set(by_name(self._folder))
        if there != settled:
            self._settled.write(there)

    def settled(self) -> frozenset[str]:
        """Names of the packs that maintenance made."""
        return self._settled.read()


def remains(path: Path) -> list[Path]:
    """Folders and files of maintenance that was killed, if nobody maintains the repository now."""
    return sorted([*path.glob(f"{_WORK}*"), *path.glob("gitctx/maintenance/reserved")])
