"""Hints from the kernel that a name in a folder was replaced: Linux's inotify, through the C library.

Nothing rests on them. They are missing on other systems, for too many watchers (`fs.inotify.max_user_instances`), and
for what another host writes to a shared disk.
"""

from __future__ import annotations

import os
import select
import sys
import weakref
from contextlib import suppress
from pathlib import Path

_MOVED_TO, _CLOSE_WRITE = 0x80, 0x08
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
"""What IN_NONBLOCK and IN_CLOEXEC are. Source: inotify(7)."""


class Events:
    """Waits for hints about one folder; another thread may end the wait. Closed when nobody refers to it any more."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the kernel gives no hints."""
        if sys.platform != "linux":
            raise OSError("there is no inotify")
        import ctypes

        self._errno = ctypes.get_errno
        library = ctypes.CDLL(None, use_errno=True)
        self._add = library.inotify_add_watch
        self._folder = os.fsencode(folder)
        self._hints = library.inotify_init1(_FLAGS)
        if self._hints < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        opened = [self._hints]
        weakref.finalize(self, _close, opened).atexit = False  # a thread may rest there until the very end
        self._waker = os.eventfd(0, _FLAGS)
        opened.append(self._waker)
        self._poll = select.poll()
        for descriptor in opened:
            self._poll.register(descriptor, select.POLLIN)
        self.follow()

    def follow(self) -> None:
        """Follow the folder that has the name now. Costs next to nothing if it is the same. Raises OSError."""
        if self._add(self._hints, self._folder, _MOVED_TO | _CLOSE_WRITE) < 0:
            raise OSError(self._errno(), "inotify_add_watch")

    def wait(self, seconds: float) -> bool:
        """Wait for a hint: whether one came, or the wait was ended."""
        if not self._poll.poll(max(0.0, seconds) * 1000):
            return False
        self.take()
        return True

    def take(self) -> bool:
        """Whether there were hints that nobody has taken yet."""
        found = False
        with suppress(BlockingIOError):
            while os.read(self._hints, 4096):
                found = True
        return found

    def wake(self) -> None:
        """End the wait of another thread, and all later ones."""
        os.eventfd_write(self._waker, 1)


def _close(opened: list[int]) -> None:
    for descriptor in opened:
        with suppress(OSError):
            os.close(descriptor)
