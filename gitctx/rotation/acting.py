"""Carrying out a rotation: prepared beside the writers, and swapped in like a write.

    1  make the base commit and the kept writes anew; put them down, where nothing reaches them yet
    2  with the writer's turn: make anew what came in meanwhile; name the old head under refs/gitctx/rotated/;
       swap the branch, if it is still where that was

Killed anywhere before the swap, nothing has happened but objects and perhaps a ref that nobody needs: the next rotation
puts that right. After it, all has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

from gitctx import failpoints
from gitctx.errors import GitctxError, StorageError
from gitctx.format.documents import format_time
from gitctx.format.objects import Object
from gitctx.repository import RefMoved, Repository
from gitctx.rotation.counting import trailers_of
from gitctx.rotation.planning import Cut
from gitctx.store import Branch, Store
from gitctx.store.advance import Step
from gitctx.store.rewriting import Rewriting
from gitctx.store.rotated import ROTATING, keep_old_head, make_base
from gitctx.values import Revision, Rotated, RotationPlan


class Acting:
    """One rotation of one branch, on its way."""

    def __init__(
        self, store: Store, branch: Branch, plan: RotationPlan, cut: Cut, *, actor: str, session: str | None
    ) -> None:
        assert cut.below is not None
        self._store = store
        self._repository: Repository = store.repository
        self._branch = branch
        self._plan = plan
        self._durable = store.config.durability == "durable"
        self.base = make_base(
            store,
            tree=self._repository.read_commit(cut.below).tree,
            stands_for=cut.below,
            epoch=plan.epoch,
            subject=f"rotate {plan.branch} to epoch {plan.epoch}",
            message=told(plan),
            more=trailers_of(plan.counted, plan.since, plan.until, plan.actors),
            actor=actor,
            session=session,
        )
        self._writing = Rewriting(self._repository, {cut.below: self.base.oid})
        self._writing.add(cut.kept)
        self._done = plan.head
        self.kept_under: str | None = None

    def act(self) -> Rotated:
        """Do it. Raises RetriesExhausted, LockTimeout, DiskFull, StoreReadOnly, StorageError: then the branch is as it
        was; and RotatedMeanwhile if somebody else rotated first.
        """
        failpoints.hit("rotate.before_objects")
        self._put_down([self.base, *self._writing.take()])
        failpoints.hit("rotate.after_objects")
        head = self._branch.advance(self._step)
        failpoints.hit("rotate.after_swap")
        return Rotated(self._plan, True, head, Revision(self.base.oid), self.kept_under)

    def _step(self, head: Revision) -> Step:
        """From the head as it is now to the one that stands for it."""
        if head != self._done:
            fresh = self._repository.only(head, self._done)
            if not self._repository.is_ancestor(self._done, head):
                raise _rotated_meanwhile()
            # In process: the turn is held, and a git that has to be started first would hold up all writers.
            order = TopologicalSorter(fresh).static_order()
            self._writing.add((oid, fresh[oid]) for oid in order if oid in fresh)
            self._done = head
        self._name_old_head(head)
        failpoints.hit("rotate.before_swap")
        return Step(Revision(self._writing.made[head]), self._writing.objects, f"{ROTATING}{self._plan.epoch}")

    def _name_old_head(self, head: Revision) -> None:
        try:
            self.kept_under = keep_old_head(self._store, self._branch.name, self._plan.epoch, head)
        except RefMoved as error:
            raise _rotated_meanwhile() from error

    def _put_down(self, objects: Sequence[Object]) -> None:
        try:
            self._repository.put_down(objects, durable=self._durable)
        except GitctxError:
            raise
        except OSError as error:
            from gitctx.repository.translate import from_os

            raise from_os(error, self._repository.path) from error


class RotatedMeanwhileError(StorageError):
    """Somebody else rotated the branch first, or moved it away; it has to be planned anew."""


def _rotated_meanwhile() -> RotatedMeanwhileError:
    return RotatedMeanwhileError(
        "the branch was rotated by somebody else meanwhile", hint="nothing is lost; look again"
    )


def told(plan: RotationPlan) -> str:
    """What a base commit says it stands for; the numbers by actor are in its trailers."""
    lines = [f"This stands for {plan.counted} writes, up to {plan.stands_for}."]
    if plan.since is not None and plan.until is not None:
        lines.append(f"They were made from {format_time(plan.since)} to {format_time(plan.until)}.")
    return "\n".join(lines)
