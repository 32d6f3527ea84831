"""Claims: making, extending, ending and checking them, and waiting for one.

A claim is the entry `.gitctx/claims/<name>` of the context. Of several who claim one name, the first one published has
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gitctx.errors import ClaimHeld, GitctxError, InvalidInput
from gitctx.format.documents import format_time, new_ulid, to_canonical_json
from gitctx.format.keys import CLAIMS_PREFIX, check_actor, check_message
from gitctx.format.records import encode_claim
from gitctx.sessions.claim_writer import ClaimWriter, Decision
from gitctx.sessions.standing import Standing, claim_in, claim_not_found, held, holder, is_free
from gitctx.store.withdrawal import stop_if_withdrawn
from gitctx.values import Claim, SessionId

if TYPE_CHECKING:
    from gitctx.sessions.roster import Roster
    from gitctx.store import Store, View
    from gitctx.values import Written

MIN_TTL_S = 1.0
MAX_TTL_S = 30 * 24 * 3600.0
_LOOK_EVERY_S = 0.5
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.05


class Claims:
    """The claims of a store, as one actor (and perhaps one session) makes them. Safe in threads.

    A session's claims are free for others when it has ended or is proved dead; without a session only time ends them.
    """

    def __init__(self, store: Store, sessions: Roster, *, actor: str, session: str | None) -> None:
        self._store = store
        self._writer = ClaimWriter(
            store, sessions, check_actor(actor), SessionId(session) if session is not None else None
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Claim:
        """One claim with its holder's state. Raises InvalidName, ClaimNotFound, CorruptStore."""
        claim = claim_in(self._writer.look(name))
        if claim is None:
            raise claim_not_found(name)
        return claim

    def list(self) -> Sequence[Claim]:
        """All claims, sorted by name, each with its holder's state.

        One that can't be read is there too, without id, actor and times: it stands in the way until it is released.
        """
        view = self._store.context.view()
        names = [key.removeprefix(CLAIMS_PREFIX) for key, _ in view.etags(CLAIMS_PREFIX)]
        standings = [(name, self._writer.look(name, view)) for name in names]
        return [found.claim or _unreadable(name, found) for name, found in standings]

    def guard(self, view: View, name: str) -> None:
        """Raise unless the caller holds the claim at that view: ClaimHeld if somebody else does, else ClaimLost."""
        claim = claim_in(self._writer.look(name, view))
        if claim is None:
            raise self._writer.lost(name, "nobody holds it")
        if claim.holder_state == "expired":
            raise self._writer.lost(name, f"it ran out at {format_time(claim.expires_at)}")
        if not self._writer.is_own(claim):
            if is_free(claim):
                raise self._writer.lost(name, f"it is left over from {holder(claim)}")
            raise held(claim, own=False)

    # -- writing ------------------------------------------------------------------------------------------------------

    def claim(
        self,
        name: str,
        *,
        ttl_s: float | None = None,
        message: str = "",
        wait_s: float = 0.0,
        renew: bool = False,
        id: str | None = None,
    ) -> Claim:
        """Claim a piece of work for `ttl_s` seconds (1 s to 30 days; None: what the store's settings say).

        Of several who claim one name, exactly one gets it; a second process of the same session is refused like any
        other. With `wait_s`, wait that long for it to become free. `renew` extends a claim that the caller holds. The
        same `id` again gives the same claim while it is held. Raises ClaimHeld (its details say by whom), ClaimLost,
        InvalidName, InvalidInput, CorruptStore, SessionEnded, and what `Branch.write` raises.
        """
        if renew:
            return self.renew(name, ttl_s=ttl_s, message=message, id=id)
        _check_ttl(ttl_s)
        if not wait_s >= 0:
            raise InvalidInput(f"a claim can't be waited for {wait_s} seconds", hint="give 0 or more seconds")
        deadline = self._store.config.monotonic() + wait_s
        while True:
            try:
                return self._make(name, ttl_s=ttl_s, message=check_message(message), id=id)
            except ClaimHeld:
                if self._store.config.monotonic() >= deadline:
                    raise
            self._wait_until_free(name, deadline)

    def renew(
        self,
        name: str,
        *,
        ttl_s: float | None = None,
        message: str = "",
        id: str | None = None,
        only: str | None = None,
    ) -> Claim:
        """Extend a claim that the caller holds: it ends `ttl_s` from now. A new message replaces the old one.

        With `only`, just the claim of that claim id. Raises ClaimLost, and what `claim` raises.
        """
        _check_ttl(ttl_s)
        text = check_message(message)

        def decide(found: Standing) -> Decision:
            claim = claim_in(found)
            if claim is None or claim.holder_state == "expired":
                raise self._writer.lost(name, "there is nothing to extend")
            if not self._writer.is_own(claim) or only not in (None, claim.id):
                raise self._writer.lost(name, f"it is held by {holder(claim)}")
            expires_at = self._store.config.clock() + timedelta(seconds=self._ttl(ttl_s))
            after = replace(claim, expires_at=expires_at, message=text or claim.message)
            return Decision(to_canonical_json({**json.loads(found.data), **json.loads(encode_claim(after))}))

        more: dict[str, object] = {"ttl_s": ttl_s, "renew": True}
        return self._made(name, self._writer.write("claim", name, decide, message=text, id=id, more=more))

    def release(
        self, name: str, *, force: bool = False, message: str = "", id: str | None = None, only: str | None = None
    ) -> Written:
        """End a claim: the caller's own, or one that holds nothing any more; with `force` anybody's.

        With `only`, just the claim of that claim id. Raises ClaimNotFound, ClaimHeld, ClaimLost (with `only`),
        InvalidName, CorruptStore (a claim that can't be read, without `force`), and what `Branch.write` raises.
        """

        def decide(found: Standing) -> Decision:
            if found.fault is not None and force:
                return Decision(None, "The claim couldn't be read.")
            claim = claim_in(found)
            if claim is None:
                raise claim_not_found(name)
            if only not in (None, claim.id):
                raise self._writer.lost(name, f"it is held by {holder(claim)}")
            if self._writer.is_own(claim):
                return Decision(None)
            if not force and not is_free(claim):
                raise held(claim, own=False)
            return Decision(None, f"The claim was held by {holder(claim)}.")

        text = check_message(message)
        return self._writer.write("release", name, decide, message=text, id=id, more={"force": force})

    @contextmanager
    def hold(self, name: str, *, ttl_s: float | None = None, message: str = "", wait_s: float = 0.0) -> Iterator[Claim]:
        """Claim for the time of a `with` block: extended by a thread at half its time, released at the end.

        Raises ClaimLost at the end if it was lost meanwhile, and what `claim` raises at the beginning.
        """
        from gitctx.sessions.keeper import Keeper

        keeper = Keeper(self, self.claim(name, ttl_s=ttl_s, message=message, wait_s=wait_s))
        try:
            yield keeper.claim
        except BaseException as error:
            try:
                keeper.finish()
            except GitctxError as failed:
                error.add_note(f"besides, the claim '{name}': {failed}")
            raise
        keeper.finish()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _make(self, name: str, *, ttl_s: float | None, message: str, id: str | None) -> Claim:
        config, writer = self._store.config, self._writer
        claim_id = new_ulid(config.clock(), config.rng)

        def decide(found: Standing) -> Decision:
            before = claim_in(found)
            if before is not None and not is_free(before):
                raise held(before, own=writer.is_own(before))
            now = config.clock()
            expires_at = now + timedelta(seconds=self._ttl(ttl_s))
            claim = Claim(name, claim_id, writer.session, writer.actor, message, now, expires_at)
            return Decision(encode_claim(claim), f"Taken over from {holder(before)}." if before is not None else "")

        return self._made(name, writer.write("claim", name, decide, message=message, id=id, more={"ttl_s": ttl_s}))

    def _made(self, name: str, written: Written) -> Claim:
        """The claim that a write made, as it is now. (A repeated id may name one that was lost since.)"""
        made = claim_in(self._writer.look(name, self._store.context.view(written.revision)))
        claim = claim_in(self._writer.look(name))
        if claim is None or made is None or claim.id != made.id or claim.holder_state == "expired":
            raise self._writer.lost(name, "it has ended since")
        return claim

    def _ttl(self, ttl_s: float | None) -> float:
        return ttl_s if ttl_s is not None else self._store.context.view().settings().claim_ttl_s

    def _wait_until_free(self, name: str, deadline: float) -> None:
        """Watch the head (one small file), and look at the holder twice a second, until the claim is free or time is
        up.
        """
        config, branch = self._store.config, self._store.context
        head, looked, pause = branch.head(), config.monotonic(), _FIRST_PAUSE_S
        while (left := deadline - config.monotonic()) > 0:
            config.sleep(min(pause, left))
            stop_if_withdrawn()
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)
            now_head = branch.head()
            if now_head != head or config.monotonic() - looked >= _LOOK_EVERY_S:
                claim = claim_in(self._writer.look(name))
                if claim is None or is_free(claim):
                    return
                head, looked = now_head, config.monotonic()


def _check_ttl(ttl_s: float | None) -> None:
    if ttl_s is not None and (isinstance(ttl_s, bool) or not MIN_TTL_S <= ttl_s <= MAX_TTL_S):
        raise InvalidInput(
            f"a claim can't be held for {ttl_s} seconds",
            hint=f"give {MIN_TTL_S:g} to {MAX_TTL_S:g} seconds (30 days); a claim can be extended",
            details={"ttl_s": ttl_s},
        )


def _unreadable(name: str, found: Standing) -> Claim:
    never = datetime.fromtimestamp(0, UTC)
    return Claim(name, "", None, "", found.fault.message if found.fault is not None else "", never, never)
