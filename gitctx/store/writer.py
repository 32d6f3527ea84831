"""Writing: requests that wait together become a chain of commits, published by one compare-and-swap.

In a program, one of the callers leads: it waits for the turn, makes the writes of all who wait by then, and hands the
lead on. Between programs, who holds the turn also makes the writes that it finds in the mailboxes of those who wait.
See docs/technical/architecture.md and docs/decisions/0006.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import GitctxError, LockTimeout, OutcomeUnknown, RetriesExhausted
from gitctx.format.documents import new_ulid
from gitctx.repository import RefLocked, RefMoved, Repository, SwapUnsettled
from gitctx.store import parcel
from gitctx.store.branch import Branch
from gitctx.store.chain import Chain
from gitctx.store.ids import IdIndex
from gitctx.store.mailboxes import AVAILABLE, Asked, Mailboxes, OwnMailbox
from gitctx.store.pending import Pending
from gitctx.store.publisher import Publisher
from gitctx.store.queue import Turn, WriterQueue
from gitctx.store.request import Request
from gitctx.values import Revision, Written

_KEEP_AGE_S = 600.0
_GROUP = 64
"""At most so many writes are published together, ..."""
_GROUP_BYTES = 8 * 1024 * 1024
"""... and no more once their values come to this."""

_PARCEL_BYTES = 1024 * 1024
"""No more than this is handed to another program to write: larger values take their own turn."""

_Outcome = Written | BaseException

_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


class Writer:
    """The writer of one branch. Safe in threads and across processes."""

    def __init__(self, branch: Branch, repository: Repository, config: Config) -> None:
        self.branch = branch
        self.repository = repository
        self.config = config
        self.publisher = Publisher(branch, repository, config)
        self.ids = IdIndex(repository, branch.name)
        place = repository.path / "gitctx" / "queue"
        self._queue = WriterQueue(place / branch.name)
        self._folder = str(place / f"{branch.name}.mail")
        self._swept = False
        self._begin_anew()
        _writers.add(self)

    def _begin_anew(self) -> None:
        """Nobody waits. Also in a forked child, whose parent's callers aren't its own."""
        self._guard = threading.Lock()
        self._waiting: deque[Pending] = deque()
        self._led = False
        self._mailbox: OwnMailbox | None = None
        self._mailboxes = Mailboxes(self._folder)
        self._answered: set[tuple[str, int]] = set()

    @property
    def groups(self) -> bool:
        """Whether writes that wait are published together."""
        return self.config.group_commit

    def write(self, request: Request) -> Written:
        """See `Branch.write`."""
        pending = Pending(request, request.id or new_ulid(self.config.clock(), self.config.rng))
        with self._guard:
            leads = not self._led
            self._led = True
            if not leads:
                pending.prepare()
            self._waiting.append(pending)
        if not leads:
            self._wait(pending)
        if not pending.settled:
            try:
                self._lead(pending)
            finally:
                self._hand_on()
            self.repository.compact_if_due()
        return pending.result()

    def _wait(self, pending: Pending) -> None:
        try:
            pending.wait()
        except BaseException:
            with self._guard:
                if pending in self._waiting:
                    self._waiting.remove(pending)
            if pending.leads:
                self._hand_on()
            raise

    def _hand_on(self) -> None:
        """Let the next one lead, if anybody waits."""
        with self._guard:
            if self._waiting:
                self._waiting[0].lead()
            else:
                self._led = False

    def _lead(self, own: Pending) -> None:
        place = _Place(self, own)
        try:
            with self._ringing(place) as turn:
                place.leave()
                if turn.held and not self._swept:
                    self._swept = True
                    self._sweep()
                if not own.settled:
                    self._make(turn, own)
        finally:
            self._drop(own)

    @contextmanager
    def _ringing(self, place: _Place | None = None) -> Iterator[Turn]:
        """A place in the queue; when it is given back, whoever is next is woken."""
        next_waits = False
        self._answered = set()
        try:
            with self._queue.turn(self.config.queue_patience_s, place) as turn:
                try:
                    yield turn
                finally:
                    next_waits = turn.others_wait() and turn.is_first()
        finally:
            if next_waits:
                self._ring_next(turn.ticket)

    def _make(self, turn: Turn, own: Pending) -> None:
        group = self._take(own)
        try:
            _Attempt(self, turn, group).run()
        finally:
            self._put_back([pending for pending in group if not pending.settled and pending is not own])

    def _take(self, own: Pending) -> list[Pending]:
        """Our own write, and those of others in this program that wait by now."""
        with self._guard:
            self._waiting.remove(own)
        group = [own]
        self.join(group)
        return group

    def join(self, group: list[Pending]) -> Sequence[Pending]:
        """Add those of this program who wait by now to a group, as far as there is room; who was added."""
        if not self.groups or not self._waiting:
            return ()
        size, weight = len(group), sum([pending.request.weight for pending in group])
        with self._guard:
            while self._waiting and len(group) < _GROUP and weight < _GROUP_BYTES:
                group.append(self._waiting.popleft())
                weight += group[-1].request.weight
        return group[size:]

    def _put_back(self, left: list[Pending]) -> None:
        """Who led was interrupted: what it hadn't settled goes back to where it was, perhaps made."""
        with self._guard:
            self._waiting.extendleft(reversed(left))

    def _drop(self, own: Pending) -> None:
        with self._guard:
            if own in self._waiting:
                self._waiting.remove(own)

    # -- other programs -----------------------------------------------------------------------------------------------

    def shippable(self) -> list[Pending]:
        """Those who wait in this program and whose writes another one could make."""
        if not self.groups or not self.config.queue_patience_s:
            return []
        with self._guard:
            waiting = list(self._waiting)[:_GROUP]
        chosen, room = [], _PARCEL_BYTES
        for pending in waiting:
            room -= pending.request.weight
            if room < 0:
                break
            if pending.request.parcel is not None:
                chosen.append(pending)
        return chosen

    def settled_elsewhere(self, pending: Pending, written: Written) -> None:
        """Another program made a write that waits here."""
        with self._guard:
            if pending in self._waiting:
                self._waiting.remove(pending)
        pending.settle(written)

    def mailbox(self) -> OwnMailbox | None:
        """Our own mailbox; None where there are none."""
        if self._mailbox is None and AVAILABLE:
            self._mailbox = OwnMailbox(self._folder)
        return self._mailbox

    def asked(self, turn: Turn) -> Iterator[tuple[Asked, list[Pending], bool]]:
        """What those who wait in other programs want, and whether it has to be durable; each marked as begun."""
        make_plan = self.branch.make_plan
        if not self.groups or make_plan is None or not turn.others_wait():
            return
        for asked in self._mailboxes.asked(turn.ticket):
            if not turn.waits(asked.ticket):
                continue
            try:
                pendings, durable = parcel.unpack_requests(asked.body, make_plan)
            except (ValueError, TypeError, KeyError, struct.error):
                continue
            if self._mailboxes.begin(asked):
                failpoints.hit("serve.after_begin")
                yield asked, pendings, durable

    def answer(self, asked: Asked, outcomes: Sequence[Written | None]) -> None:
        """Tell who asked what became of its writes."""
        failpoints.hit("serve.before_answer")
        self._answered.add((asked.name, asked.number))
        self._mailboxes.answer(asked, parcel.pack_outcomes(outcomes))
        failpoints.hit("serve.after_answer")

    def _ring_next(self, own_ticket: int) -> None:
        for asked in self._mailboxes.waiting(own_ticket):
            if (asked.name, asked.number) not in self._answered and self._mailboxes.ring(asked):
                return

    def _sweep(self) -> None:
        self.repository.refs.sweep()
        self.repository.clear_stale_keeps(time.time() - _KEEP_AGE_S)
        self._mailboxes.sweep()

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """A place in the writer queue, for what only its holder may do."""
        with self._ringing() as turn:
            yield turn


def _renew_writers() -> None:
    for writer in list(_writers):
        writer._mailboxes.close()
        writer._begin_anew()


os.register_at_fork(after_in_child=_renew_writers)


class _Attempt:
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
            self._publisher.publish(self._turn, chain, group[0].request.subject, durable=durable)
        except SwapUnsettled as error:
            for pending, outcome in own:
                unknown = OutcomeUnknown(f"the disk failed when the write was being published: {error}", id=pending.id)
                pending.settle(unknown if isinstance(outcome, Written) else outcome)
            return
        except (RefMoved, RefLocked):
            raise
        except Exception as error:  # noqa: BLE001 (it is the caller's, who may be another thread)
            if len(own) + len(served) > 1:
                self._each_alone = True
            else:
                self._fail(group[0], error)
            return
        for pending, outcome in own:
            pending.settle(_at(chain.head, outcome) if isinstance(outcome, Written) else outcome)
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
            if count >= _GROUP or chain.weight >= _GROUP_BYTES:
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


class _Place:
    """Where the leader of a program waits: its mailbox, with the writes that others may make for it."""

    def __init__(self, writer: Writer, own: Pending) -> None:
        self._writer = writer
        self._own = own
        self._mailbox: OwnMailbox | None = None
        self._sent: list[Pending] = []
        self._head = ""
        self._ticket = -1

    def take(self, ticket: int) -> None:
        self._mailbox = self._writer.mailbox()
        if self._mailbox is None:
            return
        self._sent = self._writer.shippable()
        self._head = self._writer.branch.head() if self._sent else "0" * 40
        durable = self._writer.config.durability == "durable"
        body = parcel.pack_requests(self._sent, durable=durable) if self._sent else b""
        self._ticket = ticket
        self._mailbox.ask(ticket, self._head, body)
        failpoints.hit("mail.after_ask")

    def rest(self, seconds: float) -> bool:
        if self._mailbox is None:
            time.sleep(min(seconds, 0.002))
            return False
        if not self._mailbox.rest(seconds):
            return False
        self._open_answer(self._mailbox)
        if not self._own.settled:
            self._sent = []
            self._mailbox.ask(self._ticket, self._head, b"")
        return self._own.settled

    def leave(self) -> None:
        """Nothing is asked for any more. What somebody had begun may have been made."""
        if self._mailbox is None:
            return
        begun = self._mailbox.withdraw()
        if self._sent:
            self._open_answer(self._mailbox)
        if begun:
            for pending in self._sent:
                pending.look_since = self._head

    def _open_answer(self, mailbox: OwnMailbox) -> None:
        """Settle what was made for us."""
        body = mailbox.answer()
        if body is None:
            return
        try:
            outcomes = parcel.unpack_outcomes(body)
        except (ValueError, TypeError, KeyError, struct.error):
            return
        left = []
        for pending, outcome in zip(self._sent, outcomes, strict=False):
            if outcome is None:
                left.append(pending)
            else:
                self._writer.settled_elsewhere(pending, outcome)
        self._sent = left
