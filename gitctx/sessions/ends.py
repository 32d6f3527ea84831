"""Ends that nobody asked for: the program exits, or a signal is about to end it, and it still holds sessions.

A signal's handler runs in the main thread, between any two steps of whatever that is doing: perhaps in the middle of a
write, with our locks held. So it does no git work and takes no lock of ours. It starts a thread that ends the sessions
through handles of its own, waits for that one for a limited time, and lets the signal take its usual effect. Signals
that the host program handles, or ignores, are left to it. See docs/technical/sessions.md.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitctx.sessions.session import Session

LIMIT_S = 4.5
"""So long an exit or a signal waits for the ends at most."""
_STEP_S = 0.05
"""A second signal is heeded after so long at most: one that comes just when a wait begins doesn't interrupt it."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

_expected: dict[int, tuple[Session, bool]] = {}
_asked: set[int] = set()
_registered: set[bool] = set()


def expect(session: Session, *, on_signals: bool) -> None:
    """See to it that a held session ends with this program at the latest.

    Handlers can only be set by the main thread, and are only set for signals that nobody handles or ignores.
    """
    if not _registered:
        _registered.add(True)
        atexit.register(_on_exit)
    _expected[id(session)] = (session, on_signals)
    if on_signals and _in_main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _on_signal)


def expect_no_more(session: Session) -> None:
    """The session has ended: with the last one our handlers go, as far as they are still there."""
    _expected.pop(id(session), None)
    if any(on_signals for _, on_signals in list(_expected.values())) or not _in_main_thread():
        return
    for number in SIGNALS:
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, signal.SIG_DFL)


def end_all(reason: str) -> None:
    """End every session that is expected to, within `LIMIT_S` seconds or not at all."""
    sessions = [session for session, _ in list(_expected.values())]
    done = threading.Event()

    def run() -> None:
        for session in sessions:
            with suppress(Exception):
                session.end_apart(reason)
        done.set()

    if not sessions:
        return
    try:
        threading.Thread(target=run, name="gitctx-end", daemon=True).start()
    except RuntimeError:  # the system gives no more threads, or the interpreter is going down
        run()
    deadline = time.monotonic() + LIMIT_S
    while (left := deadline - time.monotonic()) > 0 and not done.wait(min(left, _STEP_S)):
        pass


def _on_exit() -> None:
    end_all("the program ended")


def _on_signal(number: int, frame: FrameType | None) -> None:
    """End the sessions, then let the signal do what it does where nobody handles it; a second one does so at once."""
    if not _asked:
        _asked.add(number)
        end_all(signal.Signals(number).name)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # nobody ends the first process of a container by a signal's default action


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _forget_in_child() -> None:
    """A forked child has no part in its parent's sessions, nor in what the parent was asked."""
    _expected.clear()
    _asked.clear()


os.register_at_fork(after_in_child=_forget_in_child)
