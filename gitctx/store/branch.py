"""One branch of a store: what it holds, and writing to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitctx.errors import WAY_OUT, BrokenHistory
from gitctx.repository import Repository
from gitctx.store.view import View
from gitctx.values import Revision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from gitctx.config import Config
    from gitctx.errors import GitctxError
    from gitctx.store.advance import NextStep
    from gitctx.store.parcel import PlanMaker
    from gitctx.store.queue import Turn
    from gitctx.store.request import Request
    from gitctx.store.writer import Writer
    from gitctx.values import Written


class Branch:
    """A branch with its writer queue. Safe in threads and across processes.

    `make_plan` makes the plans of requests that come from other programs; without it only this program's are made.
    """

    def __init__(self, repository: Repository, name: str, config: Config) -> None:
        self.name = name
        self.ref = f"refs/heads/{name}"
        self._repository = repository
        self._config = config
        self.make_plan: PlanMaker | None = None
        self._writer: Writer | None = None
        self._view: View | None = None

    # -- reading ------------------------------------------------------------------------------------------------------

    def head(self) -> Revision:
        """The revision that the branch points at now. Raises BrokenHistory if there is none."""
        value = self._repository.read_ref(self.ref)
        if value is None:
            raise BrokenHistory(
                f"the branch {self.name} is gone from {self._repository.path}",
                hint=f"{WAY_OUT} (its last values are in {self._repository.path}/logs/{self.ref})",
            )
        return Revision(value)

    def view(self, revision: str | None = None) -> View:
        """The content at a revision (None: at the head)."""
        wanted = revision if revision is not None else self.head()
        known = self._view
        if known is not None and known.revision == wanted:
            return known
        view = View(self._repository, Revision(wanted), self._repository.read_commit(wanted).tree)
        if revision is None:
            self._view = view
        return view

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, request: Request) -> Written:
        """Make one write, trying again when a race is lost.

        Returns when it is acknowledged: in `durable` mode it is on disk then. Raises what `plan` raises,
        RetriesExhausted, LockTimeout, DiskFull, StoreReadOnly and StorageError (nothing was written), OutcomeUnknown
        (repeat with its id).
        """
        return self._get_writer().write(request)

    def write_all(self, requests: Sequence[Request]) -> list[Written | GitctxError]:
        """Make several writes in their order, each a commit of its own, many of them by one compare-and-swap.

        What became of each: as `write` returns or raises it. None of them keeps another from being made.
        """
        return self._get_writer().write_all(requests)

    def advance(self, next_step: NextStep) -> Revision:
        """Move the branch along a step that is decided on its head, anew after every lost race. The head afterwards.

        Raises what `next_step` raises, RetriesExhausted, LockTimeout, DiskFull, StoreReadOnly and StorageError (the
        branch wasn't moved, or it says otherwise).
        """
        from gitctx.store.advance import advance

        return advance(self, self._get_writer(), next_step)

    def turn(self) -> AbstractContextManager[Turn]:
        """A place in the writer queue of this branch, for what only its holder may do."""
        return self._get_writer().turn()

    def _get_writer(self) -> Writer:
        if self._writer is None:
            from gitctx.store.writer import Writer

            self._writer = Writer(self, self._repository, self._config)
        return self._writer

    def remember(self, view: View) -> None:
        """Keep the content that a write left at the head."""
        self._view = view
