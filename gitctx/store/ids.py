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
        self._path = repository.path / "gitctx" / "cache" / f"ids-{branch}.sqlite"

    def find(self, id: str, head: str) -> str | None:
        """The revision in the head's history that carries the id; None if there is none."""
        import sqlite3

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=1.0, isolation_level=None)) as index:
                revision = self._find_indexed(index, id, head)
        except (sqlite3.Error, OSError):
            return next((revision for found, revision in self._walk(head, None) if found == id), None)
        return revision

    def find_since(self, id: str, head: str, since: str) -> str | None:
        """Like `find`, for an id that can't be older than the revision `since`: looks only at what came after it."""
        known = since if self._repository.has(since) else None
        return next((revision for found, revision in self._walk(head, known) if found == id), None)

    def _find_indexed(self, index: sqlite3.Connection, id: str, head: str) -> str | None:
        index.executescript("pragma journal_mode=wal; pragma synchronous=off;" + _SCHEMA)
        row = index.execute("select head from known").fetchone()
        known = row[0] if row is not None and self._repository.is_ancestor(row[0], head) else None
        if known != head:
            rows = list(self._walk(head, known))
            index.execute("begin immediate")
            index.executemany("insert or replace into ids values (?, ?)", rows)
            index.execute("delete from known")
            index.execute("insert into known values (?)", (head,))
            index.execute("commit")
        row = index.execute("select revision from ids where id = ?", (id,)).fetchone()
        if row is None:
            return None
        return str(row[0]) if self._repository.is_ancestor(row[0], head) else None

    def _walk(self, head: str, known: str | None) -> Iterator[tuple[str, str]]:
        """Ids and revisions from the head down to what is known."""
        for revision, commit in self._repository.walk(head, [known] if known else []):
            id = commit.trailer(ID)
            if id is not None:
                yield id, revision
