"""Redis that syncs its append-only file before it answers: a hash of entries and a stream of their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from benchmarks.workload import Update
from benchmarks.writers.server import Server

PROGRAM = "redis-server"


class RedisWriter:
    """One transaction a write: the entry and its history row. Durable, as `appendfsync always` has it."""

    def __init__(self, folder: Path) -> None:
        self._server = Server(folder, _command, _ready)
        self.client = _client(self._server.port)
        self._filled = 0

    def fill(self, entries: Mapping[str, bytes]) -> None:
        self.write_together([Update(key, value, "bench", "fill") for key, value in entries.items()])
        self._filled = self._rows()

    def write(self, update: Update) -> None:
        self.write_together([update])

    def write_together(self, updates: Sequence[Update]) -> None:
        with self.client.pipeline(transaction=True) as transaction:
            for update in updates:
                transaction.hset("entries", update.key, update.value)
                transaction.xadd("history", {str(name): value for name, value in update._asdict().items()})
            transaction.execute()

    def read(self, key: str) -> bytes:
        value = self.client.hget("entries", key)
        if not isinstance(value, bytes):
            raise KeyError(key)
        return value

    def versions(self) -> int:
        return self._rows() - self._filled

    def close(self) -> None:
        self.client.close()
        self._server.close()

    def _rows(self) -> int:
        return int(self.client.xlen("history"))


def _client(port: int) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=60)


def _command(port: int, _: int) -> Sequence[str]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": ".",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
    }
    return [PROGRAM, *(word for name, value in options.items() for word in (f"--{name}", value))]


def _ready(port: int) -> bool:
    try:
        with _client(port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False
