"""Laws of merging two heads: nobody's key is lost, nothing is silent, and it doesn't matter who merges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from gitctx.format import layout
from gitctx.format.keys import CLAIMS_PREFIX, MAX_KEY_BYTES, RESERVED, SETTINGS_KEY, key_fault
from gitctx.format.objects import blob_id
from gitctx.store.merging import FIRST_PUBLISHED, Merge, Merged, Side
from gitctx.store.origins import Origin
from gitctx_testkit.counts import examples
from gitctx_testkit.trees import MemoryStore

Content = Mapping[str, bytes]

LONG = "l" * 255
FULL = "/".join(["f", "m" * 255, "n" * (MAX_KEY_BYTES - 258)])
CLAIM, CLAIM_BELOW = f"{CLAIMS_PREFIX}c", f"{CLAIMS_PREFIX}c/d"
KEYS = ("a", "a/x", "a/x/y", "a/z", "b", "b/c", "f", FULL, LONG, f"{LONG}/k", "s/l", "s/l/m", "ü", CLAIM, CLAIM_BELOW)
WIDE = tuple(f"w/{number:03}" for number in range(300))
SETTINGS = tuple(
    text.encode()
    for text in (
        '[strategies]\n"a" = "merge"\n"s/" = "fail"\n',
        '[strategies]\n"a" = "fail"\n"b" = "fail"\n"f" = "fail"\n"w/" = "merge"\n',
        '[strategies]\n"a" = "merge"\n"b" = "merge"\n"l" = "merge"\n"w/" = "fail"\n',
        "[limits]\nmax_value_bytes = 4\n",
        "not settings",
    )
)
VALUES = st.sampled_from(
    [b"", b"1\n2\n3\n4\n", b"one\n2\n3\n4\n", b"1\n2\n3\nfour\n", b"x", b'{\n  "a": 1\n}\n', b"\0"]
)


class Half(NamedTuple):
    """What one side holds, and when it wrote each key."""

    content: Content
    at: Mapping[str, int]


class Case(NamedTuple):
    base: Content | None
    local: Half
    published: Half


@st.composite
def contents(draw: st.DrawFn, start: Content) -> Content:
    """A content made of another one by some edits, in which no key is an entry and a folder."""
    content = dict(start)
    for key, value in draw(st.dictionaries(st.sampled_from(KEYS), st.none() | VALUES, max_size=6)).items():
        content.pop(key, None)
        if value is not None:
            for other in [each for each in content if each.startswith(key + "/") or key.startswith(each + "/")]:
                del content[other]
            content[key] = value
    if draw(st.integers(0, 3)) == 0:
        content[SETTINGS_KEY] = draw(st.sampled_from(SETTINGS))
    wide = draw(st.sampled_from([None] * 6 + ["fill", "some", "empty"]))
    if wide is not None:
        content = {key: value for key, value in content.items() if not key.startswith("w/")}
        chosen = {"fill": WIDE, "some": WIDE[40:44], "empty": ()}[wide]
        content |= dict.fromkeys(chosen, draw(VALUES))
    return content


@st.composite
def cases(draw: st.DrawFn) -> Case:
    base = draw(contents({}))
    sides = [draw(contents(base)) for _ in range(2)]
    halves = []
    for number, side in enumerate(sides):
        changed = sorted({*base, *side})
        times = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))
        halves.append(Half(side, {key: times[len(key) % 4] * 2 + number * (len(key) % 2) for key in changed}))
    return Case(base if draw(st.integers(0, 5)) else None, *halves)


def origins_of(half: Half, name: str) -> Side:
    def find(keys: Iterable[str]) -> dict[str, Origin]:
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        return {
            key: Origin(begin + timedelta(seconds=half.at.get(key, 0)), f"{key[:1]}{name}", name * 40, name, None)
            for key in keys
        }

    return Side("", find)


def merge(case: Case, trees: MemoryStore, *, swapped: bool = False) -> Merged:
    base = trees.root(case.base) if case.base is not None else None
    one, other = (
        origins_of(half, name)._replace(tree=trees.root(half.content))
        for half, name in ((case.local, "a"), (case.published, "b"))
    )
    if swapped:
        one, other = other, one
    return Merge(trees, base, one, other).run()  # type: ignore[arg-type]


def without_claims(content: Content) -> dict[str, bytes]:
    return {key: value for key, value in content.items() if not key.startswith(CLAIMS_PREFIX)}


@settings(max_examples=examples(60))
@given(cases())
def test_whoever_merges_comes_to_the_same_content(case: Case) -> None:
    trees = MemoryStore()
    one, other = merge(case, trees), merge(case, trees, swapped=True)
    assert without_claims(trees.content(one.root)) == without_claims(trees.content(other.root))
    assert sorted(one.moved, key=str) == sorted(other.moved, key=str)
    assert one.opened == other.opened
    assert merge(case, trees) == one
    told = [[each for each in merged.settled if each.strategy != FIRST_PUBLISHED] for merged in (one, other)]
    assert told[0] == told[1]


@settings(max_examples=examples(60))
@given(cases())
def test_every_value_of_both_sides_stands_or_waits_or_was_moved_or_is_named(case: Case) -> None:
    trees = MemoryStore()
    merged = merge(case, trees)
    result = trees.content(merged.root)
    superseded = set(merged.superseded)
    moved: dict[str, set[str]] = {}
    for move in merged.moved:
        moved.setdefault(move.key, set()).add(move.moved_to)
    open_etags = {side.etag for each in merged.opened for side in (each.standing, each.waiting)}
    together = {each.key for each in merged.settled if each.strategy == "merge"}
    base = case.base or {}
    for half in (case.local, case.published):
        for key in {*base, *half.content}:
            before, after = base.get(key), half.content.get(key)
            if before == after or after is None:
                continue
            there = result.get(key) == after or any(result.get(place) == after for place in moved.get(key, ()))
            named = blob_id(after) in superseded | open_etags
            assert there or named or key in together, key
    for each in merged.opened:
        if each.waiting.etag is not None:
            assert result[f"{RESERVED}/conflicts/{each.id}.waiting"] == trees.blobs[each.waiting.etag]
        assert f"{RESERVED}/conflicts/{each.id}.json" in result


@settings(max_examples=examples(60))
@given(cases())
def test_what_one_side_alone_changed_is_taken_and_what_none_changed_stays(case: Case) -> None:
    trees = MemoryStore()
    merged = merge(case, trees)
    result = trees.content(merged.root)
    moved = {move.key: move.moved_to for move in merged.moved}
    base = case.base or {}
    dropped = {each.key for each in merged.settled if each.strategy == FIRST_PUBLISHED}
    for key in {*base, *case.local.content, *case.published.content}:
        sides = {half.content.get(key) for half in (case.local, case.published)}
        expected = sides if len(sides) == 1 else sides - {base.get(key)}
        if len(expected) == 1 and key not in dropped:
            (value,) = expected
            assert result.get(moved.get(key, key)) == value, key
    new = result.keys() - base.keys() - case.local.content.keys() - case.published.content.keys()
    assert all(key in moved.values() for key in new if not key.startswith(f"{RESERVED}/conflicts/"))


@settings(max_examples=examples(60))
@given(cases())
def test_a_conflict_is_never_silent(case: Case) -> None:
    trees = MemoryStore()
    merged = merge(case, trees)
    base = case.base or {}
    told = {each.key for each in merged.settled} | {each.key for each in merged.opened}
    for key in {*base, *case.local.content, *case.published.content}:
        mine, theirs = case.local.content.get(key), case.published.content.get(key)
        if mine != theirs and base.get(key) not in (mine, theirs):
            assert key in told


@settings(max_examples=examples(60))
@given(cases())
def test_what_comes_out_is_laid_out_and_named_as_gitctx_would(case: Case) -> None:
    trees = MemoryStore()
    root = merge(case, trees).root
    assert layout.normalise(trees, root) == root
    for key in trees.content(root):
        assert key_fault(key, reserved=True) is None, key


@settings(max_examples=examples(30))
@given(cases())
def test_merging_a_side_into_the_result_again_changes_nothing(case: Case) -> None:
    trees = MemoryStore()
    root = merge(case, trees).root
    for half in (case.local, case.published):
        result = Half(trees.content(root), half.at)
        again = merge(Case(half.content, result, half), trees)
        assert again.root == root
        assert (again.settled, again.moved, again.opened) == ([], [], [])
