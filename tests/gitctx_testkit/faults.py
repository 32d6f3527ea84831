"""A disk that fails at the n-th call that gitctx makes to it."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CALLS: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("open", "read", "pread", "write", "pwrite", "fsync", "lseek", "fstat", "stat")),
    *(
        (os, name)
        for name in ("rename", "link", "unlink", "mkdir", "rmdir", "truncate", "ftruncate", "utime", "scandir")
    ),
    (io, "open"),
    (fcntl, "flock"),
    (fcntl, "fcntl"),
)
WRITING = frozenset({"os.open", "os.write", "os.pwrite", "os.link", "os.mkdir", "os.rename", "os.fsync"})


class Disk:
    """What gitctx asked of the disk, in order; and where it was refused."""

    def __init__(self, fail_at: int | None, errno: int, *, only: frozenset[str] | None, lasting: bool) -> None:
        self.calls: list[str] = []
        self.refused: list[str] = []
        self._fail_at = fail_at
        self._errno = errno
        self._only = only
        self._lasting = lasting

    def ask(self, name: str) -> None:
        """Count a call; raises OSError if it is to fail."""
        if self._only is not None and name not in self._only:
            return
        number = len(self.calls)
        self.calls.append(name)
        if self._fail_at is not None and (number == self._fail_at or (self._lasting and number > self._fail_at)):
            self.refused.append(name)
            raise OSError(self._errno, os.strerror(self._errno))


@contextmanager
def disk(
    fail_at: int | None = None, errno: int = 0, *, only: frozenset[str] | None = None, lasting: bool = False
) -> Iterator[Disk]:
    """Within the block the call number `fail_at` (from 0; with `lasting`, each one from there on) raises OSError.

    Only calls that gitctx makes itself are counted, and of these only those in `only`.
    """
    watched = Disk(fail_at, errno, only=only, lasting=lasting)
    originals = [(module, name, getattr(module, name)) for module, name in _CALLS]
    for module, name, original in originals:
        setattr(module, name, _asking(f"{module.__name__}.{name}", original, watched))
    try:
        yield watched
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _asking(name: str, original: Callable[..., Any], watched: Disk) -> Callable[..., Any]:
    def call(*arguments: Any, **more: Any) -> Any:
        if _called_by_gitctx():
            watched.ask(name)
        return original(*arguments, **more)

    return call


def _called_by_gitctx() -> bool:
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in (
        "pathlib",
        "contextlib",
        "genericpath",
    ):
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None and str(frame.f_globals.get("__name__", "")).startswith("gitctx.")
