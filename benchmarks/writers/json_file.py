"""The design that gitctx replaces: all entries in one JSON file under a file lock, with backups and snapshots."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.workload import Update

_BACKUPS = 3
_SNAPSHOTS = 50


class JsonFileWriter:
    """Read, change, write to a temporary file, sync it, rotate 3 backups, replace; keep the last 50 as snapshots."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "context.json"
        self._snapshots = folder / "snapshots"
        self._snapshots.mkdir(exist_ok=True)
        self._lock = os.open(folder / "context.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not self._path.exists():
            self._path.write_text(json.dumps({"version": 0, "entries": {}}), encoding="utf-8")
        self._filled = 0

    def fill(self, entries: Mapping[str, bytes]) -> None:
        state = self._load()
        for key, value in entries.items():
            state["entries"][key] = {"value": value.decode(), "actor": "bench", "message": "fill"}
        self._save(state)
        self._filled = state["version"]

    def write(self, update: Update) -> None:
        self.write_together([update])

    def read(self, key: str) -> bytes:
        value: str = self._load()["entries"][key]["value"]
        return value.encode()

    def append(self, update: Update) -> None:
        with self._locked():
            state = self._load()
            held = state["entries"].get(update.key, {"value": ""})["value"]
            self._put(state, update, held + update.value.decode())
            self._save(state)

    def write_together(self, updates: Sequence[Update]) -> None:
        with self._locked():
            state = self._load()
            for update in updates:
                self._put(state, update, update.value.decode())
            self._save(state)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @staticmethod
    def _put(state: dict[str, Any], update: Update, value: str) -> None:
        state["entries"][update.key] = {
            "value": value,
            "actor": update.actor,
            "message": update.message,
            "written_at": time.time(),
        }

    def _load(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return state

    def _save(self, state: dict[str, Any]) -> None:
        state["version"] += 1
        text = json.dumps(state)
        temporary = self._path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        for number in range(_BACKUPS, 1, -1):
            older, newer = self._backup(number), self._backup(number - 1)
            if newer.exists():
                os.replace(newer, older)
        os.link(self._path, self._backup(1))
        os.replace(temporary, self._path)
        (self._snapshots / f"{state['version']}.json").write_text(text, encoding="utf-8")
        (self._snapshots / f"{state['version'] - _SNAPSHOTS}.json").unlink(missing_ok=True)

    def _backup(self, number: int) -> Path:
        return self._path.with_suffix(f".bak{number}")

    def versions(self) -> int:
        return int(self._load()["version"]) - self._filled

    def close(self) -> None:
        os.close(self._lock)
