"""One write on its way, and how its caller learns what became of it."""

from __future__ import annotations

import threading

from gitctx.store import withdrawal
from gitctx.store.request import Request
from gitctx.values import Written


class Pending:
    """A write that was asked for and isn't settled yet.

    `look_since`: another writer may have published it already, on a head after this one; history has to be asked before
    it is made (again). None: surely nobody has.
    """

    __slots__ = ("_bell", "_outcome", "_withdrawal", "id", "leads", "look_since", "request", "retries", "settled")

    def __init__(self, request: Request, id: str) -> None:
        self.request = request
        self.id = id
        self.retries = 0
        self.look_since: str | None = None
        self.leads = False
        self.settled = False
        """Whether it is known what became of it; stays so when the caller has taken the outcome."""
        self._outcome: Written | BaseException | None = None
        self._bell: threading.Lock | None = None
        self._withdrawal = withdrawal.current()

    def settle(self, outcome: Written | BaseException) -> None:
        """It was made, or it failed: wake its caller."""
        self._outcome = outcome
        self.settled = True
        self._ring()

    def lead(self) -> None:
        """Its caller is to go on by itself, for all who wait in this program: wake it."""
        self.leads = True
        self._ring()

    def may_be_withdrawn(self) -> bool:
        """Whether its caller waits no longer, and surely nobody else has begun to make it."""
        return self._withdrawal is not None and self._withdrawal.withdrawn and self.look_since is None

    def result(self) -> Written:
        """The acknowledgement. Raises why there is none."""
        if isinstance(self._outcome, Written):
            return self._outcome
        assert self._outcome is not None
        try:
            raise self._outcome
        finally:
            self._outcome = None

    def prepare(self) -> None:
        """Call before anybody else can see this: there will be a `wait`."""
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self) -> None:
        """Sleep until it is settled or has to lead."""
        assert self._bell is not None
        self._bell.acquire()

    def _ring(self) -> None:
        if self._bell is not None and self._bell.locked():
            self._bell.release()
