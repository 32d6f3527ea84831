"""The deep judge for damage that isn't old: it looks at the newest revisions only, and asks git about all before them.

Mostly what is broken was written last. Then git's word that nothing is missing below a revision spares reading it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gitctx.errors import BrokenHistory, ObjectMissing
from gitctx.recovery.judging import EMPTY_TREE, Bare, Deep, Memory
from gitctx.recovery.names import Line
from gitctx.recovery.shadow import Shadow
from gitctx.repository.reflog import NO_OBJECT

_WINDOW = 128


class TooOldError(Exception):
    """Something is missing below the newest revisions: everything has to be looked at."""


class _Asked:
    """The objects that are there, asked for one by one."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow

    def __contains__(self, oid: object) -> bool:
        return oid == EMPTY_TREE or (isinstance(oid, str) and self._shadow.repository.has(oid))


class Nearby(Deep):
    """See above. Raises TooOldError if there is nothing whole to stand on."""

    def __init__(self, shadow: Shadow, logs: Iterable[Sequence[Line]], heads: Iterable[str], memory: Memory) -> None:
        self._logs = list(logs)
        self._direct = {line.new: line.old for log in self._logs for line in log if line.old != NO_OBJECT}
        self._floor: frozenset[str] = frozenset()
        self._below: dict[str, frozenset[str]] = memory.ancestors
        super().__init__(shadow)
        frontier: list[str] = []
        for head in heads:
            frontier += self._read_from(head, _WINDOW)
        self._floor = self._floor_of([oid for oid in dict.fromkeys(frontier) if oid not in self.commits], memory)

    def _load(self) -> None:
        """Nothing is listed: see `_Asked`."""
        self.present = _Asked(self._shadow)

    def knows(self, oid: str) -> bool:
        """Whether there is a commit of that id, as far as was looked."""
        return oid in self.commits or oid in self._floor

    def is_commit(self, oid: str) -> bool:
        """Whether there is a commit of that id."""
        if not self.knows(oid):
            self._read_from(oid, None)
        return self.knows(oid)

    def is_whole(self, oid: str) -> bool:
        """Whether nothing is missing of a commit and of all before it."""
        return oid in self._floor or (self.is_commit(oid) and super().is_whole(oid))

    def ancestors(self, oid: str) -> frozenset[str]:
        """A whole commit and all before it."""
        if oid in self._floor:
            if oid not in self._below:
                self._below[oid] = frozenset(self._shadow.git("rev-list", oid)[1].decode("ascii").split())
            return self._below[oid]
        reaches_down = any(not self.commits[each].parents or self._stands(each) for each in self.history(oid))
        return frozenset(self.history(oid)) | (self._floor if reaches_down else frozenset())

    def _trusts(self, oid: str) -> bool:
        return oid in self._floor

    def _stands(self, oid: str) -> bool:
        return any(parent in self._floor for parent in self.parents_of(oid))

    def _read_from(self, oid: str, most: int | None) -> list[str]:
        """Read a commit and those before it; what comes next after `most` of them."""
        pending = deque([oid])
        count = 0
        while pending and (most is None or count < most):
            current = pending.popleft()
            if self.knows(current) or current == NO_OBJECT:
                continue
            bare = self._read(current)
            if bare is not None:
                self.commits[current] = bare
                pending += bare.parents
                count += 1
            elif self._has_line(current):
                pending.append(self._detours[current])
        return list(pending)

    def _read(self, oid: str) -> Bare | None:
        try:
            commit = self._shadow.repository.read_commit(oid)
        except (ObjectMissing, BrokenHistory):
            return None
        return Bare(commit.tree, commit.parents)

    def _has_line(self, oid: str) -> bool:
        """Whether the reflog tells what was the head before a revision that isn't there: it may have been published
        together with others.
        """
        if oid in self._direct:
            self._detours[oid] = self._direct[oid]
        elif oid not in self._detours:
            self._find_detours([[line for line in log if line.new in self.commits] for log in self._logs])
        return oid in self._detours

    def _floor_of(self, frontier: Sequence[str], memory: Memory) -> frozenset[str]:
        """All commits up to the frontier, if nothing is missing of them."""
        if not frontier:
            return frozenset()
        key = " ".join(sorted(frontier))
        if key not in memory.closed:
            with ThreadPoolExecutor(1) as beside:
                listing = beside.submit(self._shadow.git, "rev-list", *frontier)
                objects = ("--objects", "--missing=print", "--no-object-names")
                status, output, _ = self._shadow.git("rev-list", *objects, *frontier)
                listed, found, _ = listing.result()
            if status != 0 or listed != 0 or b"?" in output:
                raise TooOldError
            memory.closed[key] = frozenset(found.decode("ascii").split())
        return memory.closed[key]
