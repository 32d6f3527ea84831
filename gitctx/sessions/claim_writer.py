"""Changing a claim: decided on how it stands, written only if it stands like that at the head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import ClaimLost, GitctxError, InvalidKey, InvalidName, RetriesExhausted
from gitctx.format.keys import check_claim_name, check_write_id
from gitctx.sessions.standing import Standing, look
from gitctx.store.edits import digest_of
from gitctx.store.request import Planned, Request

if TYPE_CHECKING:
    from gitctx.sessions.roster import Roster
    from gitctx.store import Store, View
    from gitctx.values import Claim, SessionId, Written


class Decision(NamedTuple):
    """What becomes of the claim's entry (None: it goes); if it was somebody else's, what the commit says of that."""

    data: bytes | None
    whose: str = ""


Decide = Callable[[Standing], Decision]
"""Decides on a claim, or raises why not."""


class _ClaimChangedError(Exception):
    """The claim isn't at the head what the decision was made on."""


class ClaimWriter:
    """Writes claims for one actor and perhaps one session."""

    def __init__(self, store: Store, sessions: Roster, actor: str, session: SessionId | None) -> None:
        self.store = store
        self.sessions = sessions
        self.actor = actor
        self.session = session

    def look(self, name: str, view: View | None = None) -> Standing:
        """How a claim stands, at a view or now."""
        return look(view or self.store.context.view(), name, self.sessions, self.store.config.clock())

    def is_own(self, claim: Claim) -> bool:
        """Whether this session holds a claim; without a session, whether this actor holds it without one."""
        return claim.session == self.session and (self.session is not None or claim.actor == self.actor)

    def lost(self, name: str, why: str) -> ClaimLost:
        """The error for a claim that the caller counts on and doesn't hold."""
        who = f"the session {self.session}" if self.session is not None else f"{self.actor} (outside any session)"
        return ClaimLost(
            f"{who} doesn't hold the claim '{name}': {why}",
            hint=f"`gitctx claim {name}` claims it anew, if it is free",
            details={"name": name, "session": self.session, "actor": self.actor},
        )

    def write(
        self, op: str, name: str, decide: Decide, *, message: str, id: str | None, more: dict[str, object]
    ) -> Written:
        """Decide and write, anew as long as the claim keeps changing in between. Raises what `decide` raises.

        With an id, a refusal goes through the write as well: the same write may have been made before.
        """
        key, config = check_claim_name(name), self.store.config
        if id is not None:
            check_write_id(id)
        deadline = config.monotonic() + config.retry.deadline_s
        digest = digest_of(op, [], name=name, session=self.session, actor=self.actor, **more)
        while True:
            found = self.look(name)
            outcome = _outcome(decide, found)
            if isinstance(outcome, GitctxError) and id is None:
                raise outcome
            request = Request(
                op=op,
                subject=f"{op} {name}",
                actor=self.actor,
                plan=self._planner(key, found, outcome),
                message=message if isinstance(outcome, GitctxError) else _joined(message, outcome.whose),
                session=self.session,
                id=id,
                digest=digest,
            )
            try:
                return self.store.context.write(request)
            except _ClaimChangedError:
                if config.monotonic() > deadline:
                    raise RetriesExhausted(
                        f"the claim '{name}' kept changing while this was being written",
                        hint="nothing was written; try again",
                    ) from None
            except InvalidKey as error:
                raise InvalidName(
                    f"the claim name '{name}' is refused: {error.message}",
                    hint="of two claims, neither name can be a folder of the other: use another name",
                ) from error

    def _planner(self, key: str, found: Standing, outcome: Decision | GitctxError) -> Callable[[View], Planned]:
        def plan(view: View) -> Planned:
            if view.etag(key) != found.etag:
                raise _ClaimChangedError
            if self.session is not None:
                self.sessions.require_active(self.session)
            if isinstance(outcome, GitctxError):
                raise outcome
            superseded = (found.etag,) if found.etag is not None and outcome.whose else ()
            return Planned(changes={key: outcome.data}, superseded=superseded)

        return plan


def _outcome(decide: Decide, found: Standing) -> Decision | GitctxError:
    try:
        return decide(found)
    except GitctxError as error:
        return error


def _joined(message: str, whose: str) -> str:
    return "\n\n".join(part for part in (message, whose) if part)
