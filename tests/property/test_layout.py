"""The layout of trees: a pure function of the content, and any other layout is read right."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitctx.errors import InvalidKey
from gitctx.format import layout
from gitctx.format.objects import TREE, Node
from gitctx_testkit.counts import examples
from gitctx_testkit.trees import MemoryTrees, Nested, etag

SEGMENTS = st.sampled_from(["a", "b", "plan", "x.md", "é", "Plan", "a.b", "a0", "z z"])
KEYS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
ETAGS = st.integers(0, 5).map(etag)
CHANGES = st.dictionaries(KEYS, st.none() | ETAGS, max_size=6)
ONE_CHANGE = st.dictionaries(KEYS, ETAGS, min_size=1, max_size=1)
WIDE = st.builds(
    lambda size, step, value: {f"wide/{number * step}": etag(value + number % 3) for number in range(size)},
    st.integers(200, 700),
    st.integers(1, 3),
    st.integers(0, 3),
)


def contents(trees: MemoryTrees, root: str) -> dict[str, str]:
    return {key: node.oid for key, node in layout.walk(trees, (root,))}


def built(trees: MemoryTrees, content: dict[str, str]) -> str:
    return layout.apply(trees, trees.build({}), content)


def clash(keys: set[str]) -> bool:
    return any(other.startswith(key + "/") for key in keys for other in keys)


@given(st.lists(CHANGES | ONE_CHANGE, max_size=8), st.booleans())
def test_changes_one_after_the_other_give_what_building_from_scratch_gives(
    steps: list[dict[str, str | None]], warm: bool
) -> None:
    trees = MemoryTrees(warm=warm)
    root = trees.build({})
    model: dict[str, str] = {}
    for step in steps:
        wanted = {key: value for key, value in {**model, **step}.items() if value is not None}
        if clash(set(wanted)):
            with pytest.raises(InvalidKey):
                layout.apply(trees, root, step)
            continue
        root = layout.apply(trees, root, step)
        model = wanted
        assert contents(trees, root) == model
        assert root == built(trees, model)
    for key in {*model, "missing", "a/b/c/d"}:
        found = layout.find(trees, root, key)
        assert (found.entry.oid if found.entry else None) == model.get(key)


@settings(max_examples=examples(5))
@given(WIDE, WIDE)
def test_wide_folders_split_and_merge_again_by_content_alone(before: dict[str, str], after: dict[str, str]) -> None:
    trees = MemoryTrees()
    first = built(trees, before)
    assert contents(trees, first) == before
    changes: dict[str, str | None] = dict.fromkeys(before.keys() - after.keys())
    changes.update(after)
    second = layout.apply(trees, first, changes)
    assert second == built(trees, after)
    assert layout.normalise(trees, second) == second
    expected = {
        (key, before.get(key), after.get(key))
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }
    assert set(layout.compare(trees, (first,), (second,))) == expected
    for key in list(after)[:20]:
        found = layout.find(trees, second, key)
        assert found.entry is not None
        assert found.entry.oid == after[key]
        assert _by_plain_path(trees, second, found.path) == after[key]


def _by_plain_path(trees: MemoryTrees, root: str, path: tuple[str, ...]) -> str | None:
    """What `git show <root>:<path>` gives."""
    oid = root
    for name in path[:-1]:
        node = trees.read_tree(oid).get(name)
        if node is None or node.mode != TREE:
            return None
        oid = node.oid
    node = trees.read_tree(oid).get(path[-1])
    return node.oid if node is not None else None


# What another git client may push: sub-trees like ours in any place, odd names, links, files where folders are.
def _bucket_of(name: str) -> str:
    return f"~{hashlib.sha1(name.encode()).digest()[0]:02x}"


NAMES = st.sampled_from(["a", "b", "c", "d"])
LEAVES = ETAGS | st.sampled_from([Node("120000", etag(8)), Node("160000", etag(9)), Node("100755", etag(7))])
ODD_NAMES = st.sampled_from([".git", "~86", ".gitctx", "-x", "bad\\name", "nul.", "~zz", "~0", "\udcff", "ends "])


def _foreign(children: st.SearchStrategy[Nested]) -> st.SearchStrategy[Nested]:
    inside = LEAVES | children
    buckets = NAMES.map(_bucket_of) | st.sampled_from(["~00", "~ff"])
    return st.dictionaries(NAMES | buckets | ODD_NAMES, inside, max_size=5)


FOREIGN: st.SearchStrategy[Nested] = st.recursive(st.dictionaries(NAMES, LEAVES, max_size=3), _foreign, max_leaves=12)


@given(FOREIGN)
def test_listing_looking_up_and_comparing_agree_on_any_layout(nested: Nested) -> None:
    trees = MemoryTrees()
    root = trees.build(nested)
    listed = contents(trees, root)
    assert list(listed) == sorted(listed)
    for key in {*listed, "a", "b/c", "a/b/c"}:
        found = layout.find(trees, root, key)
        assert (found.entry.oid if found.entry else None) == listed.get(key), key
        if found.entry is not None:
            assert _by_plain_path(trees, root, found.path) == listed[key], "git finds something else there"
    changes = set(layout.compare(trees, (), (root,)))
    assert changes == {(key, None, value) for key, value in listed.items()}


@given(FOREIGN, FOREIGN)
def test_differences_between_any_two_layouts_are_those_of_their_contents(one: Nested, other: Nested) -> None:
    trees = MemoryTrees()
    left, right = trees.build(one), trees.build(other)
    before, after = contents(trees, left), contents(trees, right)
    expected = {
        (key, before.get(key), after.get(key))
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }
    assert set(layout.compare(trees, (left,), (right,))) == expected


def _foreign_names(trees: MemoryTrees, root: str) -> set[str]:
    """The names in a tree that aren't ours (and aren't hidden by an entry): they have to survive every write."""
    found = layout.faults(trees, (root,))
    return {place.rpartition("/")[2] for code, place, _ in found if code == "foreign_name"}


@given(FOREIGN, CHANGES)
def test_a_write_on_top_of_any_layout_changes_what_it_says_and_keeps_the_rest(
    nested: Nested, changes: dict[str, str | None]
) -> None:
    trees = MemoryTrees()
    root = trees.build(nested)
    before = contents(trees, root)
    wanted = {key: value for key, value in {**before, **changes}.items() if value is not None}
    try:
        after = layout.apply(trees, root, changes)
    except InvalidKey:
        places = [layout.find(trees, root, key) for key in _and_parents(changes)]
        taken = any(place.foreign or place.folder for place in places)  # a folder may hold no entry, and still be there
        assert clash(set(wanted)) or taken
        return
    found = contents(trees, after)
    misplaced = {key for key in found if key not in wanted}
    assert {key: found[key] for key in wanted} == wanted
    assert not misplaced & set(before), "a removed entry is still there"
    assert _foreign_names(trees, root) <= _foreign_names(trees, after)


def _and_parents(keys: dict[str, str | None]) -> set[str]:
    return {"/".join(key.split("/")[:depth]) for key in keys for depth in range(1, len(key.split("/")) + 1)}


@given(FOREIGN)
def test_normalising_any_layout_keeps_its_content_and_is_final(nested: Nested) -> None:
    trees = MemoryTrees()
    root = trees.build(nested)
    tidy = layout.normalise(trees, root)
    found = contents(trees, tidy)
    assert {key: value for key, value in found.items() if key in contents(trees, root)} == contents(trees, root)
    assert layout.normalise(trees, tidy) == tidy
    assert not [fault for fault in layout.faults(trees, (tidy,)) if fault[0] == "layout"]
