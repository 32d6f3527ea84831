"""Small steps on the disk that refs and packs share. Paths are strings: pathlib costs more than the calls do."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

NO_LINKS = frozenset({errno.ENOENT, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""What `os.link` fails with where the file system has no hard links, or the file to be linked is gone."""
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


Stamp = tuple[int, int, int, int]
"""What tells one state of a file from another: inode, device, size in bytes, time of modification in ns."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes, or raise OSError."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def sync_files(descriptors: Sequence[int]) -> None:
    """Wait until the bytes of these files are on disk. All of them begin to be written before one is waited for."""
    if hasattr(os, "posix_fadvise"):
        for descriptor in descriptors:
            start_writing(descriptor)
    for descriptor in descriptors:
        os.fsync(descriptor)


def start_writing(descriptor: int) -> None:
    """Have the kernel begin to write a file out (Linux does so before it drops pages that aren't needed)."""
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: str, *, durable: bool) -> None:
    """Make a folder and those above it that are missing; durable: their names are on disk."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folders(os.path.dirname(path), durable=durable)
        make_folders(path, durable=durable)
        return
    if durable:
        sync_folder(os.path.dirname(path))


def unlink_quietly(path: str) -> bool:
    """Remove a file if possible; whether it was."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def raise_unless_gone(error: OSError) -> None:
    """What a walk through folders does about an error: a folder that can't be listed isn't an empty one."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
