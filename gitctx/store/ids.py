"""Which commit carries a `Gitctx-Id`: an index that is made from history, and made anew when it is lost.

History is the truth. The index (SQLite, below `gitctx/cache/`) only spares walking it: it says up to which head it
knows, the rest is walked and added. If it can't be used, all is walked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from gitctx.format.messages import ID
from gitctx.repository import Repository
from gitctx.store.rotated import rotated_heads

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
create table if not exists ids (id text primary key, revision text not null) without rowid;
create table if not exists known (head text not null);
"""


class IdIndex:
    """The ids of one branch."""

    def __init__(self, repository: Repository, branch: str) -> None:
        self._repository = repository
        self._branch = branch
        self._path = repository.path / "gitctx" / "cache" / f"ids-{branch}.sqlite"

    def find(self, id: str, head: str) -> str | None:
        """The revision in the head's history that carries the id, or in the history that a rotation squashed, as long
        as its grace lasts; None if there is none.
        """
        import sqlite3

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=1.0, isolation_level=None)) as index:
                revision = self._find_indexed(index, id, head)
        except (sqlite3.Error, OSError):
            return next((revision for found, revision in self._walk_all(head) if found == id), None)
        return revision

    def find_since(self, id: str, head: str, since: str) -> str | None:
        """Like `find`, for an id that can't be older than the revision `since`: looks only at what came after it."""
        known = since if self._repository.has(since) else None
        for each in reversed(self._heads(head)):
            # Of the histories that were squashed since only that one counts: in the others it can't be.
            if each == head or (known is not None and each != known and self._repository.is_ancestor(known, each)):
                for found, revision in self._walk(each, known):
                    if found == id:
                        return revision
        return None

    def _find_indexed(self, index: sqlite3.Connection, id: str, head: str) -> str | None:
        index.executescript("pragma journal_mode=wal; pragma synchronous=off;" + _SCHEMA)
        known = {str(row[0]) for row in index.execute("select head from known")}
        heads = self._heads(head)
        if known != set(heads):
            index.execute("begin immediate")
            for each in heads:
                if each not in known:
                    behind = next((old for old in known if self._repository.is_ancestor(old, each)), None)
                    index.executemany("insert or replace into ids values (?, ?)", list(self._walk(each, behind)))
            index.execute("delete from known")
            index.executemany("insert into known values (?)", [(each,) for each in heads])
            index.execute("commit")
        row = index.execute("select revision from ids where id = ?", (id,)).fetchone()
        if row is None:
            return None
        return str(row[0]) if any(self._repository.is_ancestor(row[0], each) for each in heads) else None

    def _heads(self, head: str) -> list[str]:
        """The histories that count, the one of the head last: what a rotation made anew counts as it is there."""
        return list(dict.fromkeys([*rotated_heads(self._repository, self._branch).values(), head]))

    def _walk_all(self, head: str) -> Iterator[tuple[str, str]]:
        for each in reversed(self._heads(head)):
            yield from self._walk(each, None)

    def _walk(self, head: str, known: str | None) -> Iterator[tuple[str, str]]:
        """Ids and revisions from the head down to what is known."""
        for revision, commit in self._repository.walk(head, [known] if known else []):
            id = commit.trailer(ID)
            if id is not None:
                yield id, revision
