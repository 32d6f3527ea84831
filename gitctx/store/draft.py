"""The objects of writes in the making."""

from __future__ import annotations

from itertools import pairwise

from gitctx.format.layout import Tree
from gitctx.format.objects import Object, make_object
from gitctx.repository import Repository


class Draft:
    """Blobs and trees that aren't written yet: reads fall through to the repository, new ones are collected."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.fresh: dict[str, tuple[Tree, Object]] = {}
        self._recent: dict[str, Object] = {}
        self._blobs: dict[str, bytes] = {}

    def read_tree(self, oid: str) -> Tree:
        """The tree of that id, new or old."""
        fresh = self.fresh.get(oid)
        return fresh[0] if fresh is not None else self._repository.read_tree(oid)

    def write_tree(self, tree: Tree) -> str:
        """Keep a new tree; its id."""
        item = make_object("tree", tree.data())
        self.fresh[item.oid] = (tree, item)
        self._recent[item.oid] = item
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

    def take_reachable(self, root: str) -> list[Object]:
        """The trees written since the last call that the root needs; not those that only an intermediate step made."""
        recent, self._recent = self._recent, {}
        path = list(recent.values())
        path.reverse()
        if path and path[0].oid == root and all(bytes.fromhex(low.oid) in high.data for high, low in pairwise(path)):
            return path
        pending = [recent.pop(root)] if root in recent else []
        needed = []
        while pending:
            item = pending.pop()
            needed.append(item)
            below = (node.oid for node in self.fresh[item.oid][0].values() if node.is_tree)
            pending += [recent.pop(oid) for oid in below if oid in recent]
        return needed
