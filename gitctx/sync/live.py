"""Keeping in step in the background: a thread that hands every change to a callback, and never lets one slip.

It stops by itself when its session ends, and it takes a rest when things go wrong again and again: then it says so
(`state`, `last_error`, a warning on the logger `gitctx.sync`), tries again after growing pauses, and goes on with the
very change that it stopped at.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from gitctx.errors import InvalidInput, RevisionNotFound, SessionError, SessionNotFound, StorageError
from gitctx.sync.switch import is_paused
from gitctx.sync.watch import PATIENCE_S, Watch

if TYPE_CHECKING:
    from gitctx.store import Store
    from gitctx.values import WatchedChange

State = Literal["off", "running", "paused", "backing off"]
OnChange = Callable[["WatchedChange"], object]

TOLERATED = 5
"""After so many failures of the callback in a row it takes a rest."""
FIRST_REST_S = 0.5
LONGEST_REST_S = 60.0
STOP_S = 4.0
"""So long `stop` waits for a callback that is at work."""
_AGAIN_S = 0.05
_LOOK_UP_EVERY_S = 1.0
_EXIT_S = 2.0

_log = logging.getLogger("gitctx.sync")
_log.addHandler(logging.NullHandler())
_alive: weakref.WeakSet[Live] = weakref.WeakSet()
_running: weakref.WeakSet[_Run] = weakref.WeakSet()
_registered: set[bool] = set()


class Live:
    """What keeps one program in step with a store. Off until it is started; may be started again after a stop.

    A forked child has no part in it: there it is off. Safe in threads.
    """

    def __init__(
        self, store: Store, *, session: str | None = None, require_active: Callable[[], object] | None = None
    ) -> None:
        """`session`: whose own changes are left out. `require_active` raises SessionError once the session has
        ended, whoever ended it; it is asked about every second.
        """
        self._store = store
        self._session = session
        self._require_active = require_active
        self._run: _Run | None = None
        self._guard = threading.Lock()
        _alive.add(self)

    @property
    def state(self) -> State:
        """Whether changes are handed out now: `off`, `running`, `paused` (the whole store is, see `gitctx sync pause`),
        or `backing off` after repeated failures.
        """
        run = self._current()
        return "off" if run is None else run.state

    @property
    def last_error(self) -> BaseException | None:
        """What went wrong last since it was started; None if nothing did."""
        return self._run.last_error if self._run is not None else None

    def start(
        self, on_change: OnChange, *, prefix: str = "", include_self: bool = False, since: str | None = None
    ) -> None:
        """Call `on_change` with every change below a folder that is made from now on (or was since `since`), one after
        the other, in a thread of its own. With `include_self` also with what the own session wrote.

        Each change comes at least once, in order. A callback that raises gets the same change again; should the place
        in history be lost for good (rotated away), it gets every entry as added, and then goes on. Raises InvalidInput
        if it runs already, InvalidKey, StorageError if there is no thread to be had, and what `Branch.head` raises.
        """
        with self._guard:
            if self._current() is not None:
                raise InvalidInput("it is running already", hint="stop it first")
            own = None if include_self else self._session
            watch = Watch(self._store, prefix=prefix, since=since, exclude_session=own)
            self._run = _Run(self._store, watch, on_change, self._require_active)
            if not _registered:
                _registered.add(True)
                atexit.register(_end_all)
            _running.add(self._run)
            try:
                self._run.start()
            except RuntimeError as error:
                self._run.end()
                raise StorageError(
                    f"no thread can be started: {error}", hint="the system gives no more; end some of them"
                ) from error

    def stop(self, *, wait_s: float = STOP_S) -> None:
        """Hand out nothing more. Waits for a callback that is at work, but no longer than `wait_s` seconds."""
        run = self._current()
        if run is None:
            return
        run.end()
        if run is not threading.current_thread():
            run.join(wait_s)
            if wait_s and run.is_alive():
                _log.warning("a callback of a live session is still at work; nothing more is told to it")

    def _current(self) -> _Run | None:
        run = self._run
        return run if run is not None and run.pid == os.getpid() and run.state != "off" else None


class _Run(threading.Thread):
    """One run, from a start to its stop."""

    def __init__(
        self, store: Store, watch: Watch, on_change: OnChange, require_active: Callable[[], object] | None
    ) -> None:
        super().__init__(name="gitctx-live", daemon=True)
        self.pid = os.getpid()
        self.last_error: BaseException | None = None
        self._path = store.path
        self._watch = watch
        self._on_change = on_change
        self._require_active = require_active
        self._stopped = threading.Event()
        self._due: WatchedChange | None = None
        self._failures = 0
        self._held_up = False
        self._unknown_since: float | None = None

    @property
    def state(self) -> State:
        if self._stopped.is_set():
            return "off"
        if self._failures >= TOLERATED:
            return "backing off"
        return "paused" if self._held_up or self._watch.paused else "running"

    def end(self) -> None:
        """Let it come to its end; may be called from any thread, and from a signal handler."""
        self._stopped.set()
        self._watch.close()

    def run(self) -> None:
        try:
            while not self._stopped.is_set() and self._session_goes_on():
                if self._look_out():
                    self._hand_out()
        finally:
            self.end()

    def _session_goes_on(self) -> bool:
        if self._require_active is None:
            return True
        try:
            self._require_active()
        except SessionNotFound as error:  # its branch may be moved for a moment: by force, or by a recovery
            now = time.monotonic()
            self._unknown_since = self._unknown_since if self._unknown_since is not None else now
            self.last_error = error
            return now - self._unknown_since < PATIENCE_S
        except SessionError as error:
            self.last_error = error
            return False
        except Exception:  # noqa: BLE001 - the watch sees for itself, and has more patience
            return True
        self._unknown_since = None
        return True

    def _look_out(self) -> bool:
        """Wait for a change; whether one is due, and may be handed out."""
        if self._due is not None:
            self._held_up = is_paused(self._path)
            if self._held_up:
                self._stopped.wait(_AGAIN_S)
            return not self._held_up
        try:
            self._due = self._watch.next(_LOOK_UP_EVERY_S)
        except RevisionNotFound as error:
            _log.warning("a live session lost its place in history, and is told every entry anew: %s", error)
            self.last_error = error
            self._watch.begin_anew()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to come back by itself
            self._failures = max(self._failures, TOLERATED - 1)  # the watch has tried for long
            self._fail(error)
        else:
            if self._due is None:
                self._succeed()
        return self._due is not None and not self._stopped.is_set()

    def _hand_out(self) -> None:
        assert self._due is not None
        try:
            self._on_change(self._due)
        except Exception as error:  # noqa: BLE001 - whatever the callback raises
            self._fail(error)
        else:
            self._due = None
            self._succeed()

    def _succeed(self) -> None:
        if self._failures >= TOLERATED:
            _log.warning("a live session goes on")
        self._failures = 0

    def _fail(self, error: Exception) -> None:
        self.last_error = error
        if self._failures + 1 == TOLERATED:
            _log.warning("a live session takes a rest after repeated failures, the last one: %r", error)
        self._failures += 1
        self._stopped.wait(max(_AGAIN_S, rest_s(self._failures)))


def rest_s(failures: int) -> float:
    """How long to rest after so many failures in a row: nothing until there are `TOLERATED`, then twice as long each
    time, up to a minute.
    """
    if failures < TOLERATED:
        return 0.0
    return min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(failures - TOLERATED, 32))


def _end_all() -> None:
    """At the program's exit: nobody is told anything any more, and what is at work gets a moment to end."""
    runs = [run for run in list(_running) if run.pid == os.getpid()]
    for run in runs:
        run.end()
    deadline = time.monotonic() + _EXIT_S
    for run in runs:
        with suppress(RuntimeError):
            run.join(max(0.0, deadline - time.monotonic()))


def _renew_locks() -> None:
    """In a forked child: a lock that another thread of the parent held would never be released."""
    for live in _alive:
        live._guard = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)
