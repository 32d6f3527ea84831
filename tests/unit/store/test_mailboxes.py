"""Mailboxes: asking, being answered, withdrawing; and what is torn, late or left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitctx.store.mailboxes import AVAILABLE, Mailboxes, OwnMailbox

HEAD = "a" * 40
pytestmark = pytest.mark.skipif(not AVAILABLE, reason="needs Linux")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "mail")


@pytest.fixture
def own(folder: str) -> Iterator[OwnMailbox]:
    mailbox = OwnMailbox(folder)
    yield mailbox
    mailbox.close()


@pytest.fixture
def holder(folder: str) -> Iterator[Mailboxes]:
    mailboxes = Mailboxes(folder)
    yield mailboxes
    mailboxes.close()


def test_what_is_asked_for_is_found_answered_and_heard(own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"please")
    (asked,) = holder.asked(99)
    assert (asked.ticket, asked.head, asked.begun, asked.body) == (7, HEAD, False, b"please")
    assert holder.begin(asked)
    assert own.answer() is None
    holder.answer(asked, b"done")
    assert own.rest(5.0)
    assert own.answer() == b"done"


def test_nobody_serves_himself(own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"please")
    assert holder.asked(7) == []
    assert holder.waiting(7) == []


def test_requests_come_in_the_order_of_their_tickets(folder: str, holder: Mailboxes) -> None:
    mailboxes = [OwnMailbox(folder) for _ in range(5)]
    for ticket, mailbox in zip((4, 1, 3, 0, 2), mailboxes, strict=True):
        mailbox.ask(ticket, HEAD, b"x")
    assert [asked.ticket for asked in holder.asked(99)] == [0, 1, 2, 3, 4]
    for mailbox in mailboxes:
        mailbox.close()
    assert holder.asked(99) == []
    assert os.listdir(folder) == []


def test_an_empty_request_only_waits_to_be_woken(own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"")
    assert holder.asked(99) == []
    (waiting,) = holder.waiting(99)
    assert holder.ring(waiting)
    began = time.monotonic()
    assert not own.rest(20.0)
    assert time.monotonic() - began < 10.0


def test_a_request_that_is_withdrawn_is_gone(own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"please")
    (asked,) = holder.asked(99)
    assert not own.withdraw()
    assert holder.asked(99) == []
    assert not holder.begin(asked), "whoever read it before sees so when it begins"


def test_a_request_that_was_begun_says_so_to_its_owner_and_to_others(own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"please")
    (asked,) = holder.asked(99)
    assert holder.begin(asked)
    (again,) = holder.asked(99)
    assert again.begun
    assert own.withdraw()


def test_an_answer_that_comes_late_is_not_taken_for_one_to_the_next_request(own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"first")
    (first,) = holder.asked(99)
    own.ask(8, HEAD, b"other")
    holder.answer(first, b"to the first")
    assert own.answer() is None
    (second,) = holder.asked(99)
    holder.answer(second, b"to the second")
    assert own.answer() == b"to the second"


@pytest.mark.parametrize("place", [0, 8, 20, 45, 60, 96, 99])
def test_a_torn_request_counts_as_none(folder: str, own: OwnMailbox, holder: Mailboxes, place: int) -> None:
    own.ask(7, HEAD, b"please")
    (name,) = os.listdir(folder)
    path = Path(folder) / name
    data = bytearray(path.read_bytes())
    data[place] ^= 0x55
    path.write_bytes(bytes(data))
    assert holder.asked(99) == []


def test_a_torn_answer_counts_as_none(folder: str, own: OwnMailbox, holder: Mailboxes) -> None:
    own.ask(7, HEAD, b"please")
    (asked,) = holder.asked(99)
    holder.answer(asked, b"done")
    (name,) = os.listdir(folder)
    path = Path(folder) / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"?")
    assert own.answer() is None
    path.write_bytes(data[:-2])
    assert own.answer() is None


def test_the_mailboxes_of_the_dead_are_swept_and_those_of_the_living_stay(
    folder: str, own: OwnMailbox, holder: Mailboxes
) -> None:
    own.ask(1, HEAD, b"x")
    left = Path(folder) / "1-dead"
    left.write_bytes(b"x" * 200)
    young = Path(folder) / "1-young"
    young.write_bytes(b"")
    old = time.time() - 3600
    for path in Path(folder).iterdir():
        if path != young:
            os.utime(path, (old, old))
    holder.sweep()
    names = set(os.listdir(folder))
    assert "1-dead" not in names
    assert "1-young" in names
    assert len(names) == 2


def test_few_files_stay_open_however_many_wait(folder: str, holder: Mailboxes) -> None:
    mailboxes = [OwnMailbox(folder) for _ in range(100)]
    for ticket, mailbox in enumerate(mailboxes):
        mailbox.ask(ticket, HEAD, b"x")
    for asked in holder.asked(999):
        holder.begin(asked)
        holder.answer(asked, b"y")
    assert all(mailbox.answer() == b"y" for mailbox in mailboxes)
    assert len(holder._files) <= 64
    for mailbox in mailboxes:
        mailbox.close()


def test_where_no_mailbox_can_be_made_waiting_is_a_short_sleep(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    mailbox = OwnMailbox(str(tmp_path / "file" / "mail"))
    mailbox.ask(1, HEAD, b"x")
    began = time.monotonic()
    assert not mailbox.rest(5.0)
    assert time.monotonic() - began < 4.0
    assert not mailbox.withdraw()
    mailbox.close()
