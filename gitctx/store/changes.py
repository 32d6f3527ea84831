"""How a branch came from one revision to another: what watchers are told.

A way of commits leads from the later revision down to the earlier one, by first parents where that is possible; a
merge that another machine made may lead there by another parent only. Each commit on the way is compared with the one
before it, so that the steps add up exactly to the whole difference. What lies too far back, or isn't in the later
revision's history at all (the branch was recovered, rotated, or moved by force), is told as that difference alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import BrokenHistory, ObjectMissing, RevisionNotFound
from gitctx.format import layout, messages
from gitctx.format.keys import RESERVED
from gitctx.store.rotated import original_of
from gitctx.store.view import View
from gitctx.values import Change, Revision, SessionId, WatchedChange

if TYPE_CHECKING:
    from gitctx.format.messages import Commit
    from gitctx.repository import Repository

MOST_REVISIONS = 4096
"""So many revisions are told one by one; if there are more, their difference."""
_NEAR = 64
"""So far the way down is looked for here; further, and through merges, git finds it."""
_LOOK = 256
"""So many commits are looked at for who made what a merge brought."""


class Step(NamedTuple):
    """One revision on the way, with what it changed below the prefix, sorted by key; perhaps nothing."""

    revision: Revision
    changes: tuple[WatchedChange, ...]


class Changes:
    """Changes below a folder prefix ("": everywhere). gitctx's own entries are only told below `.gitctx/`.

    What `without_session` wrote is left out, except where only the difference between far revisions is told: who made
    that isn't known by key.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        prefix: str = "",
        without_session: str | None = None,
        most_revisions: int = MOST_REVISIONS,
    ) -> None:
        self._repository = repository
        self._prefix = prefix.rstrip("/")
        self._reserved = self._prefix == RESERVED or self._prefix.startswith(RESERVED + "/")
        self._without_session = without_session
        self._most = most_revisions
        self._reached: View | None = None
        self._read: tuple[str, Commit] | None = None

    def between(self, since: str | None, head: str) -> Iterator[Step]:
        """The steps from `since` (None: before anything was there) to `head`, oldest first, each made when it is asked
        for.

        Applied in their order to the content at `since` they give the content at `head`, also if an interrupted reader
        begins again at any of their revisions. Raises RevisionNotFound if `since` can't be read; ObjectMissing and
        BrokenHistory for a damaged history.
        """
        before = self._start(since) if since is not None else None
        way = self._way(since, head)
        if way is None:
            after = self._commit(head)
            changes = self._compared(before, View(self._repository, Revision(head), after.tree))
            yield Step(Revision(head), _told(head, [(change, after) for change in changes]))
            return
        for oid in way:
            commit = self._commit(oid)
            view = View(self._repository, Revision(oid), commit.tree)
            step = self._step(before, view, commit)
            before = self._reached = view
            yield step

    def _start(self, since: str) -> View:
        if self._reached is not None and self._reached.revision == since:
            return self._reached
        try:
            tree = self._repository.read_commit(since).tree
            self._repository.read_tree(tree)
        except (ObjectMissing, BrokenHistory) as error:
            raise place_lost(since) from error
        return View(self._repository, Revision(since), tree)

    # -- the way ------------------------------------------------------------------------------------------------------

    def _way(self, since: str | None, head: str) -> list[str] | None:
        """The revisions after `since`, oldest first; None if there is no way, or too long a one."""
        way: list[str] = []
        oid: str | None = head
        for _ in range(min(self._most, _NEAR if since is not None else self._most) + 1):
            if oid == since or oid is None:
                return way[::-1] if oid == since else None
            way.append(oid)
            parents = self._commit(oid).parents
            if len(parents) > 1 and since not in (None, parents[0]):
                break
            oid = parents[0] if parents else None
        return self._way_by_git(since, head) if since is not None else None

    def _way_by_git(self, since: str, head: str) -> list[str] | None:
        ways = self._repository.ways(since, head, most=self._most + 1)
        if not ways:
            standing = self._standing_for(since, head)
            return self._way(standing, head) if standing is not None else None
        if len(ways) > self._most:
            return None
        way: list[str] = []
        oid = head
        while oid != since:
            way.append(oid)
            oid = next(parent for parent in ways[oid] if parent == since or parent in ways)
        return way[::-1]

    def _standing_for(self, since: str, head: str) -> str | None:
        """What a rotation made anew of a revision, or squashed it into, so that it has the same content."""
        original = original_of(self._repository.read_commit(since)) or since
        if self._most:
            for oid, commit in islice(self._repository.walk(head), self._most + 1):
                if original_of(commit) == original:
                    return oid
        return None

    def _commit(self, oid: str) -> Commit:
        """A commit; mostly the one that was read last."""
        if self._read is None or self._read[0] != oid:
            self._read = (oid, self._repository.read_commit(oid))
        return self._read[1]

    # -- one step -----------------------------------------------------------------------------------------------------

    def _step(self, before: View | None, view: View, commit: Commit) -> Step:
        changes = self._compared(before, view)
        if not changes:
            return Step(view.revision, ())
        origins: dict[str, Commit] = {}
        sides = [parent for parent in commit.parents if before is not None and parent != before.revision]
        if sides:
            with suppress(ObjectMissing, BrokenHistory):
                self._find_origins(sides, changes, origins)
        made = [(change, origins.get(change.key, commit)) for change in changes]
        if self._without_session is not None:
            made = [each for each in made if each[1].trailer(messages.SESSION) != self._without_session]
        return Step(view.revision, _told(view.revision, made))

    def _compared(self, before: View | None, after: View) -> Sequence[Change]:
        if before is not None:
            changes = before.changes_to(after, self._prefix)
        else:
            changes = [Change(key, "added", None, etag) for key, etag in after.etags(self._prefix)]
        if self._reserved:
            return changes
        return [change for change in changes if not change.key.startswith(RESERVED + "/")]

    def _find_origins(self, sides: Sequence[str], changes: Sequence[Change], origins: dict[str, Commit]) -> None:
        """By key the write that made what a merge took over from its other sides: the newest there that touched it.

        What the merge made itself of both sides, and what lies further back than `_LOOK` commits, is left out.
        """
        wanted = {change.key: change.after for change in changes}
        queue: list[tuple[float, str]] = []
        seen: set[str] = set()
        self._queue_up(queue, seen, sides)
        for _ in range(_LOOK):
            if not queue or not wanted:
                return
            _, oid = heapq.heappop(queue)
            commit = self._repository.read_commit(oid)
            for key, etag in self._touched(commit, wanted).items():
                if wanted.pop(key) == etag:
                    origins[key] = commit
            self._queue_up(queue, seen, commit.parents)

    def _queue_up(self, queue: list[tuple[float, str]], seen: set[str], oids: Sequence[str]) -> None:
        for oid in oids:
            if oid not in seen:
                seen.add(oid)
                heapq.heappush(queue, (-self._repository.read_commit(oid).committer.at.timestamp(), oid))

    def _touched(self, commit: Commit, wanted: Collection[str]) -> Mapping[str, str | None]:
        """Those of some keys that a commit holds as none of its parents does, with their etags (None: removed)."""
        parents: Sequence[layout.Folder] = [(self._repository.read_commit(parent).tree,) for parent in commit.parents]
        touched: dict[str, str | None] = {}
        for number, parent in enumerate(parents or [()]):
            compared = layout.compare(self._repository, parent, (commit.tree,))
            among = touched if number else wanted
            touched = {key: after for key, _, after in compared if key in among}
        return touched


def place_lost(since: str) -> RevisionNotFound:
    """The error for a revision from which there is no going on."""
    return RevisionNotFound(
        f"the revision {since} can't be read any more, so nobody can tell what changed since",
        hint="perhaps it was rotated away: read what you need anew (`gitctx ls`, `gitctx get`) and go on from "
        "the head that you read",
        details={"revision": since},
    )


def _told(revision: str, made: Sequence[tuple[Change, Commit]]) -> tuple[WatchedChange, ...]:
    last = len(made) - 1
    return tuple(
        WatchedChange(
            revision=Revision(revision),
            key=change.key,
            kind=change.kind,
            before=change.before,
            etag=change.after,
            actor=commit.author.name,
            session=_session(commit),
            last_of_revision=number == last,
        )
        for number, (change, commit) in enumerate(made)
    )


def _session(commit: Commit) -> SessionId | None:
    session = commit.trailer(messages.SESSION)
    return SessionId(session) if session else None
