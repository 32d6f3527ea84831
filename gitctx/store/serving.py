"""Publishing on for others: a program that has published keeps its turn for some rounds while others wait.

Whoever leads next would have to read what the last leader still has in memory, and that takes longer than publishing.
So the turn goes to a thread beside, while the caller whose write is done goes on. Each round makes the writes of all
who wait, in this program or with a mailbox. The turn is given back after a short time at most, when nobody asks any
more, and when somebody waits who has to make its write itself.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gitctx.store.attempt import Attempt

if TYPE_CHECKING:
    from gitctx.store.pending import Pending
    from gitctx.store.queue import Turn
    from gitctx.store.writer import Writer

LONGEST_S = 0.1
"""So long at most a turn is kept for others."""
_LINGER_S = 0.0015
_NAP_S = 0.0001
_JOIN_S = 1.0

_all: weakref.WeakSet[Serving] = weakref.WeakSet()


class Serving:
    """The rounds that a program makes for others on one turn. `end` gives the turn back, whatever happened."""

    def __init__(self, writer: Writer, turn: Turn, end: ExitStack, first: Attempt) -> None:
        self._writer = writer
        self._turn = turn
        self._end = end
        self._expected = first.made + first.served
        self._served = first.served
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="gitctx-serving", daemon=True)
        _all.add(self)

    def start(self) -> None:
        """Begin, in a thread of its own; at once in this one if there can't be any more."""
        try:
            self._thread.start()
        except RuntimeError:
            self._run()

    def stop(self) -> None:
        """Let the round that is under way be the last, and wait for it."""
        self._stopped = True
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            with self._end:
                self._rounds()
        finally:
            self._writer.hand_on()
        self._writer.repository.compact_if_due()

    def _rounds(self) -> None:
        until = time.monotonic() + LONGEST_S
        passed_over = None
        while not self._stopped and time.monotonic() < until and self._gather():
            first = self._turn.next_ticket()
            group: list[Pending] = []
            attempt = Attempt(self._writer, self._turn, group)
            try:
                if not attempt.run_for_others() or not attempt.made + attempt.served:
                    return
            finally:
                self._writer.put_back([pending for pending in group if not pending.settled])
            if first is not None and first == passed_over:
                return
            passed_over = first
            self._expected = attempt.made + attempt.served
            self._served += attempt.served

    def _gather(self) -> bool:
        """Wait, not long, until as many ask as did the last time; whether anybody does."""
        until = time.monotonic() + _LINGER_S
        while True:
            waiting = self._writer.count_waiting() + self._turn.drawn() - self._served
            if waiting >= self._expected:
                return True
            if time.monotonic() > until:
                return waiting > 0
            time.sleep(_NAP_S)


def _stop_all() -> None:
    for serving in list(_all):
        serving.stop()


atexit.register(_stop_all)
