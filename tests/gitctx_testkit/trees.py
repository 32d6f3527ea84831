"""Trees in memory, and trees as other git clients might have written them."""

from __future__ import annotations

from collections.abc import Mapping

from gitctx.format.layout import Tree, apply, parse, walk
from gitctx.format.objects import BLOB, TREE, Node, Object, blob_id, make_object, serialise_tree

Nested = Mapping[str, "str | Node | Nested"]
"""A tree to build: name -> etag of a file, a node of any mode, or a tree."""


class MemoryTrees:
    """Where trees come from and go to, without a repository. `warm`: what was written or read stays parsed."""

    def __init__(self, *, warm: bool = False) -> None:
        self.raw: dict[str, bytes] = {}
        self.reads = 0
        self._warm = warm
        self._parsed: dict[str, Tree] = {}

    def read_tree(self, oid: str) -> Tree:
        """The tree of that id."""
        self.reads += 1
        tree = self._parsed.get(oid) or parse(self.raw[oid])
        if self._warm:
            self._parsed[oid] = tree
        return tree

    def write_tree(self, tree: Tree) -> str:
        """Keep a tree; its id."""
        item = make_object("tree", tree.data())
        assert item.data == serialise_tree(tree), "what a tree takes over from the one before is what it holds"
        self.raw[item.oid] = item.data
        if self._warm:
            self._parsed.setdefault(item.oid, tree)
        return item.oid

    def build(self, nested: Nested) -> str:
        """Write a tree exactly as it is given."""
        nodes: dict[str, Node] = {}
        for name, what in nested.items():
            if isinstance(what, Node):
                nodes[name] = what
            elif isinstance(what, str):
                nodes[name] = Node(BLOB, what)
            else:
                nodes[name] = Node(TREE, self.build(what))
        return self.write_tree(Tree(nodes))


class MemoryStore(MemoryTrees):
    """Trees and blobs in memory: what a merge reads and writes."""

    def __init__(self) -> None:
        super().__init__(warm=True)
        self.blobs: dict[str, bytes] = {}

    def read_blob(self, oid: str) -> bytes:
        """The bytes of a blob."""
        return self.blobs[oid]

    def keep_blob(self, blob: Object) -> None:
        """Keep a blob."""
        self.blobs[blob.oid] = blob.data

    def root(self, content: Mapping[str, bytes]) -> str:
        """The root tree of a content."""
        changes: dict[str, str | None] = {}
        for key, value in content.items():
            changes[key] = blob_id(value)
            self.blobs[blob_id(value)] = value
        return apply(self, self.build({}), changes)

    def content(self, root: str) -> dict[str, bytes]:
        """The content of a root tree."""
        return {key: self.blobs[node.oid] for key, node in walk(self, (root,))}


def etag(number: int) -> str:
    """A made-up etag."""
    return f"{number + 1:040x}"
