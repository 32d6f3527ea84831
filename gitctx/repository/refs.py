"""Refs of a store: reading them, and the one compare-and-swap that everything rests on.

The swap speaks git's own protocol, so that git, libgit2 and we exclude each other: whoever creates `<ref>.lock` may
change `<ref>`, by renaming the lock over it. What we add: our lock file appears complete and in one step (a hard link
to a file below `gitctx/locks/`), and its maker holds a kernel lock on that very inode. So the lock of a killed process
is told from a live one at once, and told from git's own.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitctx import failpoints
from gitctx.errors import WAY_OUT, BrokenHistory, InvalidName
from gitctx.repository import descriptors
from gitctx.repository.disk import NEW, NO_LINKS, make_folders, stamp_of, sync_folder, unlink_quietly, write_all
from gitctx.repository.reflog import NO_OBJECT, LogLine, Reflogs

FOREIGN_LOCK_AGE_S = 10.0
_OID = re.compile(rb"[0-9a-f]{40}")
_MOST_REPLACED = 32
_PRIVATE = re.compile(r"\d+-[0-9a-f]{16}")


class RefMoved(Exception):
    """The compare-and-swap lost: the ref holds `actual` (None: there is no such ref)."""

    def __init__(self, actual: str | None) -> None:
        super().__init__(f"the ref is at {actual}")
        self.actual = actual


class RefLocked(Exception):
    """Somebody else holds the ref's lock file."""

    def __init__(self, lock: Path) -> None:
        super().__init__(f"{lock} exists")
        self.lock = lock


class SwapUnsettled(Exception):
    """The disk failed when the ref had perhaps moved already: only reading it again can tell."""


class _Pin:
    """What a ref file said, and the open file: as long as it is open, no other file can have its inode number."""

    __slots__ = ("_close", "_descriptor", "stamp", "value")

    def __init__(self, descriptor: int, status: os.stat_result, value: str) -> None:
        self._descriptor = descriptor
        self._close = os.close
        self.stamp = stamp_of(status)
        self.value = value

    def __del__(self) -> None:
        self._close(self._descriptor)


class NewValue:
    """The future content of a ref in a file of our own, with a kernel lock on it: `Refs.swap` makes a lock of it."""

    def __init__(self, oid: str, descriptor: int, path: str) -> None:
        self.oid = oid
        self.descriptor = descriptor
        self.path = path


class Refs:
    """The refs of the repository at `path`. Safe in threads and after a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = str(path)
        self._locks = f"{self._root}/gitctx/locks"
        self.logs = Reflogs(self._root)
        self._pins: dict[str, _Pin] = {}
        self._replaced: list[_Pin] = []
        self._room = 0
        self.moves = 0
        """How often a branch was found at another value than before."""

    def read(self, name: str) -> str | None:
        """The object id that a ref holds; None if there is no such ref. Raises BrokenHistory for a damaged ref file.

        The file of a branch stays open, so that one look at it tells whether it is still the same: git and gitctx
        replace it, and the new one has another inode. A program that wrote into it in place, with a value as long and
        within one tick of the file system's clock (4 ms), would not be noticed.
        """
        path = f"{self._root}/{name}"
        pin = self._pins.get(name)
        try:
            if pin is not None and pin.stamp == stamp_of(os.stat(path)):
                return pin.value
            del pin
            self._unpin(name)
            return self._read_file(name, path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._pins.pop(name, None)
            return self._read_packed(name)

    def _read_file(self, name: str, path: str) -> str:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            data = os.read(descriptor, 256)
            value = data.strip()
            if not _OID.fullmatch(value):
                raise BrokenHistory(
                    f"{name} holds no commit id but {data[:60]!r}",
                    hint=f"{WAY_OUT} (its last values are in {self.path / 'logs' / name})",
                    details={"ref": name},
                )
            oid = value.decode("ascii")
            if name.startswith("refs/heads/"):
                self.moves += 1
                self._pins[name] = _Pin(descriptor, status, oid)
                descriptor = -1
            return oid
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _unpin(self, name: str) -> None:
        pin = self._pins.pop(name, None)
        if pin is not None and len(self._replaced) < self._room:
            self._replaced.append(pin)

    def _pin_own(self, name: str, new: NewValue) -> None:
        """Know a branch by the file that has just become it."""
        if name.startswith("refs/heads/"):
            self._unpin(name)
            self.moves += 1
            with suppress(OSError):
                self._pins[name] = _Pin(os.dup(new.descriptor), os.fstat(new.descriptor), new.oid)

    def let_go(self) -> None:
        """Close the files of branches that were replaced since the last call; from then on they are kept for the next.

        The kernel frees such a file when it is closed, which takes as long as several writes to it (0.2 ms): whoever
        calls this now and then, in a thread of its own, spares the one who moves a branch that.
        """
        self._replaced.clear()
        self._room = _MOST_REPLACED

    def _read_packed(self, name: str) -> str | None:
        try:
            with open(f"{self._root}/packed-refs", "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        end = data.find(b" " + name.encode() + b"\n")
        if end < 40:
            return None
        value = data[end - 40 : end]
        return value.decode("ascii") if _OID.fullmatch(value) else None

    @contextmanager
    def new_value(self, oid: str) -> Iterator[NewValue]:
        """A file with the future value of a ref, not yet synced, for the time of the block. Raises OSError."""
        path = f"{self._locks}/{os.getpid()}-{secrets.token_hex(8)}"
        try:
            descriptor = descriptors.hold(os.open(path, NEW, 0o644))
        except FileNotFoundError:
            make_folders(self._locks, durable=False)
            descriptor = descriptors.hold(os.open(path, NEW, 0o644))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write_all(descriptor, oid.encode("ascii") + b"\n")
            yield NewValue(oid, descriptor, path)
        finally:
            unlink_quietly(path)
            descriptors.close(descriptor)

    def swap(
        self, name: str, new: NewValue, *, expected: str | None, who: str, message: str, at_s: int, durable: bool
    ) -> None:
        """Move a ref from `expected` (None: it must not exist) to `new`.

        `durable` returns only when the new value is on disk; the bytes of `new` have to be by then. Raises RefMoved or
        RefLocked (nothing changed), OSError (nothing changed), SwapUnsettled (unknown).
        """
        failpoints.hit("swap.before_lock")
        target = f"{self._root}/{name}"
        lock = f"{target}.lock"
        own = self._lock(lock, new, durable=durable)
        undo: int | None = None
        try:
            try:
                failpoints.hit("swap.after_lock")
                actual = self.read(name)
                if actual != expected:
                    raise RefMoved(actual)
                undo = self.logs.append(name, LogLine(expected or NO_OBJECT, new.oid, who, message), at_s)
                failpoints.hit("swap.after_reflog")
            except BaseException:
                self._back_out(name, lock, undo)
                raise
            try:
                self._rename(lock, target)
            except OSError as error:
                if self._value_or_none(name) == new.oid:
                    raise SwapUnsettled(str(error)) from error
                self._back_out(name, lock, undo)
                raise
            if own is None:
                self._pin_own(name, new)
            failpoints.hit("swap.after_rename")
            if durable:
                try:
                    sync_folder(os.path.dirname(target))
                except OSError as error:
                    raise SwapUnsettled(str(error)) from error
            failpoints.hit("swap.after_sync")
        finally:
            if own is not None:
                descriptors.close(own)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a ref where it is, by git's own lock, for the time of the block. Writers who find it try again.

        Raises RefLocked, BrokenHistory, OSError.
        """
        lock = f"{self._root}/{name}.lock"
        with self.new_value(self.read(name) or NO_OBJECT) as value:
            own = self._lock(lock, value, durable=False)
            try:
                yield
            finally:
                unlink_quietly(lock)
                if own is not None:
                    descriptors.close(own)

    def _back_out(self, name: str, lock: str, undo: int | None) -> None:
        if undo is not None:
            self.logs.undo(name, undo)
        os.unlink(lock)

    def _value_or_none(self, name: str) -> str | None:
        try:
            return self.read(name)
        except (OSError, BrokenHistory):
            return None

    def _lock(self, lock: str, new: NewValue, *, durable: bool) -> int | None:
        """Make the lock file, complete and kernel-locked in one step; a descriptor to close after the swap if it had to
        be made otherwise.
        """
        try:
            try:
                os.link(new.path, lock)
            except FileNotFoundError:
                make_folders(os.path.dirname(lock), durable=durable)
                os.link(new.path, lock)
        except FileExistsError:
            raise RefLocked(Path(lock)) from None
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return self._lock_without_links(lock, new.oid, durable=durable)
        return None

    def _lock_without_links(self, lock: str, oid: str, *, durable: bool) -> int:
        try:
            descriptor = descriptors.hold(os.open(lock, NEW, 0o644))
        except FileExistsError:
            raise RefLocked(Path(lock)) from None
        try:
            write_all(descriptor, oid.encode("ascii") + b"\n")
            if durable:
                os.fsync(descriptor)
        except BaseException:
            os.unlink(lock)
            descriptors.close(descriptor)
            raise
        return descriptor

    def _rename(self, lock: str, target: str) -> None:
        try:
            os.rename(lock, target)
        except IsADirectoryError:
            _remove_empty_folders(target)
            os.rename(lock, target)

    def clear_stale_lock(self, lock: Path, *, alone: bool) -> bool:
        """Remove a ref's lock file whose maker is dead; whether it is gone.

        Ours: at once, when the kernel lock on it is free. Git's: only if the caller is `alone` (holds the writer queue)
        and the very same file is older than 10 s. Removal happens under a kernel lock on the inode, so that of several
        callers one removes and none removes a fresh lock.
        """
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            private = self._private_name(status.st_ino)
            old = time.time() - status.st_mtime > FOREIGN_LOCK_AGE_S
            if not (private or (alone and old)):
                return False
            now = os.stat(lock)
            if (now.st_ino, now.st_dev) != (status.st_ino, status.st_dev):
                return False
            os.unlink(lock)
            if private is not None:
                unlink_quietly(private)
            return True
        except FileNotFoundError:
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def is_old(self, lock: Path) -> bool:
        """Whether a lock file is so old that one of git's may be taken for left behind."""
        try:
            return time.time() - os.stat(lock).st_mtime > FOREIGN_LOCK_AGE_S
        except OSError:
            return False

    def _private_name(self, inode: int) -> str | None:
        """Our own name for the file that a lock is a link to; None if gitctx didn't make it."""
        try:
            with os.scandir(self._locks) as names:
                return next((entry.path for entry in names if entry.inode() == inode), None)
        except OSError:
            return None

    def sweep(self) -> None:
        """Remove files below `gitctx/locks/` that killed writers left. Live ones are known by their kernel lock."""
        try:
            names = [entry for entry in os.scandir(self._locks) if _PRIVATE.fullmatch(entry.name)]
        except OSError:
            return
        for entry in names:
            try:
                if time.time() - entry.stat().st_mtime < FOREIGN_LOCK_AGE_S:
                    continue
                descriptor = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unlink_quietly(entry.path)
            except OSError:
                continue
            finally:
                os.close(descriptor)

    def refuse_name_clash(self, name: str, existing: list[str]) -> None:
        """Raise InvalidName if a new ref would be a folder of another one, or the other way round."""
        for other in existing:
            if other.startswith(name + "/") or name.startswith(other + "/"):
                raise InvalidName(
                    f"'{name.removeprefix('refs/tags/')}' can't stand beside '{other.removeprefix('refs/tags/')}'",
                    hint="one name is a folder of the other: git allows only one of them",
                )


def _remove_empty_folders(path: str) -> None:
    for folder, _, _ in os.walk(path, topdown=False):
        os.rmdir(folder)
