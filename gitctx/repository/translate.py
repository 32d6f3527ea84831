"""Errors of the operating system, libgit2 and git, turned into ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from gitctx.errors import WAY_OUT, DiskFull, GitctxError, StorageError, StoreNotOwned, StoreReadOnly

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os(error: OSError, path: Path) -> GitctxError:
    """The error of ours that says what an OSError at the store means."""
    details = {"errno": error.errno, "path": str(error.filename or path)}
    if error.errno in _FULL:
        return DiskFull(
            f"no room to write to {path}: {error.strerror}",
            hint="free some space (or raise the quota or file size limit), then repeat the call: nothing was lost",
            details=details,
        )
    if error.errno in _REFUSED:
        return StoreReadOnly(
            f"the store {path} can't be written by this user: {error.strerror}",
            hint="check the owner and the permissions of the folder, or use another store with --store",
            details=details,
        )
    return StorageError(
        f"the store {path} can't be used: {error.strerror or error}",
        hint="the machine refused it, the store isn't damaged: mend the cause and repeat the call",
        details=details,
    )


def not_owned(path: Path) -> StoreNotOwned:
    """The error for a store that git's ownership check refuses."""
    return StoreNotOwned(
        f"the store {path} belongs to another user, and git refuses to open it",
        hint=f"if you trust its owner: git config --global --add safe.directory {path}",
    )


def from_git(error: Exception, path: Path) -> GitctxError:
    """The error of ours that says what a libgit2 error at the store means."""
    if "not owned by current user" in str(error):
        return not_owned(path)
    full = next((number for number in _FULL if os.strerror(number) in str(error)), None)
    if full is not None:
        return from_os(OSError(full, os.strerror(full)), path)
    return StorageError(f"the store {path} can't be used: {error}", hint=f"if it is damaged, {WAY_OUT}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Run the block; errors of pygit2 and the system come out as ours."""
    try:
        yield
    except GitctxError:
        raise
    except pygit2.GitError as error:
        raise from_git(error, path) from error
    except OSError as error:
        raise from_os(error, path) from error
