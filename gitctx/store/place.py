"""Where the leader of a program waits for its turn, while others may make its writes."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from gitctx import failpoints
from gitctx.store import parcel

if TYPE_CHECKING:
    from gitctx.store.mailboxes import OwnMailbox
    from gitctx.store.pending import Pending
    from gitctx.store.writer import Writer


class WaitingPlace:
    """A place in the queue: our mailbox, with the writes that others may make for us."""

    def __init__(self, writer: Writer, own: Pending) -> None:
        self._writer = writer
        self._own = own
        self._mailbox: OwnMailbox | None = None
        self._sent: list[Pending] = []
        self._head = ""
        self._ticket = -1
        self._all_made = False

    def take(self, ticket: int) -> None:
        """See `queue.Place`: put what waits in this program into our mailbox."""
        self._mailbox = self._writer.mailbox()
        if self._mailbox is None:
            return
        self._sent = self._writer.shippable()
        self._head = self._writer.seen_head() if self._sent else "0" * 40
        durable = self._writer.config.durability == "durable"
        body = parcel.pack_requests(self._sent, durable=durable) if self._sent else b""
        self._ticket = ticket
        self._mailbox.ask(ticket, self._head, body)
        failpoints.hit("mail.after_ask")

    def rest(self, seconds: float) -> bool:
        """See `queue.Place`: whether our own write has been made."""
        if self._mailbox is None:
            time.sleep(min(seconds, 0.002))
            return False
        if not self._mailbox.rest(seconds):
            return False
        self._open_answer(self._mailbox)
        if not self._own.settled:
            self._sent = []
            self._mailbox.ask(self._ticket, self._head, b"")
        self._all_made = self._own.settled and not self._sent
        return self._own.settled

    def leave(self) -> None:
        """Nothing is asked for any more. What somebody had begun may have been made."""
        if self._mailbox is None or self._all_made:
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
