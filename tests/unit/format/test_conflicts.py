"""Open conflicts as bytes: named alike by all, read back whole, and never taken for one when broken."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from gitctx.errors import CorruptStore
from gitctx.format.conflicts import about_key, conflict_id, decode_conflict, encode_conflict, waiting_key
from gitctx.format.keys import key_fault
from gitctx.values import Etag, OpenConflict, Revision
from gitctx.values.sync import ConflictSide

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE, OTHER = "1" * 40, "2" * 40
CONFLICT = OpenConflict(
    id="0123456789abcdef",
    key="decision/ü.md",
    base=Etag(ONE),
    standing=ConflictSide(Etag(OTHER), Revision(ONE), "planner", "s1", AT),
    waiting=ConflictSide(None, Revision(OTHER), "coder", None, AT),
)


def test_a_conflict_is_read_back_whole() -> None:
    data = encode_conflict(CONFLICT)
    assert decode_conflict(data) == CONFLICT
    assert json.loads(data)["format"] == 1
    assert encode_conflict(decode_conflict(data)) == data


def test_the_id_tells_key_base_and_both_sides_apart() -> None:
    sides = ("k", ONE, OTHER, None)
    assert conflict_id(*sides) == conflict_id(*sides)
    others = [("l", ONE, OTHER, None), ("k", None, OTHER, None), ("k", ONE, None, OTHER), ("k", ONE, OTHER, ONE)]
    ids = {conflict_id(*other) for other in (sides, *others)}
    assert len(ids) == 5
    assert all(len(id) == 16 for id in ids)


def test_it_lies_at_reserved_keys() -> None:
    for key in (about_key(CONFLICT.id), waiting_key(CONFLICT.id)):
        assert key.startswith(".gitctx/conflicts/")
        assert key_fault(key, reserved=True) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        encode_conflict(CONFLICT).replace(b"written_at", b"x"),
        encode_conflict(CONFLICT).replace(b"2026-01-02", b"soon"),
        encode_conflict(CONFLICT).replace(b'"standing": {', b'"standing": [], "x": {'),
    ],
)
def test_what_isnt_a_conflict_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptStore) as error:
        decode_conflict(data)
    assert error.value.hint
