"""Refs of a store: reading them, and the one compare-and-swap that everything rests on.

The swap speaks git's own protocol, so that git, libgit2 and we exclude each other: whoever creates `<ref>.lock` may
change `<ref>`, by renaming the lock over it. What we add: our lock file appears complete and in one step (a hard link
to a file below `gitctx/locks/`), and its maker holds a kernel lock on that very inode. So the lock of a killed process
is told from a live one at once, and told from git's own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from pathlib import Path
from typing import NamedTuple

from gitctx import failpoints
from gitctx.errors import BrokenHistory, InvalidName
from gitctx.repository import descriptors

NO_OBJECT = "0" * 40
FOREIGN_LOCK_AGE_S = 10.0
_OID = re.compile(rb"[0-9a-f]{40}")
_NO_LINKS = {errno.ENOENT, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


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


class LogLine(NamedTuple):
    """One line of a reflog."""

    old: str
    new: str
    who: str
    message: str


class Refs:
    """The refs of the repository at `path`. Holds no state: safe in threads and after a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.locks = path / "gitctx" / "locks"

    def read(self, name: str) -> str | None:
        """The object id that a ref holds; None if there is no such ref. Raises BrokenHistory for a damaged ref file."""
        try:
            data = (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return self._read_packed(name)
        value = data.strip()
        if _OID.fullmatch(value):
            return value.decode("ascii")
        raise BrokenHistory(
            f"{name} holds no commit id but {data[:60]!r}",
            hint=f"its last values are in {self.path / 'logs' / name}; put one back with "
            f"`git --git-dir={self.path} update-ref` after moving the damaged file away",
            details={"ref": name},
        )

    def _read_packed(self, name: str) -> str | None:
        try:
            data = (self.path / "packed-refs").read_bytes()
        except FileNotFoundError:
            return None
        end = data.find(b" " + name.encode() + b"\n")
        if end < 40:
            return None
        value = data[end - 40 : end]
        return value.decode("ascii") if _OID.fullmatch(value) else None

    def swap(
        self, name: str, new: str, *, expected: str | None, who: str, message: str, at_s: int, durable: bool
    ) -> None:
        """Move a ref from `expected` (None: it must not exist) to `new`.

        `durable` returns only when the new value is on disk. Raises RefMoved or RefLocked (nothing changed), OSError
        (nothing changed), SwapUnsettled (unknown).
        """
        failpoints.hit("swap.before_lock")
        target = self.path / name
        lock = target.with_name(target.name + ".lock")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, private = self._lock(lock, new, durable=durable)
        undo: int | None = None
        try:
            try:
                failpoints.hit("swap.after_lock")
                actual = self.read(name)
                if actual != expected:
                    raise RefMoved(actual)
                undo = self._append_log(name, expected or NO_OBJECT, new, who, message, at_s)
                failpoints.hit("swap.after_reflog")
            except BaseException:
                self._back_out(name, lock, undo)
                raise
            try:
                self._rename(lock, target)
            except OSError as error:
                if self._value_or_none(name) == new:
                    raise SwapUnsettled(str(error)) from error
                self._back_out(name, lock, undo)
                raise
            failpoints.hit("swap.after_rename")
            if durable:
                try:
                    sync_folder(target.parent)
                except OSError as error:
                    raise SwapUnsettled(str(error)) from error
            failpoints.hit("swap.after_sync")
        finally:
            if private is not None:
                _unlink_quietly(private)
            descriptors.close(descriptor)

    def _back_out(self, name: str, lock: Path, undo: int | None) -> None:
        if undo is not None:
            os.truncate(self.path / "logs" / name, undo)
        os.unlink(lock)

    def _value_or_none(self, name: str) -> str | None:
        try:
            return self.read(name)
        except (OSError, BrokenHistory):
            return None

    def _lock(self, lock: Path, new: str, *, durable: bool) -> tuple[int, Path | None]:
        """Create the lock file with its content, kernel-locked; the open descriptor, and its other name if it has
        one.
        """
        private = self.locks / f"{os.getpid()}-{secrets.token_hex(8)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = descriptors.hold(os.open(private, flags, 0o644))
        except FileNotFoundError:
            self.locks.mkdir(parents=True, exist_ok=True)
            descriptor = descriptors.hold(os.open(private, flags, 0o644))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write_all(descriptor, new.encode("ascii") + b"\n")
            if durable:
                os.fsync(descriptor)
            try:
                os.link(private, lock)
            except FileExistsError:
                raise RefLocked(lock) from None
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                descriptors.close(descriptor)
                descriptor = -1
                _unlink_quietly(private)
                return self._lock_without_links(lock, new, durable=durable), None
        except BaseException:
            _unlink_quietly(private)
            if descriptor >= 0:
                descriptors.close(descriptor)
            raise
        return descriptor, private

    def _lock_without_links(self, lock: Path, new: str, *, durable: bool) -> int:
        try:
            descriptor = descriptors.hold(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        except FileExistsError:
            raise RefLocked(lock) from None
        try:
            write_all(descriptor, new.encode("ascii") + b"\n")
            if durable:
                os.fsync(descriptor)
        except BaseException:
            os.unlink(lock)
            descriptors.close(descriptor)
            raise
        return descriptor

    def _rename(self, lock: Path, target: Path) -> None:
        try:
            os.rename(lock, target)
        except IsADirectoryError:
            _remove_empty_folders(target)
            os.rename(lock, target)

    def _append_log(self, name: str, old: str, new: str, who: str, message: str, at_s: int) -> int:
        """Append a reflog line, after dropping a torn one; the size of the file before, to undo it."""
        path = self.path / "logs" / name
        line = f"{old} {new} {who} {at_s} +0000\t{message}\n".encode()
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (FileNotFoundError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            whole = _end_of_last_line(descriptor, size)
            if whole < size:
                size = whole
                os.ftruncate(descriptor, size)
                os.lseek(descriptor, size, os.SEEK_SET)
            try:
                write_all(descriptor, line)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            return size
        finally:
            os.close(descriptor)

    def log_tail(self, name: str, max_bytes: int = 262144) -> list[LogLine]:
        """The last lines of a ref's reflog, oldest first. A torn or foreign line is left out."""
        try:
            with open(self.path / "logs" / name, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - max_bytes))
                lines = file.read().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return []
        if size > max_bytes:
            lines = lines[1:]
        parsed = []
        for line in lines:
            match = re.fullmatch(rb"\0*([0-9a-f]{40}) ([0-9a-f]{40}) (.*?) \d+ [+-]\d{4}(?:\t(.*))?", line)
            if match:
                old, new, who, message = (part.decode("utf-8", "replace") for part in match.groups(b""))
                parsed.append(LogLine(old, new, who, message))
        return parsed

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
                _unlink_quietly(private)
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

    def _private_name(self, inode: int) -> Path | None:
        """Our own name for the file that a lock is a link to; None if gitctx didn't make it."""
        try:
            with os.scandir(self.locks) as names:
                return next((Path(entry.path) for entry in names if entry.inode() == inode), None)
        except OSError:
            return None

    def sweep(self) -> None:
        """Remove files below `gitctx/locks/` that killed writers left. Live ones are known by their kernel lock."""
        try:
            names = list(os.scandir(self.locks))
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
                _unlink_quietly(Path(entry.path))
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


def _end_of_last_line(descriptor: int, size: int) -> int:
    end = size
    while end:
        start = max(0, end - 65536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes, or raise OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink_quietly(path: Path) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _remove_empty_folders(path: Path) -> None:
    for folder, _, _ in os.walk(path, topdown=False):
        os.rmdir(folder)
