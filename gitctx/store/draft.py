"""The objects of writes in the making."""

from __future__ import annotations

from gitctx.format.layout import Tree
from gitctx.format.objects import TREE, Object, make_object
from gitctx.repository import Repository


class Draft:
    """Blobs and trees that aren't written yet: reads fall through to the repository, new ones are collected."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.fresh: dict[str, tuple[Tree, Object]] = {}
        self._blobs: dict[str, bytes] = {}

    def read_tree(self, oid: str) -> Tree:
        """The tree of that id, new or old."""
        fresh = self.fresh.get(oid)
        return fresh[0] if fresh is not None else self._repository.read_tree(oid)

    def write_tree(self, tree: Tree) -> str:
        """Keep a new tree; its id."""
        item = make_object("tree", tree.data())
        self.fresh[item.oid] = (tree, item)
        return item.oid

    def read_blob(self, oid: str) -> bytes:
        """The bytes of a blob, new or old."""
        fresh = self._blobs.get(oid)
        return fresh if fresh is not None else self._repository.read_blob(oid)

    def keep_blob(self, blob: Object) -> None:
        """Keep a new blob."""
        self._blobs[blob.oid] = blob.data

    def size_of(self, oid: str) -> int:
        """The size of a blob in bytes."""
        fresh = self._blobs.get(oid)
        return len(fresh) if fresh is not None else self._repository.size_of(oid)

    def reads(self, oid: str) -> bool:
        """Whether a blob is new, or there and readable."""
        return oid in self._blobs or self._repository.reads(oid)

    def reachable(self, root: str, known: str) -> list[Object]:
        """The new trees that the root needs, without those that only an intermediate step made."""
        needed: dict[str, Object] = {}
        pending = [root]
        while pending:
            oid = pending.pop()
            if oid not in needed and oid != known and oid in self.fresh:
                tree, item = self.fresh[oid]
                needed[oid] = item
                pending.extend(oid for mode, oid in tree.values() if mode == TREE and oid in self.fresh)
        return list(needed.values())
