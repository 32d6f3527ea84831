"""Exchange with other machines, as one actor runs it. Nothing is pushed anywhere before a remote was added."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from gitctx.errors import InvalidInput, RemoteNotFound
from gitctx.format.strategies import strategy_named
from gitctx.repository.discovery import remotes_of_project
from gitctx.repository.network import Network
from gitctx.repository.remotes import NAMESPACES, Remotes, tracking
from gitctx.store.withdrawal import woken_by
from gitctx.sync.exchange import Exchange, namespace_in
from gitctx.sync.joint import Author
from gitctx.values import Exchanged, Remote

if TYPE_CHECKING:
    from gitctx.errors import GitctxError
    from gitctx.sessions import Claims, Sessions
    from gitctx.store import Store
    from gitctx.store.edits import StrategyChoice
    from gitctx.sync.conflicts import Conflicts
    from gitctx.values import Claim

DEADLINE_S = 30.0
"""So long an exchange goes on losing races."""


class Sync:
    """What one actor (perhaps in a session) exchanges with other machines. Safe in threads."""

    def __init__(
        self, store: Store, *, actor: str, session: str | None, sessions: Sessions, claims: Callable[[], Claims]
    ) -> None:
        self.store = store
        self._author = Author(actor, session)
        self._sessions = sessions
        self._claims = claims

    @cached_property
    def conflicts(self) -> Conflicts:
        """Conflicts that were left open for somebody to decide."""
        from gitctx.sync.conflicts import Conflicts

        return Conflicts(self.store, self._author)

    # -- remotes ------------------------------------------------------------------------------------------------------

    def remotes(self) -> Sequence[Remote]:
        """The remotes of the store, by name."""
        return Remotes(self.store.repository).list()

    def add_remote(self, name: str, url: str, *, namespace: str = "") -> Remote:
        """Add a remote: anything that git can push to. The remote isn't asked and nothing is sent to it.

        `namespace` is where the store's refs are there, `refs/` or `refs/gitctx/`; "" leaves it to the first exchange:
        where a store is already, else `refs/gitctx/` if the remote holds a project too. Raises InvalidName,
        InvalidInput, AlreadyExists.
        """
        if namespace and namespace not in NAMESPACES:
            raise InvalidInput(f"{namespace!r} is no namespace", hint=f"use one of {', '.join(NAMESPACES)}")
        return Remotes(self.store.repository).add(name, url, namespace=namespace)

    def remove_remote(self, name: str) -> Remote:
        """Forget a remote. What is there stays there. Raises RemoteNotFound."""
        return Remotes(self.store.repository).remove(name)

    def holds_store(self, name: str, *, timeout_s: float | None = None) -> bool:
        """Whether a remote holds a store already. Raises RemoteNotFound, RemoteUnreachable, RemoteAuthFailed."""
        remote = Remotes(self.store.repository).get(name)
        with self._network(None) as network:
            return namespace_in(network.refs(remote.name, timeout_s=timeout_s)) is not None

    def remote(self, name: str | None = None) -> Remote:
        """The remote of that name; without one the only one, or the one called `origin`. Raises RemoteNotFound."""
        remotes = Remotes(self.store.repository)
        if name is not None:
            return remotes.get(name)
        known = remotes.list()
        if len(known) == 1:
            return known[0]
        for each in known:
            if each.name == "origin":
                return each
        if known:
            raise RemoteNotFound(
                f"there are several remotes: {', '.join(each.name for each in known)}", hint="name one of them"
            )
        raise RemoteNotFound("the store has no remote yet", hint="`gitctx remote add NAME URL` adds one")

    def unsent(self, name: str) -> int | None:
        """How many writes (of the context) a remote hasn't got, as far as is known here, without asking it; None if
        there was no exchange with it yet. Raises RemoteNotFound.
        """
        Remotes(self.store.repository).get(name)
        known = self.store.repository.read_ref(f"{tracking(name)}heads/{self.store.context.name}")
        if known is None:
            return None
        _, output, _ = self.store.repository.git("rev-list", "--count", self.store.context.head(), f"^{known}")
        return int(output)

    # -- exchange -----------------------------------------------------------------------------------------------------

    def exchange(
        self,
        remote: str | None = None,
        *,
        strategy: StrategyChoice = None,
        merge_apart: bool = False,
        only_context: bool = False,
        deadline_s: float = DEADLINE_S,
        stop: threading.Event | None = None,
    ) -> Exchanged:
        """Exchange with a remote (None: the only one, or `origin`): take in what it has, and give it what it hasn't.

        Keys that both sides changed are settled by `strategy` (None: as the store's settings say). `merge_apart`
        merges a store that began apart, instead of raising StoresApart. `only_context` leaves sessions and checkpoints
        for another time. Races are lost until `deadline_s`; each network command has a time limit of its own
        (`Config.network_timeout_s`). `stop`, once set, ends it within a second.

        The report says what the remote refused (`complete` is False then). Raises RemoteNotFound, RemoteUnreachable,
        RemoteAuthFailed, StoresApart, FormatUnsupported, ConfigInvalid, LockTimeout, and what `Branch.write` raises;
        whatever it raises, nothing is lost, and what had come in or gone out by then has.
        """
        _check_strategy(strategy)
        chosen = self.remote(remote)
        stop = stop or threading.Event()
        with woken_by(stop.set), self._network(stop) as network:
            return Exchange(
                self.store,
                chosen,
                network,
                self._author,
                deadline_s=deadline_s,
                strategy=strategy,
                apart=merge_apart,
                only_context=only_context,
                sessions=self._sessions,
                project_urls=tuple(remotes_of_project(self.store.path).values()),
                stop=stop,
            ).run()

    def claim(
        self,
        name: str,
        *,
        remote: str | None = None,
        ttl_s: float | None = None,
        message: str = "",
        wait_s: float = 0.0,
        renew: bool = False,
        id: str | None = None,
    ) -> Claim:
        """Claim a piece of work on every machine: like `Claims.claim`, and only acknowledged when the remote has it.

        Of two machines that claim one name, the one that is published first has it. If the remote can't be reached or
        refuses, the claim is given up here as well. Raises ClaimHeld, ClaimLost, RemoteRejected, and what `exchange`
        and `Claims.claim` raise.
        """
        from gitctx.sync.claiming import claim_remotely

        return claim_remotely(
            self, self._claims(), name, remote=remote, ttl_s=ttl_s, message=message, wait_s=wait_s, renew=renew, id=id
        )

    def keep_exchanging(
        self,
        remotes: Sequence[str] | None = None,
        *,
        on_report: Callable[[str, Exchanged | GitctxError], None],
        stop: threading.Event,
        interval_s: float | None = None,
        strategy: StrategyChoice = None,
    ) -> None:
        """Exchange with remotes (None: all) until `stop` is set: at once when something was written here, else every
        `interval_s` seconds (None: often while things happen, seldom after a while).

        `on_report` gets the name of the remote, and the report or the error of each exchange that did or failed at
        something; it is called from a thread for each remote. A remote that fails is left alone for longer and longer,
        a minute at most. Raises RemoteNotFound, ConfigInvalid.
        """
        from gitctx.sync.keeping import keep_exchanging

        _check_strategy(strategy)
        names = [self.remote(name).name for name in remotes] if remotes else [each.name for each in self.remotes()]
        if not names:
            self.remote()
        with woken_by(stop.set):
            keep_exchanging(self.store, self._author, self._sessions, names, on_report, stop, interval_s, strategy)

    def _network(self, stop: threading.Event | None) -> Network:
        return Network(self.store.path, timeout_s=self.store.config.network_timeout_s, cancel=stop)


def _check_strategy(strategy: StrategyChoice) -> None:
    """Before anything is asked of a remote. Raises ConfigInvalid."""
    if isinstance(strategy, str):
        strategy_named(strategy)
