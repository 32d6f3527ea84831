"""Documents: equal values give equal bytes, and what can't be written is refused before anything is."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gitctx.errors import InvalidInput
from gitctx.format.documents import format_time, new_ulid, parse_time, to_bytes, to_canonical_json


def test_the_canonical_form_is_the_one_that_is_written_down() -> None:
    value = {"b": [1, 2.5, None, True], "a": {"\u00e9": "\u65e5\n"}, "empty": {}, "none": []}
    expected = (
        '{\n  "a": {\n    "\u00e9": "\u65e5\\n"\n  },\n  "b": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n'
        '  "empty": {},\n  "none": []\n}\n'
    )
    assert to_canonical_json(value) == expected.encode()


def test_the_order_in_which_keys_were_set_makes_no_difference() -> None:
    assert to_canonical_json({"a": 1, "b": {"x": 1, "y": 2}}) == to_canonical_json({"b": {"y": 2, "x": 1}, "a": 1})


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), -float("inf"), [float("nan")], {"a": {"b": float("inf")}}),
        *({1: 2}, {None: 1}, {True: 1}, {"a": [{2.5: 1}]}, {("a",): 1}),
        *({1, 2}, object(), b"x", [b"x"], 1j, datetime(2026, 1, 1, tzinfo=UTC)),
        *("\ud800", {"\udfff": 1}, ["\ud83d"], CYCLE, deep(300), deep(100_000), 10**5000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cant_hold_is_refused_with_our_error(value: Any) -> None:
    with pytest.raises(InvalidInput):
        to_canonical_json(value)


def test_a_value_that_is_used_twice_is_no_cycle() -> None:
    shared = {"x": 1}
    assert to_canonical_json([shared, shared]) == to_canonical_json([{"x": 1}, {"x": 1}])


@pytest.mark.parametrize(
    "value",
    [b"", b"\0\xff\r\n", bytearray(b"ab"), memoryview(b"abcd")[::2]],
    ids=lambda value: type(value).__name__,
)
def test_bytes_are_stored_as_they_are(value: Any) -> None:
    assert to_bytes(value) == bytes(value)


@pytest.mark.parametrize("text", ["", "a", "a\r\nb", "e\u0301", "\ufeffx", "\0"], ids=ascii)
def test_text_gets_nothing_appended_and_no_other_form(text: str) -> None:
    assert to_bytes(text) == text.encode()


def test_text_with_a_lone_surrogate_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidInput) as caught:
        to_bytes("a\ud800")
    assert caught.value.hint


def test_times_are_utc_with_milliseconds_only_where_there_are_any() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert format_time(at) == "2026-01-01T21:34:05.678Z"
    assert format_time(at.replace(microsecond=0)) == "2026-01-01T21:34:05Z"
    assert parse_time(format_time(at)) == at
    assert parse_time("2026-01-02T03:04:05+02:00").tzinfo == UTC


@pytest.mark.parametrize("text", ["", "2026-01-02T03:04:05", "yesterday", "2026-13-01T00:00:00Z", "2026-01-02"])
def test_a_time_without_a_zone_or_sense_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that is all it promises
        parse_time(text)


def test_ulids_sort_by_time_and_say_it() -> None:
    rng = random.Random(3)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [new_ulid(start + timedelta(milliseconds=step), rng) for step in range(200)]
    assert made == sorted(made)
    assert len(set(made)) == 200
    assert all(len(ulid) == 26 and set(ulid) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for ulid in made)


def test_a_ulid_is_the_number_that_the_specification_says() -> None:
    class Zero(random.Random):
        def getrandbits(self, k: int, /) -> int:
            assert k == 80
            return 0

    at = datetime.fromtimestamp(1469918176.385, UTC)
    assert new_ulid(at, Zero()) == "01ARYZ6S41" + "0" * 16
