"""Moving a branch to a commit that wasn't planned as a write: one from elsewhere, or one that merges such a one in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import GitctxError, LockTimeout, RetriesExhausted, StorageError
from gitctx.format.objects import Object
from gitctx.repository import RefLocked, RefMoved, SwapUnsettled
from gitctx.values import Revision

if TYPE_CHECKING:
    from gitctx.store.branch import Branch
    from gitctx.store.writer import Writer


class Step(NamedTuple):
    """Where a branch goes: `revision`, the `objects` that it needs and that aren't in the store yet, and for the
    reflog, `what` happened.
    """

    revision: Revision
    objects: Sequence[Object]
    what: str


NextStep = Callable[[Revision], Step | None]
"""Decides on a head where the branch goes from there; None: it stays."""


def advance(branch: Branch, writer: Writer, next_step: NextStep) -> Revision:
    """See `Branch.advance`. The step is decided once without the turn, so that what is costly about it is known then,
    and nobody waits for it.
    """
    head = branch.head()
    with suppress(RefMoved, RefLocked, SwapUnsettled):  # what is in its way is dealt with in the turn
        if next_step(head) is None and branch.head() == head:
            return head
    config = writer.config
    durable = config.durability == "durable"
    deadline = config.monotonic() + config.retry.deadline_s
    delays = config.retry.delays(config.rng)
    with writer.turn() as turn:
        while True:
            try:
                head = writer.publisher.settle_head(turn)
                step = next_step(head)
                if step is None:
                    return head
                writer.publisher.move(turn, step.objects, step.revision, head, step.what, durable=durable)
                break
            except RefMoved:
                spent: GitctxError = RetriesExhausted(
                    f"the branch {branch.name} kept moving while something was merged into it",
                    hint="nothing was changed; try again",
                )
            except RefLocked as outcome:
                if writer.repository.refs.clear_stale_lock(outcome.lock, alone=turn.alone):
                    continue
                spent = _locked(outcome.lock)
            except SwapUnsettled as error:
                raise StorageError(
                    f"the disk failed while the branch {branch.name} was being moved: {error}",
                    hint="nothing is lost whether it went through or not: mend the cause and repeat",
                ) from error
            delay = next(delays, None)
            if delay is None or config.monotonic() + delay > deadline:
                raise spent
            config.sleep(delay)
    writer.repository.compact_if_due()
    return step.revision


def _locked(lock: Path) -> LockTimeout:
    return LockTimeout(
        f"{lock} was held by another program until the deadline",
        hint="nothing was changed; try again (a lock that a killed git left is cleared after 10 s)",
        details={"lock": str(lock)},
    )
