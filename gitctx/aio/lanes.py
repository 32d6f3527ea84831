"""Worker threads: a bounded number for each kind of work, so that one kind never waits for another.

They are daemons, unlike those of `concurrent.futures`: a thread that waits for a change, or for a disk that doesn't
answer, never keeps a program from ending. A thread that has nothing to do for a while ends by itself.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from gitctx.errors import StorageError

R = TypeVar("R")

_IDLE_S = 5.0

_lanes: weakref.WeakSet[Lane] = weakref.WeakSet()


class Lane:
    """At most `limit` threads for one kind of work. What doesn't find a free one waits in order. Safe in threads."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._begin_anew()
        _lanes.add(self)

    def _begin_anew(self) -> None:
        """No threads, no work. Also in a forked child, which has none of its parent's."""
        self._guard = threading.Condition(threading.Lock())
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Have work done by a thread. Until one begins with it, the future can be cancelled.

        Raises StorageError if the system gives no thread at all.
        """
        future: Future[R] = Future()
        with self._guard:
            self._jobs.append((future, work))
            if len(self._jobs) <= self._idle:
                self._guard.notify()
            elif self._threads < self._limit:
                self._start_thread()
        return future

    def close(self) -> None:
        """Let the threads end when what was submitted is done."""
        with self._guard:
            self._closed = True
            self._guard.notify_all()

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._run, name=f"gitctx-{self._name}", daemon=True).start()
            self._threads += 1
        except RuntimeError as error:
            if not self._threads:
                self._jobs.pop()
                raise StorageError(
                    f"the system gives no thread to work with: {error}", hint="end some, or raise the limit (ulimit -u)"
                ) from error

    def _run(self) -> None:
        while (job := self._next()) is not None:
            _do(*job)
            del job

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """The next job; None if this thread isn't needed any more."""
        with self._guard:
            while not self._jobs:
                self._idle += 1
                woken = not self._closed and self._guard.wait(_IDLE_S)
                self._idle -= 1
                if not woken and not self._jobs:
                    self._threads -= 1
                    return None
            return self._jobs.popleft()


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except StopIteration as error:
        # No future of asyncio takes it: whoever waits would never be woken.
        raised = RuntimeError("a function that was called raised StopIteration")
        raised.__cause__ = error
        future.set_exception(raised)
    except BaseException as error:  # noqa: BLE001 (it is the caller's, in the other thread)
        future.set_exception(error)
    else:
        future.set_result(result)


def _forget_threads() -> None:
    for lane in list(_lanes):
        lane._begin_anew()


os.register_at_fork(after_in_child=_forget_threads)
