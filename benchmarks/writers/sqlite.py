"""SQLite in WAL mode: a table of entries and one of their history, both written in one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.workload import Update

_SCHEMA = """
create table if not exists entries (key text primary key, value blob not null, revision integer not null);
create table if not exists history (
    revision integer primary key autoincrement, key text not null, value blob not null, actor text not null,
    message text not null, written_at real not null
);
create index if not exists history_by_key on history (key, revision);
"""


class SqliteWriter:
    """One row and one history row per transaction. `synchronous=FULL` is durable, `NORMAL` isn't."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        self.connection = sqlite3.connect(folder / "store.sqlite", isolation_level=None, timeout=60)
        self.connection.execute("pragma journal_mode=wal")
        self.connection.execute(f"pragma synchronous={synchronous}")
        self.connection.executescript(_SCHEMA)
        self._filled = 0

    @classmethod
    def full(cls, folder: Path) -> SqliteWriter:
        """Each transaction is synced before it is acknowledged."""
        return cls(folder, "full")

    @classmethod
    def normal(cls, folder: Path) -> SqliteWriter:
        """Synced at checkpoints only."""
        return cls(folder, "normal")

    def fill(self, entries: Mapping[str, bytes]) -> None:
        self.write_together([Update(key, value, "bench", "fill") for key, value in entries.items()])
        self._filled = self._rows()

    def write(self, update: Update) -> None:
        with self._transaction():
            self._put(update)

    def read(self, key: str) -> bytes:
        row = self.connection.execute("select value from entries where key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        return value

    def append(self, update: Update) -> None:
        with self._transaction():
            row = self.connection.execute("select value from entries where key = ?", (update.key,)).fetchone()
            self._put(update._replace(value=(row[0] if row else b"") + update.value))

    def write_together(self, updates: Sequence[Update]) -> None:
        with self._transaction():
            for update in updates:
                self._put(update)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("begin immediate")
        yield
        self.connection.execute("commit")

    def _put(self, update: Update) -> None:
        row = (update.key, update.value, update.actor, update.message, time.time())
        cursor = self.connection.execute(
            "insert into history (key, value, actor, message, written_at) values (?, ?, ?, ?, ?)", row
        )
        self.connection.execute(
            "insert or replace into entries values (?, ?, ?)", (update.key, update.value, cursor.lastrowid)
        )

    def versions(self) -> int:
        return self._rows() - self._filled

    def close(self) -> None:
        self.connection.close()

    def _rows(self) -> int:
        return int(self.connection.execute("select count(*) from history").fetchone()[0])
