"""What goes with a context: what a session gets to work with, and upkeep beside the writes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitctx.context.context import Context
    from gitctx.sessions import Machine, Session
    from gitctx.store import Store
    from gitctx.sync.live import Live


def keeping_small(store: Store, *, actor: str) -> Callable[[], None]:
    """What a store's repository calls when it has grown: what is due then goes on in a thread beside."""
    known = weakref.ref(store)

    def keep_small() -> None:
        from gitctx.context.upkeep import upkeep_beside

        store = known()
        if store is not None:
            upkeep_beside(store, actor=actor)

    return keep_small


class Workplace:
    """Makes them for the sessions of one store; see `gitctx.sessions.companions`."""

    def __init__(self, store: Store, machine: Machine) -> None:
        self._store = store
        self._machine = machine

    def context_of(self, session: Session) -> Context:
        """The context in which a session reads and writes."""
        from gitctx.context.context import Context

        return Context(self._store, actor=session.record.actor, session=session.id, machine=self._machine)

    def sync_of(self, session: Session) -> Live:
        """What keeps a session in step, as long as it hasn't ended, whoever ends it."""
        from gitctx.sessions import Sessions
        from gitctx.sync.live import Live

        sessions = Sessions(self._store, self._machine)
        return Live(self._store, session=session.id, require_active=lambda: sessions.require_active(session.id))
