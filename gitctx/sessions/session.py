"""A session as the program that started it has it in hand."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitctx.errors import GitctxError, InvalidInput, LeaseLost, SessionEnded, SessionNotFound, SessionTaken
from gitctx.sessions import ends
from gitctx.values import Recovery, SessionId, SessionRecord

if TYPE_CHECKING:
    from types import TracebackType

    from gitctx.sessions.companions import Companions, Sync
    from gitctx.sessions.issuing import Issuer
    from gitctx.sessions.sessions import Sessions

BEAT_EVERY_S = 15.0
"""How often a held session beats."""
_PATIENCE_S = 1.0
"""How long an end waits for a heartbeat that hangs, on a disk that doesn't answer."""

_in_hand: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """A session that was started here. As a context manager it ends gracefully with its block, even with an exception.

    If it is held, this process has the lock on its lease until the session ends, and a thread beats. The thread never
    keeps a program alive. A forked child has no part in it: there `end` and `beat` raise LeaseLost, and leaving the
    block does nothing.
    """

    def __init__(self, sessions: Sessions, issuer: Issuer, record: SessionRecord, lock: int | None) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._record = record
        self._lock = lock
        self.recovery = Recovery()
        """What was recovered when this session started."""
        self._pid = os.getpid()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()
        self._context: Any = None
        self._sync: Sync | None = None
        _in_hand.add(self)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid:
            return
        try:
            self.end(reason=kind.__name__ if kind is not None else "")
        except GitctxError as failed:
            if error is None:
                raise
            error.add_note(f"the session {self.id} couldn't be ended: {failed}")

    @property
    def id(self) -> SessionId:
        """The session's id."""
        return self._record.id

    @property
    def record(self) -> SessionRecord:
        """The record as it was when the session started; once it was ended here, as it was then."""
        return self._record

    @property
    def context(self) -> Any:
        """The context (a `gitctx.Context`) in which this session reads and writes."""
        if self._context is None:
            self._context = self._companions().context_of(self)
        return self._context

    @property
    def sync(self) -> Sync:
        """What keeps this session in step with what others write, once it is started: `session.sync.start(callback)`.
        It stops when the session ends. Raises LeaseLost in a forked child.
        """
        self._refuse_in_child()
        if self._sync is None:
            self._sync = self._companions().sync_of(self)
        return self._sync

    @property
    def held(self) -> bool:
        """Whether this process holds the lease's lock."""
        return self._lock is not None and os.getpid() == self._pid

    def beat(self) -> None:
        """Give a sign of life. Raises SessionEnded, SessionTaken, LeaseLost (also in a forked child)."""
        self._refuse_in_child()
        with self._guard:
            self._sessions.require_active(self.id)
            self._beat()

    def end(self, *, reason: str = "", graceful: bool = True) -> SessionRecord:
        """End the session; ending it again changes nothing. The record. Raises what `Branch.write` raises."""
        self._refuse_in_child()
        self._stop_beating()
        self._stop_syncing(_PATIENCE_S)
        try:
            self._record = self._sessions.end(self.id, reason=reason, graceful=graceful)
        except Exception:
            raise
        except BaseException:
            ends.expect_no_more(self)  # who interrupts an end doesn't want to wait for another one at the exit
            raise
        self._release()
        return self._record

    def end_apart(self, reason: str) -> None:
        """End the session through handles of its own, without waiting for anything that this program's other threads
        do, or for writers that stand still. Raises what `Branch.write` raises.
        """
        self._stop.set()
        if os.getpid() == self._pid:
            self._stop_syncing(0)
            self._record = self._sessions.apart().end(self.id, reason=reason)
            self._stop_beating()
            self._release()

    def _stop_beating(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE_S)

    def _stop_syncing(self, wait_s: float) -> None:
        if self._sync is not None:
            self._sync.stop(wait_s=wait_s)

    def _companions(self) -> Companions:
        if self._sessions.companions is None:
            raise InvalidInput(
                "this session was started without a context around it",
                hint="start it with `ctx.sessions.start(...)` of a context",
            )
        return self._sessions.companions

    def _release(self) -> None:
        """Let the lease's lock go, unless a heartbeat that hangs may still use it; then it goes with the process."""
        ends.expect_no_more(self)
        if self._guard.acquire(timeout=_PATIENCE_S):
            try:
                self._let_go()
            finally:
                self._guard.release()

    def keep_beating(self, every_s: float) -> None:
        """Beat from a thread until the session ends."""
        self._thread = threading.Thread(target=self._run, args=(every_s,), name="gitctx-heartbeat", daemon=True)
        self._thread.start()

    def _run(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            try:
                with self._guard:
                    self._beat()
            except (SessionEnded, SessionTaken, SessionNotFound, LeaseLost):
                return
            except (GitctxError, OSError):
                continue

    def _beat(self) -> None:
        """A lease that was deleted (with the whole working folder, say) is issued anew, if the session still counts."""
        if self._lock is None:
            self._sessions.beat(self.id)
        elif not self._issuer.beat_held(self.id, self._lock):
            self._sessions.require_active(self.id)
            renewed = self._issuer.issue(self._record, held=True)
            self._let_go()
            self._lock = renewed

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _refuse_in_child(self) -> None:
        if os.getpid() != self._pid:
            raise LeaseLost(
                f"the session {self.id} belongs to the process {self._pid}, and this is a child of it",
                hint="start a session of its own in the child, or let the parent end this one",
            )

    def _forget_in_child(self) -> None:
        """Close the child's copy of the lock, so that it goes with the parent."""
        lock, self._lock = self._lock, None
        self._thread = None
        if lock is not None:
            with suppress(OSError):
                os.close(lock)


def _forget_all_in_child() -> None:
    for session in list(_in_hand):
        session._forget_in_child()


os.register_at_fork(after_in_child=_forget_all_in_child)
