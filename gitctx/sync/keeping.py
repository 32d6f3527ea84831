"""Exchanging again and again: at once after a write here, and now and then to see what others have written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gitctx.errors import GitctxError
from gitctx.repository.discovery import remotes_of_project
from gitctx.repository.network import Network
from gitctx.repository.remotes import Remotes, tracking
from gitctx.sessions import Sessions
from gitctx.store import Store
from gitctx.store.edits import StrategyChoice
from gitctx.store.identity import CONTEXT, SESSIONS
from gitctx.sync.exchange import Exchange
from gitctx.sync.joint import Author
from gitctx.sync.switch import is_paused
from gitctx.values import Exchanged

LOOK_EVERY_S = 0.02
"""How often the heads here are looked at."""
REST_ROUNDS = 0.5
"""So many times as long as a push took, who has pushed leaves the remote to others, so that each gets its turn; for as
many times longer as races were lost lately.
"""
LONGEST_REST_S = 0.8
DEADLINE_S = 10.0
_PAUSED_LOOK_S = 0.2
_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 60.0


class _Pace(NamedTuple):
    """So often a remote is asked, as long as the last change isn't older than that (both in seconds)."""

    every_s: float
    until_s: float


_PACES = (_Pace(0.25, 60.0), _Pace(1.0, 600.0), _Pace(5.0, float("inf")))

OnReport = Callable[[str, Exchanged | GitctxError], None]


def keep_exchanging(
    store: Store,
    author: Author,
    sessions: Sessions,
    names: Sequence[str],
    on_report: OnReport,
    stop: threading.Event,
    interval_s: float | None,
    strategy: StrategyChoice,
) -> None:
    """See `Sync.keep_exchanging`."""
    keepers = [Keeper(store, author, sessions, name, on_report, stop, interval_s, strategy) for name in names]
    threads = [threading.Thread(target=each.run, name="gitctx-exchange", daemon=True) for each in keepers[1:]]
    for thread in threads:
        thread.start()
    try:
        keepers[0].run()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Keeper:
    """Keeps a store in step with one remote."""

    def __init__(
        self,
        store: Store,
        author: Author,
        sessions: Sessions,
        name: str,
        on_report: OnReport,
        stop: threading.Event,
        interval_s: float | None,
        strategy: StrategyChoice,
    ) -> None:
        self._store = store
        self._author = author
        self._sessions = sessions
        self._name = name
        self._on_report = on_report
        self._stop = stop
        self._interval_s = interval_s
        self._strategy = strategy
        self._monotonic = store.config.monotonic
        self._failures = 0
        self._changed_at = self._monotonic()
        self._published: tuple[str | None, ...] = ()
        self._network = Network(store.path, timeout_s=store.config.network_timeout_s, cancel=stop)
        self._crowd = 0.0
        self._refused: object = None

    def run(self) -> None:
        """Until `stop` is set."""
        try:
            while not self._stop.is_set():
                if is_paused(self._store.path):
                    self._stop.wait(_PAUSED_LOOK_S)
                    continue
                report = self._once()
                asked_at = self._monotonic()
                self._stop.wait(self._pause_after(report))
                self._wait_until_due(asked_at + self._every_s())
        finally:
            self._network.close()

    def _once(self) -> Exchanged | GitctxError:
        try:
            report: Exchanged | GitctxError = self._exchange()
        except GitctxError as error:
            report = error
        if self._stop.is_set() and isinstance(report, GitctxError):
            return report
        self._failures = self._failures + 1 if _failed(report) else 0
        refused: object = None
        if isinstance(report, GitctxError):
            self._network.close()  # a connection that is kept open may be what fails
        else:
            there = self._read_heads(tracking(self._name))
            # What was refused isn't tried again before something is written.
            self._published = tuple(
                each.head if each.refused else known for each, known in zip(report.branches, there, strict=True)
            )
            if report.changed:
                self._changed_at = self._monotonic()
            refused = [each.refused for each in report.branches], report.checkpoints.refused
        news = refused != self._refused and isinstance(report, Exchanged) and not report.complete
        if isinstance(report, GitctxError) or report.changed or news:
            self._on_report(self._name, report)
        self._refused = refused
        return report

    def _exchange(self) -> Exchanged:
        return Exchange(
            self._store,
            Remotes(self._store.repository).get(self._name),
            self._network,
            self._author,
            deadline_s=DEADLINE_S,
            strategy=self._strategy,
            sessions=self._sessions,
            project_urls=tuple(remotes_of_project(self._store.path).values()),
            stop=self._stop,
        ).run()

    # -- when ---------------------------------------------------------------------------------------------------------

    def _pause_after(self, report: Exchanged | GitctxError) -> float:
        """How long nothing at all is done."""
        config = self._store.config
        if _failed(report):
            longest = min(_FIRST_BACKOFF_S * 2 ** (self._failures - 1), _LONGEST_BACKOFF_S)
            return config.rng.uniform(longest / 2, longest)
        assert isinstance(report, Exchanged)
        if report.rounds == 0:
            return 0.0
        self._crowd = max(report.rounds - 1.0, 0.8 * self._crowd)
        round_s = report.took_s / report.rounds
        longest = min((REST_ROUNDS + self._crowd) * round_s, LONGEST_REST_S)
        return config.rng.uniform(0.75 * longest, longest)

    def _wait_until_due(self, due: float) -> None:
        """Sleep until something was written here, or it is time to see what others wrote."""
        while not self._stop.is_set() and self._monotonic() < due and self._read_heads() == self._published:
            self._stop.wait(LOOK_EVERY_S)

    def _every_s(self) -> float:
        if self._interval_s is not None:
            return self._interval_s
        quiet_s = self._monotonic() - self._changed_at
        return next(pace.every_s for pace in _PACES if quiet_s <= pace.until_s)

    def _read_heads(self, place: str = "refs/") -> tuple[str | None, ...]:
        """What the branches are here, or were last known to be on a remote."""
        return tuple(self._store.repository.read_ref(f"{place}heads/{name}") for name in (CONTEXT, SESSIONS))


def _failed(report: Exchanged | GitctxError) -> bool:
    """Whether the remote is to be left alone for a while. A checkpoint or sessions that it doesn't take hold nothing
    up.
    """
    return isinstance(report, GitctxError) or not report.branch(CONTEXT).up_to_date
