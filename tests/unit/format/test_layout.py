"""The layout of folders: one content gives one tree however it came about, and plain git finds every entry in it."""

from __future__ import annotations

import hashlib
import random
from itertools import count, islice
from pathlib import Path

import pytest

from gitctx.errors import InvalidKey
from gitctx.format import layout
from gitctx.format.objects import BLOB, TREE, Node, make_object, serialise_tree
from gitctx.format.packs import make_pack
from gitctx.repository import Repository
from gitctx_testkit.git import git
from gitctx_testkit.trees import MemoryTrees, etag

Changes = dict[str, str | None]


@pytest.fixture(params=[False, True], ids=["cold", "warm"])
def trees(request: pytest.FixtureRequest) -> MemoryTrees:
    return MemoryTrees(warm=request.param)


def first_byte(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()[:2]


def names_below(bucket: str, wanted: int) -> list[str]:
    """Names that all go into one sub-tree of the split."""
    return list(islice((name for name in map("n{}".format, count()) if first_byte(name) == bucket), wanted))


def made(trees: MemoryTrees, changes: Changes) -> str:
    return layout.apply(trees, trees.build({}), changes)


def listing(trees: MemoryTrees, root: str) -> dict[str, str]:
    return {key: node.oid for key, node in layout.walk(trees, (root,))}


def many(number: int, prefix: str = "d/") -> Changes:
    return {f"{prefix}k{n}": etag(n) for n in range(number)}


def folder_of(trees: MemoryTrees, root: str, name: str = "d") -> layout.Tree:
    return trees.read_tree(trees.read_tree(root)[name].oid)


def in_git(folder: Path, trees: MemoryTrees) -> Repository:
    """The trees, and the blob `x`, in a real repository: git itself takes them in, strictly."""
    bare = folder / "bare.git"
    git(folder, "init", "-q", "--bare", str(bare))
    pack, _ = make_pack([*(make_object("tree", raw) for raw in trees.raw.values()), make_object("blob", b"x")])
    place = bare / "objects" / "pack" / "pack-1.pack"
    place.write_bytes(pack)
    git(bare, "index-pack", "--strict", str(place))
    return Repository.open(bare)


def test_at_256_children_a_folder_is_one_tree_and_at_257_it_is_split(trees: MemoryTrees) -> None:
    root = made(trees, many(256))
    assert set(folder_of(trees, root)) == {f"k{n}" for n in range(256)}
    wider = layout.apply(trees, root, {"d/k256": etag(256)})
    split = folder_of(trees, wider)
    assert all(name[0] == "~" and node.mode == TREE for name, node in split.items())
    for name, node in split.items():
        assert all(f"~{first_byte(child)}" == name for child in trees.read_tree(node.oid))
    assert listing(trees, wider) == many(257)


def test_back_at_256_children_the_tree_is_the_one_of_before(trees: MemoryTrees) -> None:
    root = made(trees, many(256))
    wider = layout.apply(trees, root, {"d/k256": etag(256)})
    assert layout.apply(trees, wider, {"d/k256": None}) == root
    assert layout.apply(trees, wider, {"d/k7": None, "d/k8": None, "d/k256": None}) == made(
        trees, {key: value for key, value in many(256).items() if key not in ("d/k7", "d/k8")}
    )


def test_folders_count_as_children_like_entries_do(trees: MemoryTrees) -> None:
    root = made(trees, {f"d/k{n}/x": etag(n) for n in range(257)})
    assert "k0" not in folder_of(trees, root)
    assert listing(trees, root) == {f"d/k{n}/x": etag(n) for n in range(257)}
    assert layout.apply(trees, root, {"d/k3/x": None}) == made(
        trees, {f"d/k{n}/x": etag(n) for n in range(257) if n != 3}
    )


def test_git_lists_a_split_folder_where_find_says_and_fscks_it(trees: MemoryTrees, tmp_path: Path) -> None:
    blob = make_object("blob", b"x").oid
    keys = [*(f"d/k{n}" for n in range(300)), *(f"d/sub/k{n}" for n in range(257)), "plan/\u00e9.md", "top"]
    root = made(trees, dict.fromkeys(keys, blob))
    repository = in_git(tmp_path, trees)
    listed = git(repository.path, "-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", root).splitlines()
    assert sorted(listed) == sorted("/".join(layout.find(repository, root, key).path) for key in keys)
    assert [key for key, _ in layout.walk(repository, (root,))] == sorted(keys)
    assert [path.split("/")[-1] for path in listed if "~" not in path] == ["\u00e9.md", "top"]
    git(repository.path, "fsck", "--strict", "--full")


def test_twenty_thousand_children_are_found_and_a_write_reads_and_makes_few_trees(trees: MemoryTrees) -> None:
    root = made(trees, many(20_000))
    assert listing(trees, root) == many(20_000)
    trees.reads, before = 0, len(trees.raw)
    after = layout.apply(trees, root, {"d/k777": etag(1)})
    assert len(trees.raw) - before == 3
    assert trees.reads < 20
    assert list(layout.compare(trees, (root,), (after,))) == [("d/k777", etag(777), etag(1))]
    assert layout.find(trees, after, "d/k777").entry == Node(BLOB, etag(1))


def test_comparing_two_wide_folders_reads_only_what_differs(trees: MemoryTrees) -> None:
    root = made(trees, many(5_000))
    after = layout.apply(trees, root, {"d/k1": etag(9), "d/new": etag(8), "d/k2": None})
    trees.reads = 0
    found = set(layout.compare(trees, (root,), (after,)))
    assert found == {("d/k1", etag(1), etag(9)), ("d/new", None, etag(8)), ("d/k2", etag(2), None)}
    assert trees.reads <= 12


def test_a_sub_tree_that_grows_too_wide_is_split_again_and_comes_back(trees: MemoryTrees) -> None:
    names = names_below("5a", 257)
    first: Changes = {f"d/{name}": etag(n) for n, name in enumerate(names[:256])}
    narrow = made(trees, {**first, "d/other": etag(999)})
    assert set(folder_of(trees, narrow)) == {"~5a", f"~{first_byte('other')}"}
    wide = layout.apply(trees, narrow, {f"d/{names[256]}": etag(256)})
    inner = trees.read_tree(folder_of(trees, wide)["~5a"].oid)
    assert all(name[0] == "~" for name in inner)
    found = layout.find(trees, wide, f"d/{names[256]}")
    second = hashlib.sha1(names[256].encode()).hexdigest()[2:4]
    assert found.path == ("d", "~5a", f"~{second}", names[256])
    everything = {f"d/{name}": etag(n) for n, name in enumerate(names)} | {"d/other": etag(999)}
    assert listing(trees, wide) == everything
    assert wide == made(trees, Changes(everything))
    assert layout.apply(trees, wide, {f"d/{names[256]}": None}) == narrow


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_writes_gives_the_tree_of_building_it_at_once(trees: MemoryTrees, seed: int) -> None:
    rng = random.Random(seed)
    final: Changes = {f"{folder}/k{n}": etag(n) for folder in ("a", "a/b", "c") for n in range(rng.choice((255, 258)))}
    passing = {f"{rng.choice('abc')}/gone{n}": etag(n) for n in range(60)}
    steps = [*final.items(), *passing.items()]
    rng.shuffle(steps)
    root = trees.build({})
    for start in range(0, len(steps), 90):
        root = layout.apply(trees, root, dict(steps[start : start + 90]))
    goers = list(passing)
    rng.shuffle(goers)
    for start in range(0, len(goers), 25):
        root = layout.apply(trees, root, dict.fromkeys(goers[start : start + 25]))
    assert root == made(trees, final)
    assert layout.normalise(trees, root) == root
    assert not list(layout.faults(trees, (root,)))


def test_an_emptied_folder_leaves_nothing_behind(trees: MemoryTrees) -> None:
    root = made(trees, {"a/b/c": etag(1), "d": etag(2)})
    assert layout.apply(trees, root, {"a/b/c": None}) == made(trees, {"d": etag(2)})
    assert layout.apply(trees, root, {"a/b/c": None, "d": None}) == make_object("tree", b"").oid
    wide = made(trees, many(300))
    assert layout.apply(trees, wide, dict.fromkeys(many(300))) == make_object("tree", b"").oid


def test_removing_what_isnt_there_changes_nothing(trees: MemoryTrees) -> None:
    for root in (made(trees, {"a/b": etag(1)}), made(trees, many(300))):
        assert layout.apply(trees, root, {"a/x": None, "d/x": None, "x/y/z": None}) == root


@pytest.mark.parametrize("width", [1, 300])
def test_a_key_is_never_both_an_entry_and_a_folder(trees: MemoryTrees, width: int) -> None:
    root = made(trees, many(width) | {"d/f/x": etag(5000)})
    for changes in ({"d/f": etag(1)}, {"d/k0/x": etag(1)}, {"d/k0/x/y": etag(1)}, {"d": etag(1)}):
        with pytest.raises(InvalidKey) as caught:
            layout.apply(trees, root, dict(changes))
        assert caught.value.hint
    with pytest.raises(InvalidKey):
        made(trees, {"a": etag(1), "a/b": etag(2)})


@pytest.mark.parametrize("width", [1, 300])
def test_an_entry_may_become_a_folder_and_back_in_one_step(trees: MemoryTrees, width: int) -> None:
    root = made(trees, many(width))
    folder = layout.apply(trees, root, {"d/k0": None, "d/k0/x": etag(7)})
    assert listing(trees, folder)["d/k0/x"] == etag(7)
    assert set(layout.compare(trees, (root,), (folder,))) == {("d/k0", etag(0), None), ("d/k0/x", None, etag(7))}
    assert layout.apply(trees, folder, {"d/k0/x": None, "d/k0": etag(0)}) == root


def test_a_key_below_an_entry_is_not_there(trees: MemoryTrees) -> None:
    root = made(trees, {"a": etag(1), "b/c": etag(2)})
    for key in ("a/x", "b", "b/c/d", "x", "x/y"):
        assert layout.find(trees, root, key).entry is None


def test_listing_is_in_the_order_of_keys_whatever_lies_beside_a_folder(trees: MemoryTrees) -> None:
    keys = ["a-b", "a.b", "a/b", "a0", "b/c/d", "b/c-", "\u00e9", "B"]
    root = made(trees, {key: etag(n) for n, key in enumerate(keys)})
    assert [key for key, _ in layout.walk(trees, (root,))] == sorted(keys)


def test_the_split_has_the_trees_that_the_written_format_says() -> None:
    """Guards the format itself: another hash, limit or name of a sub-tree would be another format."""
    trees = MemoryTrees()
    root = made(trees, {f"k{n}": etag(n) for n in range(257)})
    groups: dict[str, dict[str, Node]] = {}
    for n in range(257):
        groups.setdefault(f"~{first_byte(f'k{n}')}", {})[f"k{n}"] = Node("100644", etag(n))
    rows = {name: Node("40000", make_object("tree", serialise_tree(group)).oid) for name, group in groups.items()}
    assert root == make_object("tree", serialise_tree(rows)).oid
