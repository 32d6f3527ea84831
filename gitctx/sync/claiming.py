"""Claims that are only acknowledged when a remote has them: of two machines, the one published first has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitctx.errors import ClaimHeld, ClaimLost, ClaimNotFound, GitctxError
from gitctx.sessions.standing import held
from gitctx.store.withdrawal import seen_through, stop_if_withdrawn
from gitctx.sync.exchange import rejected

if TYPE_CHECKING:
    from gitctx.sessions import Claims
    from gitctx.sync.sync import Sync
    from gitctx.values import Claim

_LOOK_EVERY_S = 1.0


def claim_remotely(
    sync: Sync,
    claims: Claims,
    name: str,
    *,
    remote: str | None,
    ttl_s: float | None,
    message: str,
    wait_s: float,
    renew: bool,
    id: str | None,
) -> Claim:
    """See `Sync.claim`."""
    config = sync.store.config
    deadline = config.monotonic() + wait_s
    while True:
        _publish(sync, remote)  # first of all, see what others have claimed
        try:
            made = claims.claim(name, ttl_s=ttl_s, message=message, renew=renew, id=id)
            return _published(sync, claims, made, remote, renewed=renew)
        except ClaimHeld:
            if config.monotonic() >= deadline:
                raise
        config.sleep(min(_LOOK_EVERY_S, max(0.0, deadline - config.monotonic())))
        stop_if_withdrawn()


def _published(sync: Sync, claims: Claims, made: Claim, remote: str | None, *, renewed: bool) -> Claim:
    """The claim, once the remote has it. Else it is given up here as well, and the error says why."""
    try:
        _publish(sync, remote)
    except GitctxError as error:
        if not renewed:
            _give_up(claims, made, error)
        raise
    try:
        now = claims.get(made.name)
    except ClaimNotFound:
        raise ClaimLost(
            f"the claim '{made.name}' was ended on the remote while it was being made",
            hint=f"`gitctx claim {made.name} --remote` claims it anew",
            details={"name": made.name},
        ) from None
    if now.id != made.id:
        raise held(now, own=False)
    return now


def _publish(sync: Sync, remote: str | None) -> None:
    report = sync.exchange(remote, only_context=True)
    refused = rejected(report.remote, report)
    if refused is not None:
        raise refused


def _give_up(claims: Claims, made: Claim, why: GitctxError) -> None:
    try:
        with seen_through():
            claims.release(made.name, only=made.id)
    except GitctxError as error:
        why.add_note(f"the claim '{made.name}' couldn't be given up here: {error}")
        why.changed = "yes"
