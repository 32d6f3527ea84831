"""How entries lie in git trees: folders, and the split of wide folders.

A folder of at most 256 children is one git tree. A wider one is split into sub-trees `~00` to `~ff` by the first byte
of the SHA-1 of the child's name; a sub-tree that still has more than 256 children is split by the next byte, and so
on. So a write rewrites a few small trees however many keys a folder has. What we write is a pure function of the
content; what others wrote is read in any form: a child found outside its sub-tree wins over one inside, two folders of
one name are read as one, and names that our rules refuse stay where they are and don't count.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import InvalidKey
from gitctx.format.keys import segment_fault
from gitctx.format.objects import BLOB, TREE, Node, parse_tree, split_tree, tree_row

if TYPE_CHECKING:
    from typing import Protocol

    class TreeReader(Protocol):
        """Where trees come from."""

        def read_tree(self, oid: str) -> Tree:
            """The tree of that id."""

    class Trees(TreeReader, Protocol):
        """Where trees come from and go to."""

        def write_tree(self, tree: Tree) -> str:
            """Keep a new tree; its id."""


FOLDER_LIMIT = 256
_HEX = frozenset("0123456789abcdef")
_PATH_SEGMENTS = 3
_PATH_SPLITS = 3
_is_plain = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+@-]{,253}[A-Za-z0-9_+@-])?").fullmatch
"""Names that surely have no fault, so that most needn't be looked at closely."""

Folder = tuple[str, ...]
"""A logical folder: ids of the trees that make it up, the winning one first. One, unless others wrote beside our
split.
"""


class Tree(dict[str, Node]):
    """A parsed tree, treated as immutable. What was found out about it is remembered with it.

    `shape` sorts its names; `raw` are its bytes; `order` and `rows` are its entries as git sorts and writes them (None:
    not known, or not what `raw` holds), so that a tree that differs in one entry is made without looking at the others;
    both are shared by trees and never changed; `prefix` is the start of a digest that all its children are known to
    have; `split` says whether it has sub-trees of a split (None: not looked yet), `wide`
    that it is known to be one of more than 256 children.
    """

    __slots__ = ("order", "prefix", "raw", "rows", "shape", "split", "wide")

    def __init__(
        self, entries: Mapping[str, Node] | None = None, raw: bytes | None = None, order: list[bytes] | None = None
    ) -> None:
        super().__init__(entries or {})
        self.raw = raw
        self.shape: Shape | None = None
        self.order = order
        self.rows: list[bytes] | None = None
        self.prefix = b""
        self.split: bool | None = None
        self.wide = False

    def data(self) -> bytes:
        """The raw tree."""
        if self.raw is None:
            self.raw = b"".join(self._sorted()[1])
        return self.raw

    def _sorted(self) -> tuple[list[bytes], list[bytes]]:
        """`order` and `rows`."""
        if self.order is not None:
            if self.rows is None:
                self.rows = [b"%b %b\0%b" % row for row in split_tree(self.data())]
            return self.order, self.rows
        pairs = sorted([tree_row(name, node) for name, node in self.items()])
        order, rows = [place for place, _ in pairs], [row for _, row in pairs]
        if self.raw is None:
            self.order, self.rows = order, rows
        return order, rows

    def updated(self, updates: Mapping[str, Node | None]) -> Tree:
        """A copy with other nodes for some names (None: without it)."""
        order, rows = [known.copy() for known in self._sorted()]
        fresh = Tree(self, order=order)
        fresh.rows = rows
        for name, node in updates.items():
            before = fresh.pop(name, None) if node is None else fresh.get(name)
            if node is not None:
                fresh[name] = node
            _update_rows(order, rows, name, before, node)
        return fresh

    def replaced(self, name: str, oid: str) -> Tree:
        """A copy in which a name that is there stands for another object of the same mode."""
        before = self[name]
        data = self.data()
        start = tree_row(name, before)[1]
        place = data.find(start)
        if self.order is None or data.find(start, place + 1) >= 0:
            return self.updated({name: Node(before.mode, oid)})
        end = place + len(start)
        fresh = Tree(self, b"%b%b%b" % (data[: end - 20], bytes.fromhex(oid), data[end:]), self.order)
        fresh[name] = Node(before.mode, oid)
        fresh.shape, fresh.prefix, fresh.split, fresh.wide = self.shape, self.prefix, self.split, self.wide
        return fresh


def _update_rows(order: list[bytes], rows: list[bytes], name: str, before: Node | None, after: Node | None) -> None:
    if before is not None and (after is None or before.is_tree != after.is_tree):
        place = bisect_left(order, tree_row(name, before)[0])
        del order[place], rows[place]
        before = None
    if after is not None:
        key, row = tree_row(name, after)
        place = bisect_left(order, key)
        if before is not None:
            rows[place] = row
        else:
            order.insert(place, key)
            rows.insert(place, row)


class Shape(NamedTuple):
    """Names of a tree by what they are."""

    buckets: tuple[str, ...]
    ours: tuple[str, ...]
    foreign: tuple[str, ...]


class Found(NamedTuple):
    """What a name in a folder stands for: an entry, a folder, something foreign, or nothing.

    `path` is where git finds it; `places` tells of each tree of a found folder (else of the one node) in which of the
    trees of the searched folder it lies, and its path there.
    """

    entry: Node | None = None
    folder: Folder = ()
    foreign: Node | None = None
    path: tuple[str, ...] = ()
    places: tuple[tuple[int, tuple[str, ...]], ...] = ()


NOTHING = Found()


def _digest(name: str) -> bytes:
    return hashlib.sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).digest()


def _bucket(byte: int) -> str:
    return f"~{byte:02x}"


def _is_bucket(name: str, node: Node) -> bool:
    return len(name) == 3 and name[0] == "~" and node.mode == TREE and name[1] in _HEX and name[2] in _HEX


def _subtree(tree: Tree, name: str) -> Node | None:
    node = tree.get(name)
    return node if node is not None and node.is_tree else None


def parse(data: bytes) -> Tree:
    """A raw tree. Raises ValueError if it is torn."""
    entries, order = parse_tree(data)
    return Tree(entries, data, order)


def is_split(tree: Tree) -> bool:
    """Whether a tree has sub-trees of the split."""
    if tree.split is None:
        tree.split = any(name[0] == "~" and _is_bucket(name, tree[name]) for name in tree)
    return tree.split


def shape_of(tree: Tree) -> Shape:
    """Sort the names of a tree into sub-trees of the split, children and foreign names."""
    if tree.shape is None:
        buckets, ours, foreign = [], [], []
        for name, node in tree.items():
            if _is_bucket(name, node):
                buckets.append(name)
            elif _is_ours(name, node):
                ours.append(name)
            else:
                foreign.append(name)
        tree.shape = Shape(tuple(buckets), tuple(ours), tuple(foreign))
    return tree.shape


def _is_ours(name: str, node: Node) -> bool:
    return (node.is_tree or node.is_entry) and (
        _is_plain(name) is not None or (node.is_tree and name == ".gitctx") or segment_fault(name) is None
    )


def find_child(trees: TreeReader, folder: Folder, name: str) -> Found:
    """What `name` stands for in a folder. Costs one tree per level of the split."""
    if len(folder) == 1 and not is_split(tree := trees.read_tree(folder[0])):
        return _found_in(tree, name)
    digest = b""
    subtrees: list[str] = []
    places: list[tuple[int, tuple[str, ...]]] = []
    foreign = NOTHING
    for member, oid in enumerate(folder):
        tree, depth = trees.read_tree(oid), 0
        path: tuple[str, ...] = ()
        while True:
            node = tree.get(name)
            if node is not None and not _is_bucket(name, node):
                here = (*path, name)
                if node.is_tree:
                    subtrees.append(node.oid)
                    places.append((member, here))
                elif not subtrees:
                    if node.is_entry:
                        return Found(entry=node, path=here, places=((member, here),))
                    foreign = foreign if foreign.foreign else Found(foreign=node, path=here, places=((member, here),))
            digest = digest or _digest(name)
            inner = _subtree(tree, _bucket(digest[depth])) if depth < len(digest) else None
            if inner is None:
                break
            path = (*path, _bucket(digest[depth]))
            tree = trees.read_tree(inner.oid)
            depth += 1
    return Found(folder=tuple(subtrees), path=places[0][1], places=tuple(places)) if subtrees else foreign


def _found_in(tree: Tree, name: str) -> Found:
    """What `name` stands for in the only tree of a folder that isn't split."""
    node = tree.get(name)
    if node is None:
        return NOTHING
    path = (name,)
    places = ((0, path),)
    if node.mode == TREE:
        return Found(None, (node.oid,), None, path, places)
    if node.is_entry:
        return Found(node, (), None, path, places)
    return Found(None, (), node, path, places)


def find(trees: TreeReader, root: str, key: str) -> Found:
    """What a key stands for below a root tree; its `path` is where plain git finds it."""
    folder: Folder = (root,)
    paths: tuple[tuple[str, ...], ...] = ((),)
    found = NOTHING
    segments = key.split("/")
    for position, segment in enumerate(segments):
        found = find_child(trees, folder, segment)
        paths = tuple(paths[member] + path for member, path in found.places)
        if position < len(segments) - 1:
            if not found.folder:
                return NOTHING
            folder = found.folder
    return found._replace(path=paths[0] if paths else ())


def possible_paths(key: str) -> list[str]:
    """The git paths at which a key may ever have been, in folders split or not.

    Of a key deeper than three segments, the paths of the folder that its first three name: what is at the key can't
    change without them.
    """
    paths = [""]
    for segment in key.split("/")[:_PATH_SEGMENTS]:
        buckets = [_bucket(byte) for byte in _digest(segment)[:_PATH_SPLITS]]
        places = ["/".join([*buckets[:depth], segment]) for depth in range(_PATH_SPLITS + 1)]
        paths = [f"{path}/{place}" if path else place for path in paths for place in places]
    return paths


def buckets_on_the_way(key: str) -> list[str]:
    """The git paths of the sub-trees in which a key would be if one of the folders above it was split: if none of them
    ever was, the key's only path is its name.
    """
    segments = key.split("/")
    above = ("".join(f"{segment}/" for segment in segments[:depth]) for depth in range(len(segments)))
    return [f"{folder}{_bucket(_digest(segment)[0])}" for folder, segment in zip(above, segments, strict=True)]


def plain_entry(trees: TreeReader, root: str, key: str) -> Node | None:
    """The entry at a key where no folder above it is split; None if `find` has to look."""
    oid = root
    *folders, name = key.split("/")
    for folder in folders:
        tree = trees.read_tree(oid)
        node = tree.get(folder)
        if node is None or node.mode != TREE or is_split(tree):
            return None
        oid = node.oid
    tree = trees.read_tree(oid)
    node = tree.get(name)
    return node if node is not None and node.mode == BLOB and not is_split(tree) else None


def _leaves(
    trees: TreeReader, tree: Tree, prefix: bytes, misplaced: dict[str, Node] | None
) -> Iterator[tuple[str, Node, tuple[str, ...]]]:
    """Children of one tree and its split, outer ones first. Those in a wrong sub-tree go to `misplaced`."""
    shape = shape_of(tree)
    for name in shape.ours:
        if prefix and not _digest(name).startswith(prefix):
            if misplaced is not None:
                misplaced.setdefault(name, tree[name])
            continue
        yield name, tree[name], ()
    for bucket in shape.buckets:
        inner = prefix + bytes.fromhex(bucket[1:])
        for name, node, path in _leaves(trees, trees.read_tree(tree[bucket].oid), inner, misplaced):
            yield name, node, (bucket, *path)


def children(trees: TreeReader, folder: Folder) -> dict[str, Found]:
    """All children of a folder, by name, unsorted."""
    found: dict[str, Found] = {}
    for oid in folder:
        for name, node, path in _leaves(trees, trees.read_tree(oid), b"", None):
            before = found.get(name)
            if before is None:
                here = (*path, name)
                found[name] = Found(folder=(node.oid,), path=here) if node.is_tree else Found(entry=node, path=here)
            elif before.folder and node.is_tree:
                found[name] = before._replace(folder=(*before.folder, node.oid))
    return found


def walk(trees: TreeReader, folder: Folder, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Every entry below a folder as (key, node), sorted by key."""
    kids = children(trees, folder)
    for name in sorted(kids, key=lambda name: name + "/" if kids[name].folder else name):
        found = kids[name]
        if found.entry is not None:
            yield prefix + name, found.entry
        else:
            yield from walk(trees, found.folder, f"{prefix}{name}/")


def compare(
    trees: TreeReader, before: Folder, after: Folder, prefix: str = "", *, places: Container[str] | None = None
) -> Iterator[tuple[str, str | None, str | None]]:
    """Entries that differ between two folders, as (key, etag before, etag after), unsorted. Equal sub-trees cost
    nothing.

    With `places` only of the keys in it, and only folders in it (ending in a slash) are looked into.
    """
    if before == after:
        return
    for name, old, new in _differing(trees, before, after):
        key = prefix + name
        old_etag = old.entry.oid if old.entry else None
        new_etag = new.entry.oid if new.entry else None
        if old_etag != new_etag and (places is None or key in places):
            yield key, old_etag, new_etag
        if (old.folder or new.folder) and (places is None or key + "/" in places):
            yield from compare(trees, old.folder, new.folder, key + "/", places=places)


def _differing(trees: TreeReader, before: Folder, after: Folder) -> Iterator[tuple[str, Found, Found]]:
    if len(before) == 1 and len(after) == 1:
        yield from _differing_trees(trees, trees.read_tree(before[0]), trees.read_tree(after[0]), b"")
        return
    old, new = children(trees, before), children(trees, after)
    for name in old.keys() | new.keys():
        yield name, old.get(name, NOTHING), new.get(name, NOTHING)


def _differing_trees(trees: TreeReader, old: Tree, new: Tree, prefix: bytes) -> Iterator[tuple[str, Found, Found]]:
    if not is_split(old) and not is_split(new):
        yield from _differing_leaves(old, new, prefix)
        return
    old_shape, new_shape = shape_of(old), shape_of(new)
    if old_shape.buckets and new_shape.buckets and not old_shape.ours and not new_shape.ours:
        for bucket in {*old_shape.buckets, *new_shape.buckets}:
            left, right = _subtree(old, bucket), _subtree(new, bucket)
            if left != right:
                left_tree = trees.read_tree(left.oid) if left else Tree()
                right_tree = trees.read_tree(right.oid) if right else Tree()
                yield from _differing_trees(trees, left_tree, right_tree, prefix + bytes.fromhex(bucket[1:]))
        return
    sides = []
    for tree in (old, new):
        side: dict[str, Found] = {}
        for name, node, _ in _leaves(trees, tree, prefix, None):
            known = side.get(name)
            if known is None:
                side[name] = Found(folder=(node.oid,)) if node.is_tree else Found(entry=node)
            elif known.folder and node.is_tree:
                side[name] = Found(folder=(*known.folder, node.oid))
        sides.append(side)
    for name in sides[0].keys() | sides[1].keys():
        left_found, right_found = sides[0].get(name, NOTHING), sides[1].get(name, NOTHING)
        if left_found != right_found:
            yield name, left_found, right_found


def _differing_leaves(old: Tree, new: Tree, prefix: bytes) -> Iterator[tuple[str, Found, Found]]:
    """Of two trees without a split: only names with another node are looked at closely."""
    for name in {name for name, _ in old.items() ^ new.items()}:
        left, right = _leaf(old, name, prefix), _leaf(new, name, prefix)
        if left != right:
            yield name, left, right


def _leaf(tree: Tree, name: str, prefix: bytes) -> Found:
    """The child of that name of a tree without a split: the same as `_leaves` gives of it, as far as differences go."""
    node = tree.get(name)
    if node is None or not _is_ours(name, node) or (prefix and not _digest(name).startswith(prefix)):
        return NOTHING
    return Found(folder=(node.oid,)) if node.is_tree else Found(entry=node)


class _Branch:
    """Changes below one name: to the entry of that name, and to what is below it."""

    __slots__ = ("below", "etag", "touched")

    def __init__(self) -> None:
        self.touched = False
        self.etag: str | None = None
        self.below: dict[str, _Branch] = {}


def apply(trees: Trees, root: str, changes: Mapping[str, str | None]) -> str:
    """The root tree after changes: key -> etag to put there, or None to remove what is there.

    Raises InvalidKey if a key would be both an entry and a folder, or is taken by something that isn't an entry.
    """
    if len(changes) == 1:
        ((key, etag),) = changes.items()
        if etag is not None:
            path = _path_of_entry(trees, root, key)
            if path is not None:
                return _replace(trees, path, etag)
    top = _Branch()
    for key, etag in changes.items():
        branch = top
        for segment in key.split("/"):
            branch = branch.below.setdefault(segment, _Branch())
        branch.touched, branch.etag = True, etag
    return _update(trees, (root,), top.below, "") or trees.write_tree(Tree())


def _path_of_entry(trees: TreeReader, root: str, key: str) -> list[tuple[Tree, str]] | None:
    """The trees from the root down to an entry, with the name to follow in each; None unless the entry is there and all
    of them are known to be laid out as we would: then nothing but ids changes in them when the entry does.
    """
    path: list[tuple[Tree, str]] = []
    node = Node(TREE, root)
    for segment in key.split("/"):
        if node.mode != TREE:
            return None
        tree = trees.read_tree(node.oid)
        prefix = b""
        if is_split(tree):
            digest = _digest(segment)
            while is_split(tree):
                if not tree.wide or shape_of(tree).ours:
                    return None
                bucket = _bucket(digest[len(prefix)])
                inner = _subtree(tree, bucket)
                if inner is None:
                    return None
                path.append((tree, bucket))
                prefix += digest[len(prefix) : len(prefix) + 1]
                tree = trees.read_tree(inner.oid)
        found = tree.get(segment)
        if found is None or tree.prefix != prefix or len(tree) > FOLDER_LIMIT:
            return None
        path.append((tree, segment))
        node = found
    return path if node.mode == BLOB else None


def _replace(trees: Trees, path: list[tuple[Tree, str]], etag: str) -> str:
    """The root tree with another etag for the entry at the end of a path."""
    tree, name = path[-1]
    oid = trees.write_tree(tree.replaced(name, etag))
    for tree, name in reversed(path[:-1]):
        oid = trees.write_tree(tree.replaced(name, oid))
    return oid


def normalise(trees: Trees, root: str) -> str:
    """The root tree with every folder laid out as we would write it."""
    return _rebuild(trees, (root,), {}, deep=True) or trees.write_tree(Tree())


def carry_foreign(trees: Trees, base: Folder, mine: str, theirs: str) -> str:
    """The root tree `mine`, with what `theirs` changed since `base` in names that aren't keys. Where both changed one,
    the one with the greater id stays, so that it doesn't matter which side is which.
    """
    return _with_foreign(trees, base, (mine,), (theirs,)) or mine


def _with_foreign(trees: Trees, base: Folder, mine: Folder, theirs: Folder) -> str | None:
    """The folder `mine` with their foreign names; None if it stays as it is."""
    foreign: dict[str, Node | None] = {}
    changes = _foreign_changes(trees, base, theirs)
    ours: dict[str, Node] = {}
    for oid in mine if changes else ():
        _collect_foreign(trees, trees.read_tree(oid), ours)
    for name, (before, after) in changes.items():
        own = ours.get(name)
        both_changed = own not in (before, after)
        if own != after and not (both_changed and _greater(own, after) == own):
            foreign[name] = after
    updates: dict[str, Node | None] = {}
    for name, old, new in _differing(trees, base, theirs):
        found = find_child(trees, mine, name) if mine else NOTHING
        if found.entry is None and found.foreign is None and (old.folder or new.folder):
            inner = _with_foreign(trees, old.folder, found.folder, new.folder)
            if inner is not None:
                updates[name] = Node(TREE, inner)
    return _rebuild(trees, mine, updates, foreign_updates=foreign) if foreign or updates else None


def _foreign_changes(trees: TreeReader, base: Folder, theirs: Folder) -> dict[str, tuple[Node | None, Node | None]]:
    """Foreign names that differ between two folders, with what they stand for. Equal sub-trees cost nothing."""
    if len(base) == 1 and len(theirs) == 1:
        found: dict[str, tuple[Node | None, Node | None]] = {}
        _compare_foreign(trees, trees.read_tree(base[0]), trees.read_tree(theirs[0]), found)
        return found
    before: dict[str, Node] = {}
    after: dict[str, Node] = {}
    for folder, into in ((base, before), (theirs, after)):
        for oid in folder:
            _collect_foreign(trees, trees.read_tree(oid), into)
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _compare_foreign(
    trees: TreeReader, before: Tree, after: Tree, into: dict[str, tuple[Node | None, Node | None]]
) -> None:
    old, new = shape_of(before), shape_of(after)
    for name in sorted({*old.foreign, *new.foreign}):
        pair = (before[name] if name in old.foreign else None, after[name] if name in new.foreign else None)
        if pair[0] != pair[1]:
            into.setdefault(name, pair)
    for bucket in sorted({*old.buckets, *new.buckets}):
        if before.get(bucket) != after.get(bucket):
            sides = [
                trees.read_tree(tree[bucket].oid) if bucket in shape.buckets else Tree()
                for tree, shape in ((before, old), (after, new))
            ]
            _compare_foreign(trees, sides[0], sides[1], into)


def _greater(one: Node | None, other: Node | None) -> Node | None:
    """Of two that stand for a name the one that stays: something rather than nothing, then the greater id."""
    return max(one, other, key=lambda node: (node is not None, node.oid if node is not None else ""))


def _update(trees: Trees, folder: Folder, below: Mapping[str, _Branch], prefix: str) -> str | None:
    """The folder's tree after changes; None if nothing is left in it."""
    updates: dict[str, Node | None] = {}
    for name, branch in below.items():
        found = find_child(trees, folder, name) if folder else NOTHING
        updates[name] = _update_child(trees, found, branch, prefix + name)
    if len(folder) == 1:
        try:
            return _place(trees, trees.read_tree(folder[0]), b"", updates)
        except _NotOurLayoutError:
            pass
    return _rebuild(trees, folder, updates)


def _update_child(trees: Trees, found: Found, branch: _Branch, key: str) -> Node | None:
    if found.foreign is not None:
        what = "a submodule" if found.foreign.mode == "160000" else "a symbolic link"
        raise InvalidKey(
            f"'{key}' is taken by {what} that a git client wrote", hint="remove it with git, or use another key"
        )
    inner: str | None
    if branch.below:
        inner = _update(trees, found.folder, branch.below, key + "/")
    elif len(found.folder) > 1:
        inner = _rebuild(trees, found.folder, {})
    else:
        inner = found.folder[0] if found.folder else None
    entry = found.entry
    if branch.touched:
        entry = Node(BLOB, branch.etag) if branch.etag is not None else None
        if entry is not None and found.entry is not None and found.entry.oid == entry.oid:
            entry = found.entry
    if entry is not None and inner is not None:
        raise InvalidKey(
            f"'{key}' would be both an entry and a folder",
            hint="a key can't be both: use another key, or remove the other one in the same batch",
            details={"key": key},
        )
    return entry if entry is not None else (Node(TREE, inner) if inner is not None else None)


class _NotOurLayoutError(Exception):
    """A tree isn't laid out as we would have written it."""


def _place(trees: Trees, tree: Tree, prefix: bytes, updates: Mapping[str, Node | None]) -> str | None:
    """The tree with updates, rewriting only the sub-trees concerned. Raises _NotOurLayoutError to ask for a rebuild."""
    shape = shape_of(tree)
    if not shape.buckets:
        if tree.prefix != prefix:
            if any(not _digest(name).startswith(prefix) for name in shape.ours):
                raise _NotOurLayoutError
            tree.prefix = prefix
        fresh = _with(tree, updates)
        fresh.prefix = prefix
        count = len(shape_of(fresh).ours)
        if count > FOLDER_LIMIT:
            if len(shape.ours) > FOLDER_LIMIT:
                raise _NotOurLayoutError
            ours = {name: fresh[name] for name in shape_of(fresh).ours}
            foreign = {name: fresh[name] for name in shape.foreign}
            return _write(trees, ours, foreign, len(prefix))
        return trees.write_tree(fresh) if fresh else None
    if shape.ours:
        raise _NotOurLayoutError
    depth = len(prefix)
    groups: dict[str, dict[str, Node | None]] = {}
    for name, node in updates.items():
        groups.setdefault(_bucket(_digest(name)[depth]), {})[name] = node
    placed: dict[str, Node | None] = {}
    for bucket, group in groups.items():
        if bucket in tree and not tree[bucket].is_tree:
            raise _NotOurLayoutError
        inner = trees.read_tree(tree[bucket].oid) if bucket in tree else Tree()
        oid = _place(trees, inner, prefix + bytes.fromhex(bucket[1:]), group)
        placed[bucket] = Node(TREE, oid) if oid else None
    fresh = _with(tree, placed, buckets=True)
    grows = tree.wide and None not in updates.values()
    if not grows and not _wider_than_limit(trees, fresh):
        raise _NotOurLayoutError
    fresh.wide = True
    return trees.write_tree(fresh)


def _with(tree: Tree, updates: Mapping[str, Node | None], *, buckets: bool = False) -> Tree:
    """A copy of the tree with updates to its children, or to its sub-trees; what is known of it follows without a new
    look at all.
    """
    fresh = tree.updated(updates)
    fresh.split = buckets
    shape = shape_of(tree)
    names = shape.buckets if buckets else shape.ours
    if any(node is None for node in updates.values()):
        names = tuple(name for name in names if name in fresh)
    names += tuple(name for name, node in updates.items() if node is not None and name not in tree)
    fresh.shape = shape._replace(buckets=names) if buckets else shape._replace(ours=names)
    return fresh


def _wider_than_limit(trees: TreeReader, tree: Tree) -> bool:
    """Whether more than 256 children lie in a split tree; looks at no more sub-trees than it needs to know."""
    count = 0
    for bucket in shape_of(tree).buckets:
        inner = shape_of(trees.read_tree(tree[bucket].oid))
        count += len(inner.ours) if not inner.buckets else FOLDER_LIMIT + 1
        if count > FOLDER_LIMIT:
            return True
    return False


def _rebuild(
    trees: Trees,
    folder: Folder,
    updates: Mapping[str, Node | None],
    *,
    deep: bool = False,
    foreign_updates: Mapping[str, Node | None] | None = None,
) -> str | None:
    """The folder written anew from all its children."""
    foreign: dict[str, Node] = {}
    misplaced: dict[str, Node] = {}
    kids: dict[str, list[Node]] = {}
    for oid in folder:
        tree = trees.read_tree(oid)
        _collect_foreign(trees, tree, foreign)
        for name, node, _ in _leaves(trees, tree, b"", misplaced):
            kids.setdefault(name, []).append(node)
    for name, node in misplaced.items():
        kids.setdefault(name, []).append(node)
    ours: dict[str, Node] = {}
    for name, nodes in kids.items():
        if name in updates:
            continue
        subtrees = tuple(node.oid for node in nodes if node.is_tree)
        if nodes[0].is_tree and (deep or len(subtrees) > 1):
            inner = _rebuild(trees, subtrees, {}, deep=deep)
            if inner is not None:
                ours[name] = Node(TREE, inner)
        else:
            ours[name] = nodes[0]
    ours.update({name: node for name, node in updates.items() if node is not None})
    for name, other in (foreign_updates or {}).items():
        if other is not None:
            foreign[name] = other
        else:
            foreign.pop(name, None)
    return _write(trees, ours, foreign, 0)


def _collect_foreign(trees: TreeReader, tree: Tree, into: dict[str, Node]) -> None:
    shape = shape_of(tree)
    for name in shape.foreign:
        into.setdefault(name, tree[name])
    for bucket in shape.buckets:
        _collect_foreign(trees, trees.read_tree(tree[bucket].oid), into)


def _write(trees: Trees, ours: Mapping[str, Node], foreign: Mapping[str, Node], depth: int) -> str | None:
    """Write children as one tree or as a split one; None if there are none.

    A link of others that has a child's name keeps its place, and the child goes into a sub-tree however few there are.
    A file of others that has the name of a sub-tree is moved into that.
    """
    if not ours and not foreign:
        return None
    if len(ours) <= FOLDER_LIMIT and ours.keys().isdisjoint(foreign):
        return trees.write_tree(Tree({**ours, **foreign}))
    groups: dict[str, dict[str, Node]] = {}
    for name, node in ours.items():
        groups.setdefault(_bucket(_digest(name)[depth]), {})[name] = node
    split: dict[str, Node] = dict(foreign)
    for bucket, group in groups.items():
        displaced = {name: node for name, node in foreign.items() if name == bucket}
        oid = _write(trees, group, displaced, depth + 1)
        assert oid is not None
        split[bucket] = Node(TREE, oid)
    tree = Tree(split)
    tree.wide = len(ours) > FOLDER_LIMIT
    return trees.write_tree(tree)


def faults(trees: Trees, folder: Folder, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """What others left that isn't as we would write it: (code, git path, sentence), for `verify`."""
    canonical = _rebuild(trees, folder, {})
    empty_root = not prefix and not any(trees.read_tree(oid) for oid in folder)
    if folder and (canonical,) != folder and not empty_root:
        yield "layout", prefix or "/", "the folder isn't laid out as gitctx would; the next write to it mends that"
    for oid in folder:
        yield from _foreign_names(trees, trees.read_tree(oid), prefix)
    folded: dict[str, str] = {}
    for name, found in sorted(children(trees, folder).items()):
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            yield (
                "case_twin",
                prefix + name,
                f"differs from '{prefix}{twin}' only in case: some file systems can't tell them",
            )
        if found.folder:
            yield from faults(trees, found.folder, f"{prefix}{name}/")


def _foreign_names(trees: TreeReader, tree: Tree, prefix: str) -> Iterator[tuple[str, str, str]]:
    shape = shape_of(tree)
    for name in shape.foreign:
        node = tree[name]
        why = segment_fault(name) or ("a submodule" if node.mode == "160000" else "a symbolic link")
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        yield (
            "foreign_name",
            prefix + shown,
            f"was written by another git client and isn't a key ({why}); it is left as it is",
        )
    for bucket in shape.buckets:
        yield from _foreign_names(trees, trees.read_tree(tree[bucket].oid), f"{prefix}{bucket}/")


def sort_changes(changes: Iterable[tuple[str, str | None, str | None]]) -> list[tuple[str, str | None, str | None]]:
    """Changes sorted by key."""
    return sorted(changes, key=lambda change: change[0])
