"""Trees in memory, and trees as other git clients might have written them."""

from __future__ import annotations

from collections.abc import Mapping

from gitctx.format.layout import Tree
from gitctx.format.objects import BLOB, TREE, Node, make_object, parse_tree, serialise_tree

Nested = Mapping[str, "str | Node | Nested"]
"""A tree to build: name -> etag of a file, a node of any mode, or a tree."""


class MemoryTrees:
    """Where trees come from and go to, without a repository."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}
        self.reads = 0

    def read_tree(self, oid: str) -> Tree:
        """The tree of that id."""
        self.reads += 1
        return Tree(parse_tree(self.raw[oid]))

    def write_tree(self, tree: Tree) -> str:
        """Keep a tree; its id."""
        item = make_object("tree", serialise_tree(tree))
        self.raw[item.oid] = item.data
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
