"""The laws of the strategy `merge`, each as docs/technical/merge.md words it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gitctx.format.documents import to_canonical_json
from gitctx.format.merge_rules import NO_RULES, MergeRules
from gitctx.format.strategies import MERGE, Settled, Sides, strategy_named
from gitctx.format.text_merge import merge_lines
from gitctx_testkit.counts import examples
from gitctx_testkit.git import clean_environment

ABSENT: Any = object()
PLACES = st.lists(st.sampled_from(["", "/a", "/b", "/a/b", "/*", "/*/a", "/*/*"]), max_size=2, unique=True).map(tuple)
RULES = st.one_of(st.just(NO_RULES), st.builds(MergeRules, PLACES, PLACES, PLACES))
NUMBERS = st.integers(-2, 3) | st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e300, 10**25])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "x", "y", "é\n"]))


def json_values(lists: Any) -> Any:
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(lists(inner), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
        max_leaves=8,
    )


VALUES = json_values(lambda inner: st.lists(inner, max_size=4))
UNIQUE = json_values(lambda inner: st.lists(inner, max_size=4, unique_by=lambda each: json.dumps(each, sort_keys=True)))
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
JSON_SIDES = st.one_of(st.tuples(VALUES, VALUES, VALUES), st.tuples(OBJECTS, OBJECTS, OBJECTS))
LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "", "=======", "<<<<<<< x"]), max_size=9).map("\n".join)
BYTES = st.one_of(
    st.none(),
    LINES.map(str.encode),
    VALUES.map(to_canonical_json),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=6),
)


def settle(base: bytes | None, ours: bytes | None, theirs: bytes | None, rules: MergeRules = NO_RULES) -> Settled:
    outcome = strategy_named(MERGE)(Sides("k", base, ours, theirs, rules))
    assert isinstance(outcome, Settled)
    return outcome


def settle_json(base: Any, ours: Any, theirs: Any, rules: MergeRules) -> tuple[Any, bool]:
    sides = [to_canonical_json(side) if side is not ABSENT else None for side in (base, ours, theirs)]
    outcome = settle(*sides, rules)
    assert outcome.value is not None
    value = json.loads(outcome.value)
    assert to_canonical_json(value) == outcome.value
    return value, outcome.superseded


def text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def without_order(value: Any) -> Any:
    """The value with every list sorted, as text that tells 1, 1.0 and true apart."""
    if isinstance(value, dict):
        return text_of({key: without_order(item) for key, item in value.items()})
    return text_of(sorted(map(without_order, value)) if isinstance(value, list) else value)


# -- any bytes --------------------------------------------------------------------------------------------------------


@given(BYTES, BYTES, RULES)
def test_what_changed_on_one_side_or_on_both_alike_is_the_result(
    base: bytes | None, side: bytes | None, rules: MergeRules
) -> None:
    same = Settled(side, superseded=False)
    assert settle(base, side, side, rules) == same
    assert settle(base, base, side, rules) == same
    assert settle(base, side, base, rules) == same


@given(BYTES, BYTES, BYTES, RULES)
def test_any_sides_settle_the_same_each_time_and_a_value_that_is_gone_is_named(
    base: bytes | None, ours: bytes | None, theirs: bytes | None, rules: MergeRules
) -> None:
    outcome = settle(base, ours, theirs, rules)
    assert outcome == settle(base, ours, theirs, rules)
    if outcome.value == ours and theirs not in (base, ours, None):
        assert outcome.superseded or _holds_all(base, ours, theirs)


def _holds_all(base: bytes | None, ours: bytes | None, theirs: bytes | None) -> bool:
    """Whether merging theirs into ours changes nothing because it is all there: JSON whose changes ours holds."""
    try:
        sides = [json.loads(side) if side is not None else ABSENT for side in (base, ours, theirs)]
    except ValueError:
        return set((theirs or b"").split(b"\n")) - set((base or b"").split(b"\n")) <= set((ours or b"").split(b"\n"))
    return not _missing(sides[1], sides[0], sides[2])


@given(LINES, LINES, LINES)
def test_no_marker_of_a_conflict_is_ever_made_or_merged(base: str, ours: str, theirs: str) -> None:
    outcome = settle(base.encode(), ours.encode(), theirs.encode())
    assert outcome.value is not None
    if b"<<<<<<< " in outcome.value:
        assert outcome.value in (ours.encode(), theirs.encode())


# -- JSON -------------------------------------------------------------------------------------------------------------


def _missing(result: Any, base: Any, theirs: Any) -> list[str]:
    """Changes of theirs that can't be seen in a result; those of numbers are left out."""
    if text_or_none(theirs) == text_or_none(base) or text_or_none(result) == text_or_none(theirs):
        return []
    if isinstance(theirs, dict) and isinstance(result, dict):
        before = base if isinstance(base, dict) else {}
        keys = {*before, *theirs}
        sides = [(result.get(key, ABSENT), before.get(key, ABSENT), theirs.get(key, ABSENT)) for key in keys]
        return [found for each in sides for found in _missing(*each)]
    if isinstance(theirs, list) and isinstance(result, list):
        before = base if isinstance(base, list) else []
        there, was = set(map(text_of, result)), set(map(text_of, before))
        return [text for text in map(text_of, theirs) if text not in was | there]
    number = all(type(side) in (int, float) for side in (result, theirs))
    return [] if number else [f"{result!r} for {theirs!r}"]


def text_or_none(value: Any) -> str | None:
    return None if value is ABSENT else text_of(value)


@given(JSON_SIDES, st.booleans(), RULES)
def test_a_conflict_in_json_is_never_silent(sides: tuple[Any, Any, Any], without_base: bool, rules: MergeRules) -> None:
    base, ours, theirs = sides
    base = ABSENT if without_base else base
    result, superseded = settle_json(base, ours, theirs, rules)
    if not superseded:
        assert _missing(result, base, theirs) == []
        assert _missing(result, base, ours) == []


@given(JSON_SIDES)
def test_a_number_that_is_no_counter_never_gives_way_in_silence(sides: tuple[Any, Any, Any]) -> None:
    base, ours, theirs = sides
    result, superseded = settle_json({"n": base}, {"n": ours}, {"n": theirs}, NO_RULES)
    if not superseded and not isinstance(theirs, (dict, list)) and text_of(theirs) != text_of(base):
        assert text_of(result["n"]) == text_of(theirs)


@given(st.integers(), st.integers(), st.integers(), st.booleans())
def test_of_a_counter_every_count_is_in_the_result(base: int, ours: int, theirs: int, new: bool) -> None:
    rules = MergeRules(counters=("/n",))
    before = {} if new else {"n": base}
    result, superseded = settle_json(before, {"n": ours, "o": 0}, {"n": theirs, "t": 0}, rules)
    assert (result["n"], superseded) == (ours + theirs - (0 if new else base), False)


ITEMS = st.lists(SCALARS, max_size=4)


@given(ITEMS, ITEMS, ITEMS)
def test_of_a_log_every_addition_is_in_the_result_theirs_first(
    base: list[Any], ours: list[Any], theirs: list[Any]
) -> None:
    assume(ours and theirs)
    sides = ({"l": base}, {"l": base + ours, "o": 0}, {"l": base + theirs, "t": 0})
    result, superseded = settle_json(*sides, MergeRules(appends=("/l",)))
    assert (text_of(result["l"]), superseded) == (text_of(base + theirs + ours), False)


@given(ITEMS, ITEMS, ITEMS)
def test_of_a_set_every_addition_is_in_the_result_and_no_removal_is_undone(
    base: list[Any], ours: list[Any], theirs: list[Any]
) -> None:
    sides = ({"l": base}, {"l": ours, "o": 0}, {"l": theirs, "t": 0})
    result, superseded = settle_json(*sides, MergeRules(sets=("/l",)))
    before, mine, others = (set(map(text_of, items)) for items in (base, ours, theirs))
    assert set(map(text_of, result["l"])) == (before & mine & others) | (mine - before) | (others - before)
    assert not superseded


@given(OBJECTS, OBJECTS, OBJECTS, RULES)
def test_a_key_that_one_side_added_is_in_the_result(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], rules: MergeRules
) -> None:
    result, _ = settle_json(base, ours, theirs, rules)
    assert ({*ours, *theirs} - {*base}) <= {*result} <= {*ours, *theirs}
    assert {*ours} & {*theirs} <= {*result}
    for key in {*theirs} - {*base} - {*ours}:
        assert text_of(result[key]) == text_of(theirs[key])


@given(JSON_SIDES, RULES)
def test_without_a_conflict_it_doesnt_matter_for_the_content_which_side_is_which(
    sides: tuple[Any, Any, Any], rules: MergeRules
) -> None:
    base, ours, theirs = sides
    result, superseded = settle_json(base, ours, theirs, rules)
    swapped, swapped_superseded = settle_json(base, theirs, ours, rules)
    assert superseded == swapped_superseded
    if not superseded:
        assert without_order(result) == without_order(swapped)


@given(*[st.fixed_dictionaries({"s": st.lists(SCALARS, max_size=5), "n": NUMBERS, "x": SCALARS})] * 3)
def test_sets_counters_and_scalars_come_out_the_same_to_the_byte_whichever_side_is_which(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    rules = MergeRules(counters=("/n",), sets=("/s",))
    one, other = settle_json(base, ours, theirs, rules), settle_json(base, theirs, ours, rules)
    if not one[1] and text_of(ours["s"]) not in (text_of(base["s"]), text_of(theirs["s"])):
        assert text_of(one[0]) == text_of(other[0])


@given(st.tuples(UNIQUE, UNIQUE, UNIQUE), PLACES)
def test_merging_either_side_into_the_result_again_keeps_it(sides: tuple[Any, Any, Any], sets: tuple[str, ...]) -> None:
    base, ours, theirs = sides
    rules = MergeRules(sets=sets)
    result, _ = settle_json(base, ours, theirs, rules)
    for side in (ours, theirs):
        assert without_order(settle_json(base, result, side, rules)[0]) == without_order(result)


# -- texts ------------------------------------------------------------------------------------------------------------


@given(LINES, LINES, LINES)
def test_texts_merge_to_the_same_whichever_side_is_which(base: str, ours: str, theirs: str) -> None:
    sides = (base.encode(), ours.encode(), theirs.encode())
    assert merge_lines(*sides) == merge_lines(sides[0], sides[2], sides[1])


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A text of lines that differ, and two edited forms of it with fresh lines."""
    count = draw(st.integers(0, 14))
    base = [f"line {number}" for number in range(count)]
    sides = []
    for name in ("ours", "theirs"):
        edits = draw(st.dictionaries(st.integers(0, count), st.sampled_from(["add", "remove", "replace"]), max_size=3))
        lines: list[str] = []
        for number in range(count + 1):
            what = edits.get(number)
            if what in ("add", "replace"):
                lines.append(f"{name} {number}")
            if number < count and what not in ("remove", "replace"):
                lines.append(base[number])
        sides.append("".join(f"{line}\n" for line in lines).encode())
    return "".join(f"{line}\n" for line in base).encode(), sides[0], sides[1]


@given(edited_texts())
def test_every_change_of_both_sides_is_in_a_merged_text(sides: tuple[bytes, bytes, bytes]) -> None:
    base, ours, theirs = sides
    outcome = settle(base, ours, theirs)
    assert outcome.value is not None
    if outcome.superseded:
        assert outcome.value == ours
        return
    lines = {name: Counter(text.splitlines()) for name, text in zip("bot", sides, strict=True)}
    assert Counter(outcome.value.splitlines()) == Counter(
        {
            line: count
            for line in {*lines["b"], *lines["o"], *lines["t"]}
            if (count := lines["o"][line] + lines["t"][line] - lines["b"][line]) > 0
        }
    )
    for side in (ours, theirs):
        assert settle(base, outcome.value, side).value == outcome.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merge-file")


@settings(deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edited_texts())
def test_what_is_merged_by_lines_is_what_git_merges(folder: Path, sides: tuple[bytes, bytes, bytes]) -> None:
    base, ours, theirs = sides
    assume(len({base, ours, theirs}) == 3)
    merged = merge_lines(base, ours, theirs)
    for name, text in zip(("base", "ours", "theirs"), sides, strict=True):
        (folder / name).write_bytes(text)
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )
    assert merged == (done.stdout if done.returncode == 0 else None)
