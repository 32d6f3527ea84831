"""One round of publishing: the writes of a group on their way through lost races and held locks. Steps 2 to 7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import GitctxError, LockTimeout, OutcomeUnknown, RetriesExhausted
from gitctx.repository import RefLocked, RefMoved, SwapUnsettled
from gitctx.values import Revision, Written

if TYPE_CHECKING:
    from gitctx.store.chain import Chain
    from gitctx.store.mailboxes import Asked
    from gitctx.store.pending import Pending
    from gitctx.store.queue import Turn
    from gitctx.store.writer import Writer

GROUP = 64
"""At most so many writes are published together, ..."""
GROUP_BYTES = 8 * 1024 * 1024
"""... and no more once their values come to this."""

_Outcome = Written | BaseException


class Attempt:
    """The writes of a group on their way through lost races and held locks."""

    def __init__(self, writer: Writer, turn: Turn, group: list[Pending]) -> None:
        self._writer = writer
        self._turn = turn
        self._group = group
        self._config = writer.config
        self._publisher = writer.publisher
        self._deadline = self._config.monotonic() + self._config.retry.deadline_s
        self._delays = self._config.retry.delays(self._config.rng)
        self._lost = 0
        self._each_alone = False
        self.made = self.served = 0
        """How many writes of this program, and how many mailboxes of others, the last round was made for."""

    def run(self) -> None:
        """Settle all of them."""
        while left := self._left():
            try:
                self._once(left[:1] if self._each_alone else left)
            except RefMoved:
                self._lost += 1
                for pending in self._left():
                    pending.retries += 1
                self._pause(self._retries_exhausted)
            except RefLocked as outcome:
                if not self._writer.repository.refs.clear_stale_lock(outcome.lock, alone=self._turn.alone):
                    self._pause(partial(_lock_timeout, outcome.lock))

    def run_for_others(self) -> bool:
        """Publish once what is asked for in mailboxes, and what came up in this program; whether it went well.

        Nobody fails by it: who wasn't served takes its own turn.
        """
        try:
            self._once([])
        except Exception:  # noqa: BLE001 (those who wait will see for themselves)
            return False
        return True

    def _left(self) -> list[Pending]:
        return [pending for pending in self._group if not pending.settled]

    def _retries_exhausted(self) -> GitctxError:
        return RetriesExhausted(
            f"the branch {self._writer.branch.name} moved {self._lost} times while this was being written",
            hint="nothing was written; try again, or pass a more patient retry policy",
            details={"retries": self._lost},
        )

    def _pause(self, when_spent: Callable[[], GitctxError]) -> None:
        delay = next(self._delays, None)
        if delay is not None and self._config.monotonic() + delay <= self._deadline:
            self._config.sleep(delay)
            return
        for pending in self._left():
            self._fail(pending, when_spent())

    def _once(self, group: Sequence[Pending]) -> None:
        """Build on the head as it is now, and publish."""
        head = self._publisher.settle_head(self._turn)
        chain = self._publisher.chain(self._writer.ids, head)
        own: list[tuple[Pending, _Outcome]] = []
        self._add(chain, group, own)
        served: list[_Served] = []
        if not self._each_alone:
            self._add_late(chain, own)
            served = self._serve(chain, len(own))
            self._add_late(chain, own)
        durable = self._config.durability == "durable" or any(item.durable for item in served)
        try:
            self._publisher.publish(self._turn, chain, durable=durable)
        except SwapUnsettled as error:
            for pending, outcome in own:
                unknown = OutcomeUnknown(f"the disk failed when the write was being published: {error}", id=pending.id)
                pending.settle(unknown if isinstance(outcome, Written) else outcome)
            return
        except (RefMoved, RefLocked):
            raise
        except Exception as error:
            if not group:
                raise
            if len(own) + len(served) > 1:
                self._each_alone = True
            else:
                self._fail(group[0], error)
            return
        for pending, outcome in own:
            pending.settle(_at(chain.head, outcome) if isinstance(outcome, Written) else outcome)
        self.made, self.served = len(own), len(served)
        for asked, _, outcomes in served:
            acknowledged = [_at(chain.head, outcome) if outcome is not None else None for outcome in outcomes]
            self._writer.answer(asked, acknowledged)

    def _add(self, chain: Chain, group: Sequence[Pending], own: list[tuple[Pending, _Outcome]]) -> None:
        own += [(pending, _tried(chain, pending)) for pending in group if not chain.has_id(pending.id)]

    def _add_late(self, chain: Chain, own: list[tuple[Pending, _Outcome]]) -> None:
        """Add the writes of those who came while the ones before were made."""
        while late := self._writer.join(self._group):
            self._add(chain, late, own)

    def _serve(self, chain: Chain, count: int) -> list[_Served]:
        """Add the writes that others wait for. What can't be done is left to them: they'll see why."""
        served = []
        for asked, pendings, durable in self._writer.asked(self._turn):
            outcomes: list[Written | None] = []
            for pending in pendings:
                if asked.begun:
                    pending.look_since = asked.head
                outcome = None if chain.has_id(pending.id) else _tried(chain, pending)
                outcomes.append(outcome if isinstance(outcome, Written) else None)
            served.append(_Served(asked, durable, outcomes))
            count += len(pendings)
            if count >= GROUP or chain.weight >= GROUP_BYTES:
                break
        return served

    def _fail(self, pending: Pending, error: Exception) -> None:
        """It can't be made. If another program had begun to make it, that is looked into first."""
        if pending.look_since is not None:
            revision = self._writer.ids.find_since(pending.id, self._writer.branch.head(), pending.look_since)
            if revision is not None:
                return
            if not isinstance(error, RetriesExhausted):
                error = OutcomeUnknown(
                    f"another writer that stands still had begun to make this write, and {error}", id=pending.id
                )
        pending.settle(error)


class _Served(NamedTuple):
    """What was asked for in one mailbox, and what became of it (None: its owner has to see to it)."""

    asked: Asked
    durable: bool
    outcomes: list[Written | None]


def _tried(chain: Chain, pending: Pending) -> Written | BaseException:
    try:
        return chain.add(pending)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (it is the caller's, who may be another thread)
        return error


def _lock_timeout(lock: Path) -> LockTimeout:
    return LockTimeout(
        f"{lock} was held by another program until the deadline",
        hint="nothing was written; try again (a lock that a killed git left is cleared after 10 s)",
        details={"lock": str(lock)},
    )


def _at(head: Revision, written: Written) -> Written:
    return written if written.head == head else replace(written, head=head)
