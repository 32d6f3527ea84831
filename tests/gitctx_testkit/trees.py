"""Trees in memory, and trees as other git clients might have written them."""

from __future__ import annotations

from collections.abc import Mapping

from gitctx.format.layout import Tree, parse
from gitctx.format.objects import BLOB, TREE, Node, make_object, serialise_tree

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


def etag(number: int) -> str:
    """A made-up etag."""
    return f"{number + 1:040x}"
