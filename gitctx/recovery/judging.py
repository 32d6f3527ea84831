"""Which revisions are whole: everything that they and those before them need is there.

Two judges give the same answers. The quick one asks git about one revision at a time: whether all before it are there,
and whether its own tree is, which is read and hashed in full. It doesn't look into the trees of older revisions, so it
is for stores in which no file is broken. The deep one looks at all there is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gitctx.errors import BrokenHistory, GitFailed, ObjectMissing
from gitctx.format.objects import split_tree
from gitctx.recovery.names import Line
from gitctx.recovery.shadow import Shadow
from gitctx.repository.reflog import NO_OBJECT

_BATCH = 20_000
_NEAR = 2000
_TREE_LINE = 46
_CHAIN = 256
"""At most so many commits are published together."""
_LINK = b"160000"
TREE_MODE = b"40000"
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git knows this tree even where no file holds it."""


class Judge(Protocol):
    """What the ladder asks about revisions."""

    deep: bool

    def is_commit(self, oid: str) -> bool:
        """Whether there is a commit of that id."""

    def is_there(self, oid: str) -> bool:
        """Whether there is any object of that id."""

    def is_whole(self, oid: str) -> bool:
        """Whether nothing is missing of a commit and of all before it."""

    def ancestors(self, oid: str) -> frozenset[str]:
        """A whole commit and all before it."""


@dataclass(slots=True)
class Memory:
    """What was found out about revisions, good as long as the files with objects (`stamp`) are the same."""

    stamp: object = None
    whole: dict[str, bool] = field(default_factory=dict)
    ancestors: dict[str, frozenset[str]] = field(default_factory=dict)
    closed: dict[str, frozenset[str]] = field(default_factory=dict)

    def renew(self, stamp: object) -> None:
        """Forget all if the files aren't the same."""
        if stamp != self.stamp:
            self.stamp, self.whole, self.ancestors, self.closed = stamp, {}, {}, {}


class Quick:
    """Asks git; see above."""

    deep = False

    def __init__(self, shadow: Shadow, memory: Memory) -> None:
        self._shadow = shadow
        self._kinds: dict[str, str] = {}
        self._whole = memory.whole
        self._ancestors = memory.ancestors

    def learn(self, oids: Iterable[str]) -> None:
        """Look many ids up at once."""
        wanted = [oid for oid in dict.fromkeys(oids) if oid not in self._kinds]
        if wanted:
            self._kinds.update(kinds_of(self._shadow, wanted))

    def is_commit(self, oid: str) -> bool:
        """Whether there is a commit of that id."""
        self.learn([oid])
        return self._kinds[oid] == "commit"

    def is_there(self, oid: str) -> bool:
        """Whether there is any object of that id."""
        self.learn([oid])
        return self._kinds[oid] != ""

    def is_whole(self, oid: str) -> bool:
        """Whether nothing is missing of a commit and of all before it."""
        if oid not in self._whole:
            self._whole[oid] = self.is_commit(oid) and self._reads_all(oid)
        return self._whole[oid]

    def _reads_all(self, oid: str) -> bool:
        """Whether history and tree are whole: git looks at the one while we read the other."""
        with ThreadPoolExecutor(1) as beside:
            history = beside.submit(self.ancestors, oid)
            tree = tree_is_whole(self._shadow, oid)
            return bool(history.result()) and tree

    def ancestors(self, oid: str) -> frozenset[str]:
        """A whole commit and all before it."""
        if oid not in self._ancestors:
            status, output, _ = self._shadow.git("rev-list", oid)
            self._ancestors[oid] = frozenset(output.decode("ascii").split()) if status == 0 else frozenset()
        return self._ancestors[oid]


class Bare(NamedTuple):
    """What matters of a commit here."""

    tree: str
    parents: tuple[str, ...]


class Deep:
    """Knows every object that is there, and every commit; see above."""

    deep = True

    def __init__(self, shadow: Shadow, logs: Iterable[Sequence[Line]] = ()) -> None:
        self._shadow = shadow
        self.present: Container[str] = frozenset()
        self.commits: dict[str, Bare] = {}
        self._detours: dict[str, str] = {}
        self._trees: dict[str, bool] = {}
        self._whole: dict[str, bool] = {}
        self._hashed: dict[str, bool] = {}
        self._histories: dict[str, list[str]] = {}
        self._load()
        self._find_detours(logs)

    def _load(self) -> None:
        status, output, talk = self._shadow.git(
            "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)"
        )
        if status != 0:
            raise GitFailed(f"git can't list the objects: {talk.strip()[-200:]}", hint="run it by hand to see more")
        commits = []
        present = {EMPTY_TREE}
        for line in output.decode("ascii").splitlines():
            kind, _, oid = line.partition(" ")
            present.add(oid)
            if kind == "commit":
                commits.append(oid)
        self.present = present
        for oid, data in read_many(self._shadow, commits):
            bare = _bare(data)
            if bare is not None:
                self.commits[oid] = bare

    def knows(self, oid: str) -> bool:
        """Whether there is a commit of that id, as far as was looked."""
        return oid in self.commits

    def is_commit(self, oid: str) -> bool:
        """Whether there is a commit of that id."""
        return self.knows(oid)

    def is_there(self, oid: str) -> bool:
        """Whether there is any object of that id."""
        return oid in self.present

    def is_whole(self, oid: str) -> bool:
        """Whether nothing is missing of a commit and of all before it."""
        if oid not in self._whole:
            self._judge(oid)
        return self._whole[oid]

    def is_sound(self, oid: str) -> bool:
        """Whether it is whole, and its tree says what its ids promise."""
        if oid not in self._hashed:
            self._hashed[oid] = self.is_whole(oid) and tree_is_whole(self._shadow, oid)
        return self._hashed[oid]

    def ancestors(self, oid: str) -> frozenset[str]:
        """A whole commit and all before it."""
        return frozenset(self.history(oid))

    def history(self, oid: str) -> list[str]:
        """A commit and all before it that are there, each after its parents."""
        known = self._histories.get(oid)
        if known is None:
            known = self._histories[oid] = self._sorted(oid)
        return known

    def _sorted(self, oid: str) -> list[str]:
        order: list[str] = []
        seen: set[str] = set()
        pending = [oid]
        while pending:
            current = pending[-1]
            if current in seen or current not in self.commits:
                pending.pop()
                continue
            before = [each for each in self.parents_of(current) if each not in seen and each in self.commits]
            if before:
                pending += before
            else:
                seen.add(pending.pop())
                order.append(current)
        return order

    def parents_of(self, oid: str) -> Sequence[str]:
        """The parents of a commit; for one that isn't there, what the reflog says was the head before it."""
        parents = self.commits[oid].parents
        if all(self.knows(parent) for parent in parents):
            return parents
        found = []
        for parent in parents:
            at: str | None = parent
            while at is not None and not self.knows(at):
                at = self._detours.get(at)
            if at is not None:
                found.append(at)
        return list(dict.fromkeys(found))

    def skipped(self, oid: str) -> list[str]:
        """Revisions right before a commit that aren't there, the newest first."""
        found = []
        for parent in self.commits[oid].parents:
            at: str | None = parent
            while at is not None and not self.knows(at):
                found.append(at)
                at = self._detours.get(at)
        return found

    def _find_detours(self, logs: Iterable[Sequence[Line]]) -> None:
        missing = {parent for bare in self.commits.values() for parent in bare.parents if not self.knows(parent)}
        for line in (line for log in logs for line in log) if missing else ():
            at, steps = line.new, 0
            while at in self.commits and at != line.old and self.commits[at].parents and steps < _CHAIN:
                at, steps = self.commits[at].parents[0], steps + 1
            if not self.knows(at) and at != line.old and line.old != NO_OBJECT:
                self._detours.setdefault(at, line.old)

    def _judge(self, oid: str) -> None:
        order = self.history(oid)
        if len(order) > 2 * _NEAR:
            self._trust_older(order[:-_NEAR])
        for each in order:
            if each not in self._whole:
                bare = self.commits[each]
                before = all(self._whole.get(parent, False) or self._trusts(parent) for parent in bare.parents)
                self._whole[each] = before and self.has_tree(bare.tree)
        self._whole.setdefault(oid, False)

    def _trusts(self, oid: str) -> bool:
        """Whether a commit that wasn't read is known to be whole."""
        return False

    def _trust_older(self, older: Sequence[str]) -> None:
        """Ask git about the older part of a long history at once: mostly it is whole."""
        pivot = older[-1]
        status, output, _ = self._shadow.git("rev-list", "--objects", "--missing=print", "--no-object-names", pivot)
        if status == 0 and b"?" not in output:
            self._whole.update(dict.fromkeys(self.history(pivot), True))

    def has_tree(self, oid: str) -> bool:
        """Whether a tree and all below it are there."""
        known = self._trees.get(oid)
        if known is None:
            known = oid in self.present and all(
                self.has_node(mode, child) for mode, child in rows_of(self._shadow, oid)
            )
            self._trees[oid] = known
        return known

    def has_node(self, mode: bytes, oid: str) -> bool:
        """Whether what a tree names is there; commits of other repositories needn't be."""
        if mode == _LINK:
            return True
        return self.has_tree(oid) if mode == TREE_MODE else oid in self.present


def rows_of(shadow: Shadow, tree: str) -> list[tuple[bytes, str]]:
    """Modes and ids in a tree; none if it can't be read."""
    try:
        kind, data = shadow.repository.read(tree)
        return [(mode, oid.hex()) for mode, _, oid in split_tree(data)] if kind == "tree" else []
    except (ObjectMissing, BrokenHistory, ValueError):
        return []


def kinds_of(shadow: Shadow, oids: Sequence[str]) -> dict[str, str]:
    """What each object is; "" if it isn't there."""
    _, output, _ = shadow.git("cat-file", "--batch-check=%(objecttype) %(objectname)", stdin=oids)
    lines = output.decode("ascii", "replace").splitlines()
    found = {oid: kind for kind, _, oid in (line.partition(" ") for line in lines) if len(oid) == 40}
    return {oid: found.get(oid, "") for oid in oids}


def read_many(shadow: Shadow, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Ids and bytes of many objects; what can't be read is left out."""
    for start in range(0, len(oids), _BATCH):
        _, output, _ = shadow.git("cat-file", "--batch", "--buffer", stdin=oids[start : start + _BATCH])
        at = 0
        while at < len(output):
            end = output.index(b"\n", at)
            words = output[at:end].split(b" ")
            at = end + 1
            if len(words) == 3:
                size = int(words[2])
                yield words[0].decode(), output[at : at + size]
                at += size + 1


def _bare(data: bytes) -> Bare | None:
    """Tree and parents of a raw commit; None if it isn't one."""
    if not data.startswith(b"tree ") or len(data) < _TREE_LINE:
        return None
    parents = []
    at = _TREE_LINE
    while data.startswith(b"parent ", at):
        parents.append(data[at + 7 : at + 47].decode("ascii", "replace"))
        at += 48
    return Bare(data[5:45].decode("ascii", "replace"), tuple(parents))


def tree_is_whole(shadow: Shadow, commit: str) -> bool:
    """Whether all that a commit's tree needs can be read, and is what its id says. Reads and hashes every byte."""
    try:
        tree = shadow.repository.read_commit(commit).tree
    except (ObjectMissing, BrokenHistory):
        return False
    status, output, _ = shadow.git("rev-list", "--objects", "--missing=print", "--no-object-names", tree)
    if status != 0 or b"?" in output:
        return False
    return all(_reads_as_named(shadow, oid) for oid in output.decode("ascii").split())


def _reads_as_named(shadow: Shadow, oid: str) -> bool:
    try:
        kind, data = shadow.repository.read(oid)
    except (ObjectMissing, BrokenHistory):
        return False
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest() == oid
