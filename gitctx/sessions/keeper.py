"""Keeping a claim for the time of a `with` block."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from gitctx.errors import ClaimHeld, ClaimLost, ClaimNotFound, GitctxError, SessionError

if TYPE_CHECKING:
    from gitctx.sessions.claims import Claims
    from gitctx.values import Claim

_AGAIN_AFTER_S = 5.0


class Keeper:
    """Extends a claim from a thread, at half its time, until it is told to finish."""

    def __init__(self, claims: Claims, claim: Claim) -> None:
        self.claim = claim
        self._claims = claims
        self._ttl_s = (claim.expires_at - claim.claimed_at).total_seconds()
        self._pid = os.getpid()
        self._stop = threading.Event()
        self._lost: SessionError | None = None
        self._thread = threading.Thread(target=self._run, name="gitctx-claim", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Stop extending and release. Raises ClaimLost if the claim was lost meanwhile. Nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        self._stop.set()
        self._thread.join()
        if self._lost is None:
            try:
                self._claims.release(self.claim.name, only=self.claim.id)
                return
            except (ClaimNotFound, ClaimHeld, SessionError) as error:
                lost: GitctxError = error
        else:
            lost = self._lost
        raise ClaimLost(
            f"the claim '{self.claim.name}' was lost while it was held: {lost.message}",
            hint="what was done under it may have been done by somebody else as well",
            details={"name": self.claim.name},
        ) from lost

    def _run(self) -> None:
        pause = self._ttl_s / 2
        while not self._stop.wait(pause):
            try:
                self._claims.renew(self.claim.name, ttl_s=self._ttl_s, only=self.claim.id)
                pause = self._ttl_s / 2
            except SessionError as error:
                self._lost = error
                return
            except GitctxError:
                pause = min(self._ttl_s / 10, _AGAIN_AFTER_S)
