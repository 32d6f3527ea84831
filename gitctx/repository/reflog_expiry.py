"""Cutting off the old lines of a reflog.

`git reflog expire` would do it while it holds the ref's lock all the time, and so keep writers waiting for as long as a
large log takes. Here all but the last few lines are copied before the lock is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from gitctx import failpoints
from gitctx.repository.disk import raise_unless_gone
from gitctx.repository.reflog import NO_OBJECT
from gitctx.repository.refs import Refs

_TIME = re.compile(rb" (\d+) [+-]\d{4}(?:\t|$)")
_OWN = re.compile(rb"\tgitctx: ")
_CHUNK_BYTES = 1 << 20
_TAIL_BYTES = 4096


def logs(path: Path) -> Iterator[str]:
    """Names of the refs of a repository that have a reflog. Raises OSError."""
    for folder, _, names in os.walk(path / "logs", onerror=raise_unless_gone):
        for name in sorted(names):
            if not name.endswith(".lock"):
                yield Path(folder, name).relative_to(path / "logs").as_posix()


def begins_before(path: Path, name: str, before_s: float) -> bool:
    """Whether the first line of a ref's reflog is older than a time, and isn't one that was left for good."""
    with suppress(OSError), open(path / "logs" / name, "rb") as log:
        at = _time(log.readline(4096))
        return at is not None and at < before_s and bool(log.readline(4096))
    return False


def expire(refs: Refs, name: str, before_s: float, work: Path) -> int:
    """Cut off the lines of a ref's reflog that are older than a time; by how many bytes the file is shorter now.

    What stays, however old: the last line; of a branch, all from the last line that gitctx wrote, because that writer
    has looked at all lines before it and brought back what had been thrown off, and nobody has looked at those after.
    An old line that comes to be the first one says that the log begins there. `work` is a folder on the same file
    system. Raises OSError, RefLocked, RefMoved, BrokenHistory; nothing was changed then.
    """
    log, copy = refs.path / "logs" / name, work / "reflog"
    with open(log, "rb") as source:
        status = os.fstat(source.fileno())
        cut = _cut(source.fileno(), status.st_size, before_s, branch=name.startswith("refs/heads/"))
        if cut == 0:
            return 0
        source.seek(cut)
        with open(copy, "w+b") as target:
            os.fchmod(target.fileno(), status.st_mode & 0o777)
            first = source.readline()
            at = _time(first)
            if at is not None and at < before_s and first[:40].decode("ascii", "replace") != NO_OBJECT:
                first = NO_OBJECT.encode() + first[40:]
            target.write(first)
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
            failpoints.hit("reflog.before_lock")
            with refs.locked(name):
                if os.stat(log).st_ino != status.st_ino or not _ends_alike(source, target, len(first)):
                    return 0
                target.write(source.read())
                target.flush()
                os.fsync(target.fileno())
                failpoints.hit("reflog.before_rename")
                os.rename(copy, log)
                failpoints.hit("reflog.after_rename")
    return cut


def _ends_alike(source: IO[bytes], target: IO[bytes], first_bytes: int) -> bool:
    """Whether what was copied last is still there: a writer who lost takes its line back."""
    copied, end = target.tell(), source.tell()
    size = min(_TAIL_BYTES, copied - first_bytes)
    return os.pread(target.fileno(), size, copied - size) == os.pread(source.fileno(), size, end - size)


def _cut(descriptor: int, size: int, before_s: float, *, branch: bool) -> int:
    """Where the part of a log begins that stays."""
    at, last, last_own = 0, 0, 0 if branch else None
    found: int | None = None
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                break
            time = _time(line)
            if found is None and (time is None or time >= before_s):
                found = at
            last = at
            if branch and _OWN.search(line):
                last_own = at
            at += len(line)
    stays = last if last_own is None else last_own
    return min(stays, found) if found is not None else stays


def _time(line: bytes) -> int | None:
    match = _TIME.search(line.rstrip(b"\n"), 82)
    return int(match[1]) if match is not None else None
