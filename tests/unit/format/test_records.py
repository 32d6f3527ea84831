"""Session records and claims: what other versions know is kept, and foreign junk is one clear error."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gitctx.errors import CorruptStore
from gitctx.format.records import decode_claim, decode_session, encode_claim, encode_session, session_path
from gitctx.values import Claim, Revision, SessionId, SessionRecord

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
RECORD = SessionRecord(
    id=SessionId("01JD0000000000000000000000"),
    actor="planner",
    agent="claude",
    host_id="host-a",
    hostname="HOST-A",
    boot_id="boot-1",
    pid_namespace="pid:[1]",
    pid=100,
    process_started_at="5000",
    started_at=AT,
    start_revision=Revision("1" * 40),
)
ENDED = replace(
    RECORD,
    ended_at=AT + timedelta(hours=1),
    end_reason="done",
    graceful_shutdown=True,
    last_checkpoint="v1",
    recovered_by=SessionId("01JD0000000000000000000001"),
    recovered=(SessionId("01JD0000000000000000000002"), SessionId("01JD0000000000000000000003")),
)
CLAIM = Claim("refactor", "01JD", SessionId("01JE"), "planner", "why", AT, AT + timedelta(seconds=1800))

JUNK = {
    "nothing": b"",
    "no json": b"{",
    "no text": b"\xff\xfe\x00",
    "nul": b"\0" * 100,
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "text": b'"x"',
    "an empty object": b"{}",
    "nested beyond all measure": b"[" * 200_000,
    "a number beyond all measure": b'{"pid": ' + b"9" * 10_000 + b"}",
}


def changed(data: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(data), **fields}).encode()


def without(data: bytes, name: str) -> bytes:
    fields = json.loads(data)
    del fields[name]
    return json.dumps(fields).encode()


@pytest.mark.parametrize("record", [RECORD, ENDED], ids=["active", "ended"])
def test_a_record_comes_back_as_it_was(record: SessionRecord) -> None:
    assert decode_session(encode_session(record)) == record


def test_fields_of_a_newer_version_outlive_a_change_by_this_one() -> None:
    extra = {"mood": "good", "nested": {"a": [1, None]}}
    read = decode_session(changed(encode_session(RECORD), **extra))
    assert read.extra == extra
    written = json.loads(encode_session(replace(read, end_reason="done")))
    assert {name: written[name] for name in extra} == extra
    assert written["format"] == 1


def test_an_unknown_field_never_overrules_a_known_one() -> None:
    sly = replace(RECORD, extra={"actor": "somebody", "format": 9, "pid": 1})
    written = json.loads(encode_session(sly))
    assert (written["actor"], written["format"], written["pid"]) == ("planner", 1, 100)


def test_a_record_of_before_a_field_was_thought_of_is_read() -> None:
    data = encode_session(RECORD)
    for name in ("ended_at", "end_reason", "graceful_shutdown", "last_checkpoint", "recovered_by", "recovered"):
        data = without(data, name)
    assert decode_session(data) == RECORD


@pytest.mark.parametrize("data", JUNK.values(), ids=JUNK.keys())
def test_junk_is_a_corrupt_store_and_never_another_error(data: bytes) -> None:
    for read in (decode_session, lambda data: decode_claim("refactor", data)):
        with pytest.raises(CorruptStore) as caught:
            read(data)
        assert caught.value.hint


def each(name: str, *values: Any) -> list[dict[str, Any]]:
    """A field with each of these values."""
    return [{name: value} for value in values]


WRONG_IN_SESSION: list[dict[str, Any]] = [
    *({name: 5} for name in ("id", "actor", "agent", "host_id", "hostname", "boot_id", "pid_namespace")),
    *each("process_started_at", None, 5, ["x"], {}),
    *each("start_revision", None, 5, ["x"], {}),
    *each("pid", None, "100", 1.5, True, []),
    *each("started_at", None, "", 5, "yesterday", "2026-01-02T03:04:05", [], {}),
    *each("started_at", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"),
    *each("ended_at", 5, "yesterday", ["x"]),
    *({name: ["x"]} for name in ("end_reason", "last_checkpoint", "recovered_by")),
    *each("recovered", 5, True),
]


@pytest.mark.parametrize("fields", WRONG_IN_SESSION, ids=str)
def test_a_session_field_of_the_wrong_kind_is_a_corrupt_store(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptStore):
        decode_session(changed(encode_session(RECORD), **fields))


@pytest.mark.parametrize("name", ["id", "actor", "agent", "host_id", "pid", "started_at", "start_revision", "boot_id"])
def test_a_session_without_a_field_that_it_needs_is_a_corrupt_store(name: str) -> None:
    with pytest.raises(CorruptStore):
        decode_session(without(encode_session(RECORD), name))


def test_a_claim_comes_back_as_it_was() -> None:
    for claim in (CLAIM, replace(CLAIM, session=None), replace(CLAIM, message="")):
        assert decode_claim("refactor", encode_claim(claim)) == claim


def test_a_claim_that_somebody_wrote_by_hand_may_leave_out_what_isnt_needed() -> None:
    data = without(without(encode_claim(CLAIM), "message"), "session")
    assert decode_claim("refactor", data) == replace(CLAIM, message="", session=None)


@pytest.mark.parametrize(
    "fields",
    [
        *each("session", 5, [], {}, True),
        *each("claimed_at", None, 5, "soon", "2026-01-02T03:04:05"),
        *each("expires_at", None, 5, "soon", "2026-01-02T03:04:05"),
        {"expires_at": "9999-12-31T23:59:59-23:00"},
    ],
    ids=str,
)
def test_a_claim_field_of_the_wrong_kind_is_a_corrupt_store_that_says_how_to_go_on(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptStore) as caught:
        decode_claim("refactor", changed(encode_claim(CLAIM), **fields))
    assert "gitctx release refactor --force" in caught.value.hint


@pytest.mark.parametrize("name", ["id", "actor", "claimed_at", "expires_at"])
def test_a_claim_without_a_field_that_it_needs_is_a_corrupt_store(name: str) -> None:
    with pytest.raises(CorruptStore):
        decode_claim("refactor", without(encode_claim(CLAIM), name))


def test_a_session_lies_where_the_format_says() -> None:
    assert session_path("01JD") == "01JD.json"
