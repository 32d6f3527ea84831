"""What happened: the writes of a branch, of one key, by whom and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from gitctx.format import layout, messages
from gitctx.format.messages import Commit
from gitctx.repository import Repository
from gitctx.store.base_records import read_record
from gitctx.store.rotated import is_base, original_of, was_taken_back
from gitctx.values import Etag, Revision, SessionId, Write, WriteId

_NEAR = 64


class History:
    """The history of a store, read from its commits. Newest first, each commit compared with its first parent."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def write(self, revision: str) -> Write:
        """What one commit did."""
        commit = self._repository.read_commit(revision)
        return _write(revision, commit, tuple(self._keys(commit)))

    def writes(
        self,
        start: str,
        *,
        key: str | None = None,
        hide: tuple[str, ...] = (),
        actor: str | None = None,
        session: str | None = None,
        since: datetime | None = None,
    ) -> Iterator[Write]:
        """Writes reachable from `start` and not from `hide`, newest first.

        `key` keeps those that changed that entry, or anything below that folder if it ends in a slash; `actor`,
        `session` and `since` (author time) those that match. Costs one look at each commit on the way; for a key, git
        does the looking once it is far away.
        """
        found = self._repository.walk(start, hide) if key is None else self._touching(start, hide, key, all_sides=True)
        once_only = was_taken_back(self._repository, start)
        for revision, commit in found:
            if once_only and self._is_twin(commit):
                continue
            if key is not None and is_base(commit):
                earlier = self._before_base(commit, key)
                if earlier is not None and _matches(earlier, actor, session, since):
                    yield earlier
                continue
            if actor is not None and commit.author.name != actor:
                continue
            if session is not None and commit.trailer(messages.SESSION) != session:
                continue
            if since is not None and commit.author.at < since:
                continue
            yield _write(revision, commit, tuple(self._keys(commit)))

    def last_write(self, start: str, key: str) -> Write | None:
        """The write that made what a key holds (or removed it); None if none did."""
        now = self._at(self._repository.read_commit(start).tree, key)
        for revision, commit in self._touching(start, (), key, all_sides=False):
            if self._at(commit.tree, key) == now:
                if is_base(commit) and (earlier := self._before_base(commit, key)) is not None:
                    return earlier
                return _write(revision, commit, tuple(self._keys(commit)))
        return None

    def _is_twin(self, commit: Commit) -> bool:
        """Whether a commit was made anew of one that is there as well."""
        original = original_of(commit)
        return original is not None and self._repository.has(original)

    def _before_base(self, base: Commit, key: str) -> Write | None:
        """The last write of a key before a base: as that recorded it, else from the history that it stands for, as long
        as that is there. Of a folder nothing is recorded.
        """
        if key.endswith("/"):
            return None
        recorded = read_record(self._repository, base, key)
        if recorded is not None:
            return recorded
        below = base.trailer(messages.REVISION)
        return self.last_write(below, key) if below is not None and self._repository.has(below) else None

    def _touching(
        self, start: str, hide: tuple[str, ...], key: str, *, all_sides: bool
    ) -> Iterator[tuple[str, Commit]]:
        """Commits that changed a key. The nearest are looked at here, unless a merge comes up; the rest by git."""
        oid = start
        commit = self._repository.read_commit(start)
        here = self._at(commit.tree, key)
        for _ in range(0 if hide else _NEAR):
            if len(commit.parents) > 1:
                break
            parent = commit.parents[0] if commit.parents else None
            before = self._repository.read_commit(parent) if parent else None
            there = self._at(before.tree, key) if before else layout.NOTHING
            if here != there:
                yield oid, commit
            if parent is None or before is None:
                return
            oid, commit, here = parent, before, there
        seen = set[str]()
        for found, touched in self._along(oid, hide, key, all_sides=all_sides):
            if found not in seen and self._touches(touched, key):
                seen.add(found)
                yield found, touched

    def _along(self, start: str, hide: tuple[str, ...], key: str, *, all_sides: bool) -> Iterator[tuple[str, Commit]]:
        """Commits that may have changed what is at a key; some perhaps twice.

        git's filters of changed paths answer for one path only. So it is asked for the path in folders that aren't
        split, as long as the key lay there: nothing elsewhere counts then. Where it didn't, it may have lain elsewhere;
        if the folders on the way were ever split, git is asked for all paths. So it is for a folder from the start on,
        because a plain git may have put a part of it elsewhere.
        """
        name = key.rstrip("/")
        path = tuple(name.split("/"))
        asked_of: list[str] = []

        def lies_plainly(revision: str) -> bool:
            tree = self._repository.read_commit(revision).tree
            if asked_of == [start] or (name == key and layout.find(self._repository, tree, name).path == path):
                return True
            # A key's first write is mostly old, so that there is little before it; who asks again, asks for all.
            asked_of[:] = [start if asked_of else revision]
            return not self._ever(asked_of[0], hide, layout.buckets_on_the_way(name))

        plainly = lies_plainly(start)
        if plainly:
            for revision, commit in self._repository.touching(start, hide, [name], all_sides=all_sides):
                yield revision, commit
                plainly = all(map(lies_plainly, commit.parents))
                if not plainly:
                    break
        if not plainly:
            yield from self._repository.touching(start, hide, layout.possible_paths(name), all_sides=all_sides)

    def _ever(self, start: str, hide: tuple[str, ...], paths: Sequence[str]) -> bool:
        """Whether there ever was anything at one of these git paths, in the history of `start`."""
        return any(self._repository.ever_changed(start, hide, path) for path in paths)

    def _keys(self, commit: Commit) -> list[str]:
        before = self._parent_folder(commit)
        return sorted(key for key, _, _ in layout.compare(self._repository, before, (commit.tree,)))

    def _parent_folder(self, commit: Commit) -> layout.Folder:
        return (self._repository.read_commit(commit.parents[0]).tree,) if commit.parents else ()

    def _touches(self, commit: Commit, key: str) -> bool:
        """Whether a key (or what is below a folder) is here as it is in none of the parents."""
        here = self._at(commit.tree, key)
        if not commit.parents:
            return here != layout.NOTHING
        return all(here != self._at(self._repository.read_commit(parent).tree, key) for parent in commit.parents)

    def _at(self, tree: str, key: str) -> layout.Found:
        found = layout.find(self._repository, tree, key.rstrip("/"))
        if key.endswith("/"):
            return layout.Found(folder=found.folder)
        return layout.Found(entry=found.entry)


def _matches(write: Write, actor: str | None, session: str | None, since: datetime | None) -> bool:
    return (
        actor in (None, write.actor)
        and session in (None, write.session)
        and (since is None or write.written_at >= since)
    )


def _write(revision: str, commit: Commit, keys: tuple[str, ...]) -> Write:
    session, id = commit.trailer(messages.SESSION), commit.trailer(messages.ID)
    retries = commit.trailer(messages.RETRIES) or "0"
    return Write(
        revision=Revision(revision),
        op=commit.trailer(messages.OP),
        keys=keys,
        actor=commit.author.name,
        session=SessionId(session) if session else None,
        id=WriteId(id) if id else None,
        message=commit.message,
        written_at=commit.author.at,
        parents=tuple(Revision(parent) for parent in commit.parents),
        retries=int(retries) if retries.isdecimal() else 0,
        superseded=tuple(Etag(etag) for etag in commit.trailers.get(messages.SUPERSEDES, ())),
        subject=commit.subject,
    )
