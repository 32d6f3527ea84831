"""Entries as files in a folder, and back. Bytes are never changed on the way.

Nothing is written outside the folder and nothing read from outside it: symbolic links below it aren't followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitctx.errors import AlreadyExists, DiskFull, InvalidInput, InvalidKey, StorageError
from gitctx.format.keys import RESERVED, check_prefix, key_fault
from gitctx.store.view import View

_SHOWN = 10
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left out: a path (or a key), and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did. `unchanged` were there already with the same bytes."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A folder's files as entries to be put, and what was left out."""

    entries: tuple[tuple[str, bytes], ...]
    skipped: tuple[Skipped, ...]


# -- out --------------------------------------------------------------------------------------------------------------


def export_entries(view: View, folder: Path, prefix: str = "", *, force: bool = False) -> Exported:
    """Write the entries below a folder prefix to files `folder/<key>`.

    `folder` is made if it isn't there. Files in the way that hold something else are left alone: then nothing is
    written and AlreadyExists names them, unless `force` replaces them. Of keys that are one file to a file system that
    ignores case or Unicode forms, the first is written and the others are in `skipped`. gitctx's own entries are only
    written if the prefix asks for them. Raises InvalidKey, AlreadyExists, DiskFull, StorageError.
    """
    own = check_prefix(prefix).startswith(RESERVED + "/")
    keys: list[tuple[str, str]] = [
        (key, etag) for key, etag in view.etags(check_prefix(prefix).rstrip("/")) if own or not _is_own(key)
    ]
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        skipped: list[Skipped] = []
        if _ignores_case(root):
            keys, skipped = _without_twins(keys)
        with _translated(folder):
            fresh, unchanged = _compare(root, view, keys, force=force)
            for key, etag in fresh:
                _write(root, key, view.blob(etag))
        return Exported(tuple(key for key, _ in fresh), tuple(unchanged), tuple(skipped))
    finally:
        os.close(root)


def _is_own(key: str) -> bool:
    return key.startswith(RESERVED + "/")


def _compare(
    root: int, view: View, keys: Sequence[tuple[str, str]], *, force: bool
) -> tuple[list[tuple[str, str]], list[str]]:
    """Which keys have to be written, and which are there already. Raises AlreadyExists."""
    fresh: list[tuple[str, str]] = []
    unchanged: list[str] = []
    in_the_way: list[str] = []
    for key, etag in keys:
        found = _present(root, key)
        if found is None:
            fresh.append((key, etag))
        elif found == view.blob(etag):
            unchanged.append(key)
        elif force and found is not _NOT_A_FILE:
            fresh.append((key, etag))
        else:
            in_the_way.append(key)
    if in_the_way:
        raise AlreadyExists(
            f"there is something else already at {_some(in_the_way)}",
            hint="export to an empty folder, or replace files with --force (folders and links never are)",
            details={"paths": in_the_way},
        )
    return fresh, unchanged


_NOT_A_FILE = b"\0not a file"


def _present(root: int, key: str) -> bytes | None:
    """The bytes of the file at a key's path; None if there is nothing; `_NOT_A_FILE` for anything else."""
    *parents, name = key.split("/")
    try:
        with _folder(root, parents, make=False) as parent:
            if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                return _NOT_A_FILE
            return _read(name, parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return _NOT_A_FILE
        raise


def _write(root: int, key: str, data: bytes) -> None:
    """Put a file in place by renaming: a link or a file that appeared meanwhile is replaced, never written through."""
    *parents, name = key.split("/")
    with _folder(root, parents, make=True) as parent:
        temporary = f".{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            os.unlink(temporary, dir_fd=parent)
            raise


@contextmanager
def _folder(root: int, parents: Sequence[str], *, make: bool) -> Iterator[int]:
    """The folder below `root`, entered step by step without following a link. Raises OSError."""
    here = os.dup(root)
    try:
        for name in parents:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=here)
            inner = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)


def _ignores_case(root: int) -> bool:
    """Whether the file system takes two spellings for one name. Found out by trying."""
    name = f".{secrets.token_hex(8)}-a"
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=root))
    except OSError:
        return False
    try:
        os.stat(name.upper(), dir_fd=root, follow_symlinks=False)
        return True
    except OSError:
        return False
    finally:
        os.unlink(name, dir_fd=root)


def _without_twins(keys: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[Skipped]]:
    kept: dict[str, tuple[str, str]] = {}
    skipped: list[Skipped] = []
    for key, etag in keys:
        folded = unicodedata.normalize("NFC", key.casefold())
        first = kept.setdefault(folded, (key, etag))[0]
        if first != key:
            skipped.append(Skipped(key, f"this file system takes it for the same name as '{first}'"))
    return list(kept.values()), skipped


# -- in ---------------------------------------------------------------------------------------------------------------


def gather_files(folder: Path, prefix: str = "", *, skip_invalid: bool = False) -> Gathered:
    """The files below a folder as entries, sorted by key: `<prefix>/<path>` and their bytes.

    Symbolic links, `.git` (folders and files) and what is neither file nor folder are left out. A path that makes no
    key is left out with `skip_invalid`; else InvalidKey names all of those. Raises InvalidInput for what can't be read.
    """
    start = check_prefix(prefix, reserved=False)
    entries: list[tuple[str, bytes]] = []
    skipped: list[Skipped] = []
    invalid: list[Skipped] = []
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(str(folder), error) from error
    try:
        for path, data in _files(root, "", skipped, start, invalid):
            entries.append((start + path, data))
    finally:
        os.close(root)
    if invalid and not skip_invalid:
        raise InvalidKey(
            f"{len(invalid)} of the names can't be keys: "
            + "; ".join(f"{_safe(each.path)}: {each.reason}" for each in invalid[:_SHOWN])
            + ("; ..." if len(invalid) > _SHOWN else ""),
            hint="rename them, or leave them out with --skip-invalid",
            details={"paths": [_safe(each.path) for each in invalid]},
        )
    return Gathered(tuple(sorted(entries)), (*skipped, *(Skipped(_safe(each.path), each.reason) for each in invalid)))


def _files(
    parent: int, path: str, skipped: list[Skipped], start: str, invalid: list[Skipped]
) -> Iterator[tuple[str, bytes]]:
    try:
        names = sorted(os.listdir(parent))
    except OSError as error:
        raise _unreadable(path or ".", error) from error
    for name in names:
        inner = f"{path}{name}"
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if name == ".git":
                skipped.append(Skipped(inner, "it is git's own"))
            elif stat.S_ISDIR(mode):
                folder = os.open(name, _FOLDER, dir_fd=parent)
                try:
                    yield from _files(folder, inner + "/", skipped, start, invalid)
                finally:
                    os.close(folder)
            elif stat.S_ISREG(mode):
                fault = key_fault(start + inner)
                if fault is not None:
                    invalid.append(Skipped(inner, fault))
                else:
                    yield inner, _read(name, parent)
            else:
                skipped.append(
                    Skipped(_safe(inner), "it is a symbolic link" if stat.S_ISLNK(mode) else "it is no file")
                )
        except OSError as error:
            raise _unreadable(inner, error) from error


def _read(name: str, parent: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


# -- errors -----------------------------------------------------------------------------------------------------------


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        kind = DiskFull if error.errno in _FULL else StorageError
        raise kind(
            f"the folder {folder} can't be written: {error.strerror or error}",
            hint="name a folder that you may write to, with room enough; files that are written already stay",
        ) from error


def _unreadable(path: str, error: Exception) -> InvalidInput:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidInput(f"{_safe(path)} can't be read: {reason}", hint="mend that, or move it out of the folder")


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(f"'{_safe(path)}'" for path in paths[:_SHOWN]) + more


def _safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
