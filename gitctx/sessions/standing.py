"""How a claim stands at one revision: who holds it, whether they live, whether it is free. And how that is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import ClaimHeld, ClaimNotFound, CorruptStore, SessionNotFound
from gitctx.format.documents import format_time
from gitctx.format.keys import check_claim_name
from gitctx.format.records import decode_claim
from gitctx.values import Claim, Etag

if TYPE_CHECKING:
    from gitctx.sessions.roster import Roster
    from gitctx.store import View

_FREE = ("expired", "dead", "ended")


class Standing(NamedTuple):
    """What lies at a claim's key: nothing, a claim, or something that can't be read (`fault`)."""

    etag: Etag | None
    claim: Claim | None
    data: bytes
    fault: CorruptStore | None


def look(view: View, name: str, roster: Roster, now: datetime) -> Standing:
    """How a claim stands. Raises InvalidName."""
    etag = view.etag(check_claim_name(name))
    if etag is None:
        return Standing(None, None, b"", None)
    data = view.blob(etag)
    try:
        claim = decode_claim(name, data)
    except CorruptStore as error:
        return Standing(etag, None, data, error)
    return Standing(etag, with_state(claim, roster, now), data, None)


def with_state(claim: Claim, roster: Roster, now: datetime) -> Claim:
    """The claim with the state of its holder. A session that this store doesn't know (yet) is silent."""
    if claim.expires_at <= now:
        return replace(claim, holder_state="expired")
    if claim.session is None:
        return replace(claim, holder_state="none")
    try:
        return replace(claim, holder_state=roster.state(claim.session))
    except (SessionNotFound, CorruptStore):
        return replace(claim, holder_state="silent")


def claim_in(found: Standing) -> Claim | None:
    """The claim that stands there; None if there is none. Raises CorruptStore: who holds that one, nobody knows."""
    if found.fault is not None:
        raise found.fault
    return found.claim


def is_free(claim: Claim) -> bool:
    """Whether a claim that lies there holds nothing any more, so that anybody may take it over."""
    return claim.holder_state in _FREE


def holder(claim: Claim) -> str:
    """Who holds a claim, in words."""
    if claim.session is None:
        return f"{claim.actor} (outside any session{', expired' if claim.holder_state == 'expired' else ''})"
    return f"{claim.actor} (session {claim.session}, {claim.holder_state})"


def held(claim: Claim, *, own: bool) -> ClaimHeld:
    """The error for a claim that stands in the way."""
    reason = f": {claim.message}" if claim.message else ""
    if own:
        hint = "it is your own: --renew extends it, `gitctx release` ends it"
    elif claim.holder_state == "silent":
        hint = "nothing proves that its holder is gone: it runs out by itself, or end it with `gitctx release --force`"
    else:
        hint = "take other work, or wait for it with --wait SECONDS"
    return ClaimHeld(
        f"'{claim.name}' is claimed by {holder(claim)} until {format_time(claim.expires_at)}{reason}",
        hint=hint,
        details={
            "name": claim.name,
            "id": claim.id,
            "session": claim.session,
            "actor": claim.actor,
            "holder_state": claim.holder_state,
            "expires_at": format_time(claim.expires_at),
            "message": claim.message,
        },
    )


def claim_not_found(name: str) -> ClaimNotFound:
    """The error for a claim that isn't there."""
    return ClaimNotFound(
        f"there is no claim '{name}'", hint="`gitctx claims` lists those there are", details={"name": name}
    )
