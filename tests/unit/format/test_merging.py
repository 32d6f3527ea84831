"""What `merge` makes of each kind of difference, place by place. The laws are in tests/property/test_merge_laws.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitctx.format import text_merge
from gitctx.format.documents import to_canonical_json
from gitctx.format.merge_rules import NO_RULES, MergeRules
from gitctx.format.strategies import MERGE, Settled, Sides, strategy_named


def settle(base: bytes | None, ours: bytes | None, theirs: bytes | None, rules: MergeRules = NO_RULES) -> Settled:
    outcome = strategy_named(MERGE)(Sides("k", base, ours, theirs, rules))
    assert isinstance(outcome, Settled)
    return outcome


def settle_json(base: Any, ours: Any, theirs: Any, rules: MergeRules = NO_RULES) -> tuple[Any, bool]:
    """Of values as JSON; the base may be `...` for none."""
    before = None if base is ... else to_canonical_json(base)
    outcome = settle(before, to_canonical_json(ours), to_canonical_json(theirs), rules)
    assert outcome.value is not None
    assert to_canonical_json(json.loads(outcome.value)) == outcome.value
    return json.loads(outcome.value), outcome.superseded


# -- objects ----------------------------------------------------------------------------------------------------------

OBJECTS: list[tuple[Any, Any, Any, Any, bool]] = [
    ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 3}, {"a": 1, "b": 2, "c": 3}, False),
    ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}, False),
    ({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2}, {"b": 2}, False),
    ({"a": 1, "b": 1}, {"b": 2}, {"a": 1}, {"b": 2}, True),
    ({"a": 1, "b": 1}, {"a": 1}, {"b": 1}, {}, False),
    ({"a": 1}, {"x": 1}, {"a": 2}, {"x": 1}, True),
    ({"a": 1}, {"a": 2}, {"x": 1}, {"a": 2, "x": 1}, True),
    ({"a": 1}, {"a": 2, "x": 1}, {"a": 3, "y": 1}, {"a": 2, "x": 1, "y": 1}, True),
    ({"a": 1}, {"a": 2, "x": 1}, {"a": 2, "y": 1}, {"a": 2, "x": 1, "y": 1}, False),
    ({"a": 1}, {"a": None}, {"a": 1, "b": None}, {"a": None, "b": None}, False),
    ({"a": 1}, {"a": None}, {"b": 1}, {"a": None, "b": 1}, True),
    ({"a": None}, {}, {"a": None, "b": 1}, {"b": 1}, False),
    ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {}}}, {"a": {"b": {"d": 2}}}, False),
    ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a": "text"}, {"a": {"b": 2}}, True),
    ({"a": {"b": 1}}, {"a": []}, {"a": {"b": 1, "c": 1}}, {"a": []}, True),
    ({"a": 5}, {"a": {"x": 1}}, {"a": {"y": 1}}, {"a": {"x": 1, "y": 1}}, False),
    ({"a": 1}, {"a": True}, {"a": 1, "b": 1}, {"a": True, "b": 1}, False),
    ({"a": 1}, {"a": 1.0}, {"a": True}, {"a": 1.0}, True),
    ({"a": 0.0}, {"a": -0.0}, {"a": 0.0, "b": 1}, {"a": -0.0, "b": 1}, False),
    ({"a": [0.0]}, {"a": [-0.0]}, {"a": [0.0], "b": 1}, {"a": [-0.0], "b": 1}, False),
    (..., {"a": 1, "s": {"x": 1}}, {"b": 1, "s": {"y": 1}}, {"a": 1, "b": 1, "s": {"x": 1, "y": 1}}, False),
    (..., {"a": 1}, {"a": 2}, {"a": 1}, True),
    (..., {"a": 1}, [1], {"a": 1}, True),
    (1, 2, 3, 2, True),
]


@pytest.mark.parametrize(("base", "ours", "theirs", "merged", "superseded"), OBJECTS)
def test_objects_are_merged_key_by_key_and_a_conflict_is_ours_and_said(
    base: Any, ours: Any, theirs: Any, merged: Any, superseded: bool
) -> None:
    found = settle_json(base, ours, theirs)
    assert (repr(found[0]), found[1]) == (repr(merged), superseded)


# -- counters ---------------------------------------------------------------------------------------------------------

COUNTING = MergeRules(counters=("", "/n", "/agents/*/runs"))
COUNTERS: list[tuple[Any, Any, Any, Any, bool]] = [
    ({"n": 5}, {"n": 6}, {"n": 8}, {"n": 9}, False),
    ({"n": 5}, {"n": 6, "by": "a"}, {"n": 6, "to": "b"}, {"by": "a", "n": 7, "to": "b"}, False),
    ({"n": 5}, {"n": 3}, {"n": 6}, {"n": 4}, False),
    ({}, {"n": 2}, {"n": 3}, {"n": 5}, False),
    ({"n": 10**30}, {"n": 10**30 + 1}, {"n": 10**30 - 3}, {"n": 10**30 - 2}, False),
    ({"n": 0.1}, {"n": 0.3}, {"n": 0.2}, {"n": 0.4}, False),
    ({"n": 1}, {"n": 1.5}, {"n": 2}, {"n": 2.5}, False),
    ({"n": 1}, {"n": 1.5}, {"n": 1, "x": 1}, {"n": 1.5, "x": 1}, False),
    ({"n": 0.0}, {"n": 1.7e308}, {"n": 1.6e308}, {"n": 1.7e308}, True),
    ({"n": 1}, {"n": True}, {"n": 2}, {"n": True}, True),
    ({"n": True}, {"n": 2}, {"n": 3}, {"n": 2}, True),
    ({"n": None}, {"n": 2}, {"n": 3}, {"n": 2}, True),
    ({"n": 1}, {"n": "2"}, {"n": 3}, {"n": "2"}, True),
    ({"n": 1}, {"x": 1}, {"n": 3}, {"x": 1}, True),
    ({"other": 1}, {"other": 2}, {"other": 3}, {"other": 2}, True),
    (7, 8, 9, 10, False),
    (..., 1, 2, 3, False),
    (
        {"agents": {"a": {"runs": 1}}},
        {"agents": {"a": {"runs": 2}}},
        {"agents": {"a": {"runs": 3}, "b": {"runs": 1}}},
        {"agents": {"a": {"runs": 4}, "b": {"runs": 1}}},
        False,
    ),
]


@pytest.mark.parametrize(("base", "ours", "theirs", "merged", "superseded"), COUNTERS)
def test_where_a_counter_is_declared_both_differences_count(
    base: Any, ours: Any, theirs: Any, merged: Any, superseded: bool
) -> None:
    found = settle_json(base, ours, theirs, COUNTING)
    assert (repr(found[0]), found[1]) == (repr(merged), superseded)


def test_a_sum_with_more_digits_than_json_readers_take_falls_back_to_the_last_write() -> None:
    most = 10**4299 * 9
    assert settle_json(0, most, most - 1, COUNTING) == (most, True)


# -- lists ------------------------------------------------------------------------------------------------------------

LISTS: list[tuple[str, Any, Any, Any, Any, bool]] = [
    ("sets", ["b", "a"], ["b", "a", "z"], ["b", "a", "c"], ["b", "a", "c", "z"], False),
    ("sets", ["a", "b", "c"], ["a", "b"], ["b", "c", "d"], ["b", "d"], False),
    ("sets", ["a"], ["b"], ["c"], ["b", "c"], False),
    ("sets", [1], [1, 1.0, True], [1, "1"], [1, "1", 1.0, True], False),
    ("sets", [{"id": 1}], [{"id": 1}, {"x": 2}], [{"id": 1}, {"x": 2}, 5], [{"id": 1}, 5, {"x": 2}], False),
    ("sets", ["a"], ["a", "x", "x"], ["a", "y"], ["a", "x", "y"], False),
    ("sets", ..., ["b"], ["a"], ["a", "b"], False),
    ("sets", "text", ["b"], ["a"], ["a", "b"], False),
    ("sets", ["a"], ["b"], "text", ["b"], True),
    ("appends", ["a"], ["a", "x"], ["a", "y"], ["a", "y", "x"], False),
    ("appends", ["a"], ["a", "ok"], ["a", "ok"], ["a", "ok", "ok"], False),
    ("appends", ["a", "b"], ["b"], ["a", "b", "c"], ["b", "c"], False),
    ("appends", ["a", "b"], ["a", "b", "c"], ["b", "d"], ["b", "d", "c"], False),
    ("appends", ["a", "b"], ["a"], ["b"], ["a"], True),
    ("appends", ..., ["x"], ["y"], ["y", "x"], False),
    ("none", ["a"], ["a", "x"], ["a", "y"], ["a", "y", "x"], False),
    ("none", ["a", "b"], ["x", "a", "b"], ["a", "b", "y"], ["x", "a", "b", "y"], False),
    ("none", ["a", "b"], ["a", "x", "b"], ["a", "y", "b"], ["a", "y", "x", "b"], False),
    ("none", ["a"], ["a", "x", "s", "z"], ["a", "y", "s"], ["a", "y", "x", "s", "z"], False),
    ("none", ["a", "b"], ["b"], ["a", "b", "c"], ["b", "c"], False),
    ("none", ["a", "b", "c"], ["b", "c"], ["a", "b"], ["b"], False),
    ("none", ["a"], ["a", "x"], ["a", "x"], ["a", "x"], False),
    ("none", ["a", "a"], ["a", "a", "x"], ["a", "a", "y"], ["a", "a", "y", "x"], False),
    ("none", [1, 2], [1, 3], [4, 2], [1, 3], True),
    ("none", [1, 2], [1, 3], [1, 2, 5], [1, 3], True),
    ("none", ["a", "b"], ["b", "a"], ["a", "b", "c"], ["b", "a"], True),
    ("none", ["a"], ["a", "x", "y"], ["a", "y", "x"], ["a", "x", "y"], True),
    ("none", ["a", "a"], ["a"], ["a", "a", "x"], ["a"], True),
    ("none", ..., [1, 2], [3, 4], [1, 2], True),
    ("none", [{"s": 1}], [{"s": 2}], [{"s": 3}], [{"s": 2}], True),
    ("none", [True], [True, 1], [True, 1.0], [True, 1.0, 1], False),
]


@pytest.mark.parametrize(("kind", "base", "ours", "theirs", "merged", "superseded"), LISTS)
def test_lists_are_sets_logs_or_joined_where_that_is_surely_meant(
    kind: str, base: Any, ours: Any, theirs: Any, merged: Any, superseded: bool
) -> None:
    rules = MergeRules(**{kind: ("/l",)}) if kind != "none" else NO_RULES
    before = {"other": 0} if base is ... else {"l": base, "other": 0}
    found = settle_json(before, {"l": ours, "other": 1}, {"l": theirs, "other": 0}, rules)
    assert (repr(found[0]["l"]), found[1]) == (repr(merged), superseded)


# -- texts ------------------------------------------------------------------------------------------------------------

TEXTS: list[tuple[str, str, str, str | None]] = [
    ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"),
    ("a\nb\nc\n", "x\na\nb\nc\n", "a\nb\nc\ny\n", "x\na\nb\nc\ny\n"),
    ("a\nb\nc\n", "b\nc\n", "a\nb\n", "b\n"),
    ("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC"),
    ("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nC\r\n"),
    ("a\nb\nc\nd\n", "A\nb\nC\nd\n", "A\nb\nc\nD2\nd\n", None),
    ("a\nb\nc\nd\n", "A\nb\nC\nd\n", "A\nb\nc\nd\ne\n", "A\nb\nC\nd\ne\n"),
    ("a\nb\n", "A\nb\n", "a\nB\n", None),
    ("a\nb\n", "a\nb\nx\n", "a\nb\ny\n", None),
    ("a\nb\n", "A\nb\n", "Z\nb\n", None),
    ("", "a\n", "b\n", None),
    ("# t\n=======\nb\nc\n", "# T\n=======\nb\nc\n", "# t\n=======\nb\nC\n", "# T\n=======\nb\nC\n"),
    ("a\nb\nc\n", "<<<<<<< ours\nb\nc\n", "a\nb\nC\n", None),
    ("a\nb\nc\n", "A\nb\nc\n", "a\nb\n>>>>>>> theirs\n", None),
    ("<<<<<<< x\nb\nc\n", "a\nb\nc\n", "<<<<<<< x\nb\nC\n", None),
    ("<<<<<<< x\nb\nc\n", "a\nb\nc\n", "\nb\nC\n", None),
    ('{"a": 1,\n\n"b": 2}', '{"a": 3,\n\n"b": 2}', '{"a": 1,\n\n"b": 4}', '{"a": 3,\n\n"b": 4}'),
    ('{"a": 1,\n\n"b": 2}', '{"c": 1,\n\n"b": 2}', '{"a": 1,\n\n"c": 2}', None),
]


@pytest.mark.parametrize(("base", "ours", "theirs", "merged"), TEXTS)
def test_texts_are_merged_by_lines_or_the_last_write_stands_and_is_never_marked(
    base: str, ours: str, theirs: str, merged: str | None
) -> None:
    found = settle(base.encode(), ours.encode(), theirs.encode())
    if merged is None:
        assert found == Settled(ours.encode(), superseded=True)
    else:
        assert found == Settled(merged.encode(), superseded=False)


WHOLE: list[tuple[bytes | None, bytes | None, bytes | None, bytes | None, bool]] = [
    (None, b"a\n", b"b\n", b"a\n", True),
    (b"a\nb\nc\n", None, b"A\nb\nc\n", None, True),
    (b"a\nb\nc\n", b"A\nb\nc\n", None, b"A\nb\nc\n", False),
    (b"a\0\nb\nc\n", b"A\0\nb\nc\n", b"a\0\nb\nC\n", b"A\0\nb\nc\n", True),
    (b"a\xff\nb\nc\n", b"A\nb\nc\n", b"a\xff\nb\nC\n", b"A\nb\nc\n", True),
    (b"a\nb\nc\n", b'{\n  "a": 1\n}\n', b'{\n  "b": 1\n}\n', b'{\n  "a": 1\n}\n', True),
    (b'{\n  "a": 1\n}\n', b'{"a":1,"b":2}', b'{\n  "a": 2\n}\n', b'{"a":1,"b":2}', True),
    (b'{\n  "a": 1,\n  "a": 1\n}\n', b'{\n  "a": 2\n}\n', b'{\n  "b": 2\n}\n', b'{\n  "a": 2\n}\n', True),
]


@pytest.mark.parametrize(("base", "ours", "theirs", "value", "superseded"), WHOLE)
def test_what_cant_be_merged_is_the_last_write_with_the_loser_named(
    base: bytes | None, ours: bytes | None, theirs: bytes | None, value: bytes | None, superseded: bool
) -> None:
    assert settle(base, ours, theirs) == Settled(value, superseded)


def test_a_large_text_with_changes_at_both_ends_is_merged() -> None:
    lines = [f"line {number}, with some words that make it longer\n" for number in range(20_000)]
    base = "".join(lines).encode()
    ours, theirs = b"first\n" + base, base + b"last\n"
    assert settle(base, ours, theirs) == Settled(b"first\n" + base + b"last\n", superseded=False)


def test_a_comparison_that_would_take_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    base = "".join(f"{number}\n" for number in range(1000))
    ours = "".join(f"{number if number % 2 else -number}\n" for number in range(900)) + base[-400:]
    theirs = base + "more\n"
    monkeypatch.setattr(text_merge, "MOST_STEPS", 10_000)
    assert settle(base.encode(), ours.encode(), theirs.encode()) == Settled(ours.encode(), superseded=True)
