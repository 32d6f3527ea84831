"""The instance of a store: this very folder on this very disk. A copy of the folder is another instance.

`gitctx/instance` holds a ULID, and the device and inode number that the file itself had when it was written, in which
boot. A copied file has another inode, so what it says isn't true of it any more. Device numbers may be dealt out anew
by a reboot, so they only count within one boot. The file is disposable: without it no lease of before proves anything.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitctx.config import Config
from gitctx.format.documents import new_ulid

_PATIENCE_S = 1.0


def read_instance(folder: Path, boot_id: str) -> str:
    """The instance of the store whose working folder this is; "" if it has none yet, or is a copy."""
    try:
        descriptor = os.open(folder / "instance", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        words = os.read(descriptor, 400).decode("ascii", "replace").split()
        status = os.fstat(descriptor)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    if len(words) != 4 or words[2] != str(status.st_ino):
        return ""
    same_device = words[1] == str(status.st_dev)
    return words[0] if same_device or words[3] != _word(boot_id) else ""


def ensure_instance(folder: Path, boot_id: str, config: Config) -> str:
    """The instance of the store; one is made if there is none, or if this is a copy. Raises OSError."""
    found = read_instance(folder, boot_id)
    if found:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        return read_instance(folder, boot_id) or _make(folder, boot_id, config)


def _make(folder: Path, boot_id: str, config: Config) -> str:
    made = new_ulid(config.clock(), config.rng)
    temporary = folder / f".instance-{secrets.token_hex(6)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        status = os.fstat(descriptor)
        os.write(descriptor, f"{made} {status.st_dev} {status.st_ino} {_word(boot_id)}\n".encode("ascii", "replace"))
        if config.durability == "durable":
            os.fsync(descriptor)
        os.rename(temporary, folder / "instance")
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from making an instance meanwhile. A stopped process in there holds nobody up for long."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.001)
        yield
    finally:
        os.close(descriptor)


def _word(boot_id: str) -> str:
    return "".join(boot_id.split()) or "-"
