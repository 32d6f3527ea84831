"""Making revisions anew whose content, or whose past, can't be read in full.

Each keeps its author, times, message and id, names the revision that it stands for in `Gitctx-Revision`, and holds all
that can still be read of its content. At what can't be read, the value of the revision before it stands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitctx.format import messages
from gitctx.format.objects import Object, make_object, split_tree
from gitctx.recovery.judging import TREE_MODE, Deep
from gitctx.recovery.shadow import Shadow

Row = tuple[bytes, bytes, bytes]


class Hole(NamedTuple):
    """Something in a tree that can't be read: the path to it (a folder's ends in a slash), its id, and the id of what
    stands in for it (None: nothing does).
    """

    path: str
    oid: str
    instead: str | None


class Replay:
    """The revisions up to `newest` that aren't whole, made anew. What has no readable past begins at `attach`."""

    def __init__(self, shadow: Shadow, deep: Deep, attach: str) -> None:
        self._shadow = shadow
        self._deep = deep
        self._attach = attach
        self._memo: dict[tuple[str, str | None], tuple[str | None, tuple[Hole, ...]]] = {}
        self.objects: dict[str, Object] = {}
        self.made: dict[str, str] = {}
        self.trees: dict[str, str] = {}
        self.holes: dict[str, tuple[Hole, ...]] = {}
        self.missing: list[str] = []

    def run(self, newest: str) -> str:
        """The revision that stands for the newest one."""
        for oid in self._deep.history(newest):
            if not self._deep.is_whole(oid):
                self._make(oid)
        self._shadow.put_down(list(self.objects.values()))
        return self.made[newest]

    def _make(self, oid: str) -> None:
        bare = self._deep.commits[oid]
        self.missing += [each for each in self._deep.skipped(oid) if each not in self.missing]
        parents = [self.made.get(each, each) for each in self._deep.parents_of(oid)]
        if not parents:
            parents = [self._attach]
        tree, holes = self._mended(bare.tree, self._tree_of(parents[0]))
        tree = tree or self._keep("tree", b"")
        data = self._shadow.repository.read(oid)[1]
        made = self._keep("commit", messages.rewritten(data, tree=tree, parents=parents, original=oid))
        self.made[oid], self.trees[made], self.holes[oid] = made, tree, holes

    def _tree_of(self, commit: str) -> str:
        found = self.trees.get(commit)
        return found if found is not None else self._shadow.repository.read_commit(commit).tree

    def _mended(self, tree: str, base: str | None) -> tuple[str | None, tuple[Hole, ...]]:
        """A tree without what can't be read of it, and with what stands in; and the holes."""
        if self._deep.has_tree(tree):
            return tree, ()
        found = self._memo.get((tree, base))
        if found is None:
            found = self._memo[tree, base] = self._mend(tree, base)
        return found

    def _mend(self, tree: str, base: str | None) -> tuple[str | None, tuple[Hole, ...]]:
        if tree not in self._deep.present:
            return base, (Hole("", tree, base),)
        before = self._rows(base) if base is not None else {}
        rows: list[Row] = []
        holes: list[Hole] = []
        for mode, name, raw in split_tree(self._shadow.repository.read(tree)[1]):
            oid = raw.hex()
            if self._deep.has_node(mode, oid):
                rows.append((mode, name, raw))
                continue
            old_mode, _, old_raw = before.get(name, (b"", b"", b""))
            is_folder = mode == TREE_MODE
            instead = old_raw.hex() if old_raw and (old_mode == TREE_MODE) == is_folder else None
            if is_folder:
                inner, inside = self._mended(oid, instead)
                holes += [hole._replace(path=_joined(name, hole.path)) for hole in inside]
                instead = inner
            else:
                holes.append(Hole(_joined(name, None), oid, instead))
            if instead is not None:
                rows.append((mode if is_folder else old_mode, name, bytes.fromhex(instead)))
        if not rows:
            return None, tuple(holes)
        return self._keep("tree", b"".join(b"%s %s\0%s" % row for row in rows)), tuple(holes)

    def _rows(self, tree: str) -> Mapping[bytes, Row]:
        item = self.objects.get(tree)
        data = item.data if item is not None else self._shadow.repository.read(tree)[1]
        return {row[1]: row for row in split_tree(data)}

    def _keep(self, kind: str, data: bytes) -> str:
        item = make_object("tree" if kind == "tree" else "commit", data)
        self.objects[item.oid] = item
        return item.oid


def _joined(name: bytes, below: str | None) -> str:
    """The path of a child: sub-trees of a split are no part of a key."""
    text = name.decode("utf-8", "surrogateescape")
    if below is None:
        return text
    split = len(text) == 3 and text[0] == "~" and all(letter in "0123456789abcdef" for letter in text[1:])
    return below if split else f"{text}/{below}"
