"""The trees of a write in the making."""

from __future__ import annotations

from gitctx.format.layout import Tree
from gitctx.format.objects import Object, make_object, serialise_tree
from gitctx.repository import Repository


class Draft:
    """The trees of a write in the making: reads fall through to the repository, new ones are collected."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.fresh: dict[str, tuple[Tree, Object]] = {}

    def read_tree(self, oid: str) -> Tree:
        """The tree of that id, new or old."""
        fresh = self.fresh.get(oid)
        return fresh[0] if fresh is not None else self._repository.read_tree(oid)

    def write_tree(self, tree: Tree) -> str:
        """Keep a new tree; its id."""
        item = make_object("tree", serialise_tree(tree))
        self.fresh[item.oid] = (tree, item)
        return item.oid

    def reachable(self, root: str, known: str) -> list[Object]:
        """The new trees that the root needs, without those that only an intermediate step made."""
        needed: dict[str, Object] = {}
        pending = [root]
        while pending:
            oid = pending.pop()
            if oid in self.fresh and oid not in needed and oid != known:
                tree, item = self.fresh[oid]
                needed[oid] = item
                pending.extend(node.oid for node in tree.values() if node.is_tree)
        return list(needed.values())
