"""Who waits for a key to change: by looking again and again, or by being told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Protocol

from benchmarks.writers import etcd_server
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.etcd_server import EtcdWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.redis_server import RedisWriter
from benchmarks.writers.sqlite import SqliteWriter
from gitctx import Context

KEY = "board/plan.md"


class Watcher(Protocol):
    """Waits for new values of one key in a folder that holds a contender's data already."""

    def next_value(self) -> bytes:
        """Wait for a value that is new since the last call, and return it."""


class ContextWatcher:
    """Looks at the head in a tight loop, and at the key when the head has moved."""

    def __init__(self, place: Path) -> None:
        self._context = ContextWriter.durable(place).context("watcher")
        self._head = self._context.head

    def next_value(self) -> bytes:
        while (head := self._context.head) == self._head:
            pass
        self._head = head
        return self._context.get(KEY).value


class ToldWatcher:
    """Is told by a watch of the store that its process has open, then reads the value."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watch = context.watch(KEY)

    def next_value(self) -> bytes:
        change = next(self._watch)
        assert change.etag is not None
        return self._context.store.repository.read_blob(change.etag)


class SqliteWatcher:
    """Selects the key in a tight loop."""

    def __init__(self, place: Path) -> None:
        self._table = SqliteWriter.full(place)
        self._value = self._table.read(KEY)

    def next_value(self) -> bytes:
        while (value := self._table.read(KEY)) == self._value:
            pass
        self._value = value
        return value


class JsonFileWatcher:
    """Loads the file again and again, with a pause in between."""

    def __init__(self, place: Path, *, poll_s: float) -> None:
        self._poll_s = poll_s
        self._file = JsonFileWriter(place)
        self._value = self._file.read(KEY)

    def next_value(self) -> bytes:
        while (value := self._file.read(KEY)) == self._value:
            time.sleep(self._poll_s)
        self._value = value
        return value


class RedisWatcher:
    """Is told by Redis (its notifications of changed keys), then gets the value."""

    def __init__(self, place: Path) -> None:
        self._writer = RedisWriter(place)
        self._writer.client.config_set("notify-keyspace-events", "Kh")
        self._messages = self._writer.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._messages.subscribe("__keyspace@0__:entries")
        self._messages.get_message(timeout=1)

    def next_value(self) -> bytes:
        while self._messages.get_message(timeout=10) is None:
            pass
        return self._writer.read(KEY)


class EtcdWatcher:
    """Is told by etcd, with the value."""

    def __init__(self, place: Path) -> None:
        self._connection = etcd_server.watch(EtcdWriter(place).port, KEY)
        self._events = self._connection.getresponse()
        self._events.readline()

    def next_value(self) -> bytes:
        while True:
            result = json.loads(self._events.readline())["result"]
            if result.get("events"):
                return etcd_server.watched_value(result["events"][-1])
