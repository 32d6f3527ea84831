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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import GitctxError
from gitctx.format.documents import new_ulid
from gitctx.repository import Repository
from gitctx.store import parcel
from gitctx.store.attempt import GROUP, GROUP_BYTES, Attempt
from gitctx.store.branch import Branch
from gitctx.store.ids import IdIndex
from gitctx.store.mailboxes import AVAILABLE, Asked, Mailboxes, OwnMailbox
from gitctx.store.pending import Pending
from gitctx.store.place import WaitingPlace
from gitctx.store.publisher import Publisher
from gitctx.store.queue import Turn, WriterQueue
from gitctx.store.request import Request
from gitctx.values import Written

_KEEP_AGE_S = 600.0
_PARCEL_BYTES = 1024 * 1024
"""No more than this is handed to another program to write: larger values take their own turn."""

_PASSING = 2
"""A program that has led no oftener than this may be a command that ends at once: it makes no rounds for others."""

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
        self._led_times = 0
        self._begin_anew()
        _writers.add(self)

    def _begin_anew(self) -> None:
        """Nobody waits. Also in a forked child, whose parent's callers aren't its own."""
        self._guard = threading.Lock()
        self._waiting: deque[Pending] = deque()
        self._led = False
        self._mailbox: OwnMailbox | None = None
        self._mailboxes = Mailboxes(self._folder)
        self._seen_head: str | None = None

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
            self._lead_and_hand_on(pending)
            self.repository.compact_if_due()
        return pending.result()

    def write_all(self, requests: Sequence[Request]) -> list[Written | GitctxError]:
        """See `Branch.write_all`."""
        pendings = [Pending(each, each.id or new_ulid(self.config.clock(), self.config.rng)) for each in requests]
        for pending in pendings:
            pending.prepare()
        with self._guard:
            if pendings and not self._led:
                self._led = True
                pendings[0].lead()
            self._waiting.extend(pendings)
        try:
            return [self._seen_through(pending) for pending in pendings]
        finally:
            with self._guard:
                left = [pending for pending in pendings if pending in self._waiting]
                for pending in left:
                    self._waiting.remove(pending)
            if any(pending.leads for pending in left):
                self.hand_on()
            self.repository.compact_if_due()

    def _seen_through(self, pending: Pending) -> Written | GitctxError:
        self._wait(pending)
        if not pending.settled:
            self._lead_and_hand_on(pending)
        try:
            return pending.result()
        except GitctxError as error:
            return error

    def _lead_and_hand_on(self, pending: Pending) -> None:
        kept = False
        try:
            kept = self._lead(pending)
        finally:
            if not kept:
                self.hand_on()

    def _wait(self, pending: Pending) -> None:
        try:
            pending.wait()
        except BaseException:
            with self._guard:
                if pending in self._waiting:
                    self._waiting.remove(pending)
            if pending.leads:
                self.hand_on()
            raise

    def hand_on(self) -> None:
        """Let the next one lead, if anybody waits."""
        with self._guard:
            if self._waiting:
                self._waiting[0].lead()
            else:
                self._led = False

    def _lead(self, own: Pending) -> bool:
        """Make our own write and those of others; whether the turn is kept, by a thread that will hand the lead on."""
        place = WaitingPlace(self, own)
        try:
            with ExitStack() as end:
                turn = end.enter_context(self._ringing(place))
                place.leave()
                if turn.held and not self._swept:
                    self._swept = True
                    self._sweep()
                if own.settled:
                    return False
                attempt = self._make(turn, own)
                self._led_times += 1
                if not (turn.held and attempt.served and self._led_times > _PASSING):
                    return False
                from gitctx.store.serving import Serving

                Serving(self, turn, end.pop_all(), attempt).start()
                return True
        finally:
            self._drop(own)

    @contextmanager
    def _ringing(self, place: WaitingPlace | None = None) -> Iterator[Turn]:
        """A place in the queue; when it is given back, whoever is next is woken."""
        next_waits = False
        try:
            with self._queue.turn(self.config.queue_patience_s, place) as turn:
                try:
                    yield turn
                finally:
                    next_waits = turn.others_wait() and turn.is_first()
        finally:
            if next_waits:
                self._ring_next(turn.ticket)

    def _make(self, turn: Turn, own: Pending) -> Attempt:
        group = self._take(own)
        attempt = Attempt(self, turn, group)
        try:
            attempt.run()
        finally:
            self.put_back([pending for pending in group if not pending.settled and pending is not own])
        return attempt

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
            while self._waiting and len(group) < GROUP and weight < GROUP_BYTES:
                group.append(self._waiting.popleft())
                weight += group[-1].request.weight
        return group[size:]

    def count_waiting(self) -> int:
        """How many wait in this program."""
        return len(self._waiting)

    def put_back(self, left: list[Pending]) -> None:
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
            waiting = list(self._waiting)[:GROUP]
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
        self._seen_head = written.head
        with self._guard:
            if pending in self._waiting:
                self._waiting.remove(pending)
        pending.settle(written)

    def seen_head(self) -> str:
        """A head that the branch had before now."""
        if self._seen_head is None:
            self._seen_head = self.branch.head()
        return self._seen_head

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
        self._mailboxes.answer(asked, parcel.pack_outcomes(outcomes))
        failpoints.hit("serve.after_answer")

    def _ring_next(self, own_ticket: int) -> None:
        for asked in self._mailboxes.waiting(own_ticket):
            if self._mailboxes.ring(asked):
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
