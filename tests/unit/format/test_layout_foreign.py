"""Trees that other git clients pushed: read in any form, never lost, put right by the next write."""

from __future__ import annotations

import hashlib
from itertools import count

import pytest

from gitctx.errors import InvalidKey
from gitctx.format import layout
from gitctx.format.objects import Node, make_object
from gitctx_testkit.trees import MemoryTrees, Nested, etag

SYMLINK, SUBMODULE, EXECUTABLE = "120000", "160000", "100755"


@pytest.fixture(params=[False, True], ids=["cold", "warm"])
def trees(request: pytest.FixtureRequest) -> MemoryTrees:
    return MemoryTrees(warm=request.param)


def bucket(name: str, byte: int = 0) -> str:
    return "~" + hashlib.sha1(name.encode()).hexdigest()[2 * byte : 2 * byte + 2]


def wrong_bucket(name: str) -> str:
    return "~00" if bucket(name) != "~00" else "~01"


def split(names: dict[str, str]) -> dict[str, dict[str, str]]:
    """The sub-trees that we would make of children."""
    groups: dict[str, dict[str, str]] = {}
    for name, oid in names.items():
        groups.setdefault(bucket(name), {})[name] = oid
    return groups


def children(number: int) -> dict[str, str]:
    return {f"k{n}": etag(n) for n in range(number)}


def listing(trees: MemoryTrees, root: str) -> dict[str, str]:
    return {key: node.oid for key, node in layout.walk(trees, (root,))}


def canonical(trees: MemoryTrees, keys: dict[str, str]) -> str:
    return layout.apply(trees, trees.build({}), dict(keys))


def codes(trees: MemoryTrees, root: str) -> set[str]:
    return {code for code, _, _ in layout.faults(trees, (root,))}


def agrees(trees: MemoryTrees, root: str, expected: dict[str, str]) -> None:
    """Listing, look-up and comparison see one and the same content."""
    assert listing(trees, root) == expected
    for key, oid in expected.items():
        found = layout.find(trees, root, key)
        assert found.entry is not None, key
        assert found.entry.oid == oid
    assert list(layout.compare(trees, (root,), (canonical(trees, expected),))) == []


def test_a_flat_folder_of_300_is_read_and_split_by_the_next_write(trees: MemoryTrees) -> None:
    root = trees.build({"d": children(300)})
    expected = {f"d/{name}": oid for name, oid in children(300).items()}
    agrees(trees, root, expected)
    assert "layout" in codes(trees, root)
    for changes in ({"d/k5": etag(900)}, {"d/new": etag(900)}):
        after = layout.apply(trees, root, dict(changes))
        assert after == canonical(trees, {**expected, **changes})
        assert codes(trees, after) == set()


def test_a_small_folder_that_was_split_is_read_and_made_flat_by_the_next_write(trees: MemoryTrees) -> None:
    root = trees.build({"d": split(children(3))})
    expected = {f"d/{name}": oid for name, oid in children(3).items()}
    agrees(trees, root, expected)
    assert layout.apply(trees, root, {"d/k9": etag(9)}) == canonical(trees, {**expected, "d/k9": etag(9)})


def test_a_direct_entry_wins_over_its_twin_in_the_split_and_the_next_write_leaves_one(trees: MemoryTrees) -> None:
    root = trees.build({"d": {**split(children(300)), "k7": etag(777)}})
    expected = {f"d/{name}": oid for name, oid in children(300).items()} | {"d/k7": etag(777)}
    agrees(trees, root, expected)
    after = layout.apply(trees, root, {"d/k8": etag(888)})
    assert after == canonical(trees, {**expected, "d/k8": etag(888)})


def test_removing_a_direct_entry_brings_no_twin_back(trees: MemoryTrees) -> None:
    root = trees.build({"d": {**split(children(300)), "k7": etag(777)}})
    after = layout.apply(trees, root, {"d/k7": None})
    assert after == canonical(trees, {f"d/{name}": oid for name, oid in children(300).items() if name != "k7"})


def test_two_folders_of_one_name_are_read_as_one_with_the_direct_one_winning(trees: MemoryTrees) -> None:
    inner: Nested = {"x": etag(1), "both": etag(2), "deep": {"p": etag(3)}}
    outer: Nested = {"y": etag(4), "both": etag(5), "deep": {"q": etag(6)}}
    root = trees.build({"d": {"f": outer, bucket("f"): {"f": inner}}})
    expected = {
        "d/f/x": etag(1),
        "d/f/both": etag(5),
        "d/f/y": etag(4),
        "d/f/deep/p": etag(3),
        "d/f/deep/q": etag(6),
    }
    agrees(trees, root, expected)
    assert layout.apply(trees, root, {"d/f/z": etag(7)}) == canonical(trees, {**expected, "d/f/z": etag(7)})
    assert layout.apply(trees, root, {"d/other": etag(7)}) == layout.apply(
        trees, layout.normalise(trees, root), {"d/other": etag(7)}
    )
    without = {key: oid for key, oid in expected.items() if key != "d/f/both"}
    assert layout.apply(trees, root, {"d/f/both": None}) == canonical(trees, without)


def test_an_entry_beside_a_folder_of_its_name_hides_it_but_a_folder_hides_an_entry_too(trees: MemoryTrees) -> None:
    entry_first = trees.build({"d": {"f": etag(1), bucket("f"): {"f": {"x": etag(2)}}}})
    agrees(trees, entry_first, {"d/f": etag(1)})
    folder_first = trees.build({"d": {"f": {"x": etag(2)}, bucket("f"): {"f": etag(1)}}})
    agrees(trees, folder_first, {"d/f/x": etag(2)})


REFUSED_NAMES = ["-x", "~abc", "~zz", "x.", "x ", ".gitmodules", "a\\b", "e\u0301", "a\nb", "GIT~1", "caf\udce9"]


@pytest.mark.parametrize("width", [2, 300])
def test_names_that_we_refuse_stay_untouched_and_count_for_nothing(trees: MemoryTrees, width: int) -> None:
    foreign: Nested = {name: {"inner": etag(1)} if n % 2 else etag(n) for n, name in enumerate(REFUSED_NAMES)}
    root = trees.build({"d": {**(split(children(width)) if width > 256 else children(width)), **foreign}})
    expected = {f"d/{name}": oid for name, oid in children(width).items()}
    agrees(trees, root, expected)
    before = trees.read_tree(trees.read_tree(root)["d"].oid)
    after = layout.apply(trees, root, {"d/k0": etag(500), "d/new": etag(501)})
    assert listing(trees, after) == {**expected, "d/k0": etag(500), "d/new": etag(501)}
    fresh = trees.read_tree(trees.read_tree(after)["d"].oid)
    assert {name: fresh[name] for name in REFUSED_NAMES} == {name: before[name] for name in REFUSED_NAMES}
    assert len([fault for fault in layout.faults(trees, (after,)) if fault[0] == "foreign_name"]) == len(REFUSED_NAMES)
    for _, subject, text in layout.faults(trees, (after,)):
        (subject + text).encode()


def test_refused_names_never_make_a_folder_too_wide(trees: MemoryTrees) -> None:
    root = trees.build({"d": {**children(255), **{f"-{n}": etag(n) for n in range(50)}}})
    after = layout.apply(trees, root, {"d/last": etag(1)})
    assert "k0" in trees.read_tree(trees.read_tree(after)["d"].oid)
    wider = layout.apply(trees, after, {"d/more": etag(1)})
    tree = trees.read_tree(trees.read_tree(wider)["d"].oid)
    assert "k0" not in tree
    assert sum(name.startswith("-") for name in tree) == 50
    assert layout.apply(trees, wider, {"d/more": None}) == after


def test_a_folder_that_holds_only_refused_names_outlives_its_last_entry(trees: MemoryTrees) -> None:
    root = trees.build({"d": {"k": etag(1), "-x": etag(2)}})
    after = layout.apply(trees, root, {"d/k": None})
    assert after == trees.build({"d": {"-x": etag(2)}})
    assert listing(trees, after) == {}


def test_a_blob_named_like_a_sub_tree_is_foreign_and_no_split(trees: MemoryTrees) -> None:
    root = trees.build({"~00": etag(1), "a": etag(2)})
    agrees(trees, root, {"a": etag(2)})
    assert layout.apply(trees, root, {"b": etag(3)}) == trees.build({"~00": etag(1), "a": etag(2), "b": etag(3)})


def test_a_child_in_a_wrong_sub_tree_is_put_right_by_the_next_write_to_it(trees: MemoryTrees) -> None:
    stray = next(name for name in (f"s{n}" for n in count()) if bucket(name) != bucket("k3"))
    groups = split(children(300))
    groups[bucket("k3")][stray] = etag(999)
    root = trees.build({"d": groups})
    expected = {f"d/{name}": oid for name, oid in children(300).items()}
    agrees(trees, root, expected)
    assert "layout" in codes(trees, root)
    neighbour = next(name for name in (f"t{n}" for n in count()) if bucket(name) == bucket("k3"))
    after = layout.apply(trees, root, {f"d/{neighbour}": etag(1)})
    assert after == canonical(trees, {**expected, f"d/{stray}": etag(999), f"d/{neighbour}": etag(1)})


def test_a_misplaced_child_never_overrules_the_one_in_its_place(trees: MemoryTrees) -> None:
    groups: dict[str, dict[str, str]] = split(children(300))
    groups.setdefault(wrong_bucket("k3"), {})["k3"] = etag(999)
    root = trees.build({"d": groups})
    expected = {f"d/{name}": oid for name, oid in children(300).items()}
    agrees(trees, root, expected)
    assert layout.normalise(trees, root) == canonical(trees, expected)


def test_a_removed_child_does_not_come_back_from_a_wrong_sub_tree(trees: MemoryTrees) -> None:
    root = trees.build({"d": {"~00": {"k3": etag(1)} if bucket("k3") != "~00" else {}, "a": etag(2)}})
    after = layout.apply(trees, root, {"d/k3": None})
    assert listing(trees, after) == {"d/a": etag(2)}


@pytest.mark.parametrize(("mode", "word"), [(SYMLINK, "symbolic link"), (SUBMODULE, "submodule")])
@pytest.mark.parametrize("key", ["d/x", "d/x/below"])
def test_nothing_is_written_over_or_through_a_link_or_a_submodule(
    trees: MemoryTrees, mode: str, word: str, key: str
) -> None:
    root = trees.build({"d": {"x": Node(mode, etag(1)), "y": etag(2)}})
    agrees(trees, root, {"d/y": etag(2)})
    with pytest.raises(InvalidKey, match=word) as caught:
        layout.apply(trees, root, {key: etag(3)})
    assert caught.value.hint
    after = layout.apply(trees, root, {"d/y": etag(4)})
    assert after == trees.build({"d": {"x": Node(mode, etag(1)), "y": etag(4)}})


@pytest.mark.parametrize("mode", [SYMLINK, SUBMODULE])
@pytest.mark.parametrize("width", [5, 300])
def test_a_link_beside_an_entry_of_its_name_costs_neither_of_them(trees: MemoryTrees, mode: str, width: int) -> None:
    link = Node(mode, etag(800))
    root = trees.build({"d": {**split(children(width)), "k3": link}})
    expected = {f"d/{name}": oid for name, oid in children(width).items()}
    agrees(trees, root, expected)
    for changes in ({"d/k4": etag(900)}, {"d/k3": etag(900)}, {"d/new": etag(900)}):
        after = layout.apply(trees, root, dict(changes))
        agrees(trees, after, {**expected, **changes})
        assert trees.read_tree(trees.read_tree(after)["d"].oid)["k3"] == link
        assert layout.normalise(trees, after) == after
    removed = layout.apply(trees, root, {"d/k3": None})
    assert listing(trees, removed) == {key: oid for key, oid in expected.items() if key != "d/k3"}
    assert trees.read_tree(trees.read_tree(removed)["d"].oid)["k3"] == link


def test_a_file_in_the_place_of_gitctx_own_folder_is_no_entry(trees: MemoryTrees) -> None:
    root = trees.build({".gitctx": etag(1), "a": etag(2)})
    agrees(trees, root, {"a": etag(2)})
    assert "foreign_name" in codes(trees, root)


def test_an_executable_file_is_an_entry_and_keeps_its_mode_while_its_bytes_stay(trees: MemoryTrees) -> None:
    root = trees.build({"run": Node(EXECUTABLE, etag(1))})
    agrees(trees, root, {"run": etag(1)})
    assert layout.apply(trees, root, {"run": etag(1)}) == root
    assert layout.find(trees, layout.apply(trees, root, {"run": etag(2)}), "run").entry == Node("100644", etag(2))


def test_case_twins_are_kept_apart_and_named(trees: MemoryTrees) -> None:
    root = canonical(trees, {"plan/A": etag(1), "plan/a": etag(2)})
    assert listing(trees, root) == {"plan/A": etag(1), "plan/a": etag(2)}
    assert [fault[:2] for fault in layout.faults(trees, (root,))] == [("case_twin", "plan/a")]


def test_an_empty_folder_of_others_is_no_key_and_goes_with_normalising(trees: MemoryTrees) -> None:
    root = trees.build({"empty": {}, "a": etag(1)})
    agrees(trees, root, {"a": etag(1)})
    assert layout.normalise(trees, root) == canonical(trees, {"a": etag(1)})


def test_a_tree_that_git_wouldnt_sort_like_that_is_sorted_by_the_next_change_of_one_entry(trees: MemoryTrees) -> None:
    rows = [b"100644 %b\0%b" % (name, bytes(20)) for name in (b"z", b"a", b"m")]
    item = make_object("tree", b"".join(rows))
    trees.raw[item.oid] = item.data
    root = layout.apply(trees, item.oid, {"m": etag(7)})
    assert root == layout.apply(trees, trees.build({}), {"a": "0" * 40, "m": etag(7), "z": "0" * 40})


def test_an_entry_whose_row_is_also_part_of_another_name_is_the_one_that_changes(trees: MemoryTrees) -> None:
    """Names may hold what looks like the start of a row."""
    twin = "b 100644 a"
    root = layout.apply(trees, trees.build({}), {"a": etag(1), twin: etag(1), "c": etag(1)})
    changed = layout.apply(trees, root, {"a": etag(2)})
    assert {key: node.oid for key, node in layout.walk(trees, (changed,))} == {
        "a": etag(2),
        twin: etag(1),
        "c": etag(1),
    }


def carried(trees: MemoryTrees, base: Nested | None, mine: Nested, theirs: Nested) -> str:
    """What a merge makes of foreign names, which has to be the same from either side."""
    before: layout.Folder = (trees.build(base),) if base is not None else ()
    sides = trees.build(mine), trees.build(theirs)
    found = layout.carry_foreign(trees, before, *sides)
    other = layout.carry_foreign(trees, before, *reversed(sides))
    assert foreign_names(trees, found) == foreign_names(trees, other)
    return found


def foreign_names(trees: MemoryTrees, root: str) -> list[str]:
    return [path for code, path, _ in layout.faults(trees, (root,)) if code == "foreign_name"]


def test_a_merge_takes_over_foreign_names_of_the_other_side(trees: MemoryTrees) -> None:
    base: Nested = {"d": {"k": etag(1)}}
    found = carried(trees, base, base, {"d": {"k": etag(1), "-x": etag(2)}, "e": {"~abc": etag(3)}, "GIT~1": etag(4)})
    assert found == trees.build({"d": {"k": etag(1), "-x": etag(2)}, "e": {"~abc": etag(3)}, "GIT~1": etag(4)})


def test_a_merge_takes_over_that_a_foreign_name_is_gone(trees: MemoryTrees) -> None:
    base: Nested = {"d": {"k": etag(1), "-x": etag(2), "-y": etag(3)}}
    found = carried(trees, base, base, {"d": {"k": etag(1), "-y": etag(3)}})
    assert found == trees.build({"d": {"k": etag(1), "-y": etag(3)}})


@pytest.mark.parametrize("base", [None, {"d": {"-x": etag(9)}}, {"d": {}}])
def test_of_two_foreign_ones_of_one_name_the_same_stays_on_every_machine(
    trees: MemoryTrees, base: Nested | None
) -> None:
    found = carried(trees, base, {"d": {"-x": etag(1)}}, {"d": {"-x": etag(2)}})
    assert found == trees.build({"d": {"-x": etag(2)}})


def test_a_foreign_name_that_one_side_changed_and_the_other_removed_stays(trees: MemoryTrees) -> None:
    base: Nested = {"d": {"-x": etag(1)}}
    assert carried(trees, base, {"d": {"-x": etag(2)}}, {"d": {}}) == trees.build({"d": {"-x": etag(2)}})


def test_foreign_names_in_wide_folders_and_links_travel_too(trees: MemoryTrees) -> None:
    wide: Nested = split(children(300))
    link = Node(SYMLINK, etag(7))
    found = carried(trees, {"d": wide}, {"d": wide}, {"d": {**wide, "link": link, "-x": etag(2)}})
    assert foreign_names(trees, found) == ["d/link", "d/-x"] or foreign_names(trees, found) == ["d/-x", "d/link"]
    agrees(trees, found, {f"d/{name}": oid for name, oid in children(300).items()})


def test_without_foreign_names_nothing_is_written(trees: MemoryTrees) -> None:
    mine, theirs = trees.build({"d": {"k": etag(1)}}), trees.build({"d": {"k": etag(2), "l": etag(3)}})
    written = len(trees.raw)
    assert layout.carry_foreign(trees, (), mine, theirs) == mine
    assert len(trees.raw) == written
