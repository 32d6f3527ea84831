"""gitctx itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import gitctx
from benchmarks.workload import Update
from gitctx import Config, Context
from gitctx.store import Store
from gitctx.values import Durability


class ContextWriter:
    """`Context.put` on a store. May be shared by threads."""

    def __init__(self, folder: Path, durability: Durability) -> None:
        path = folder / "store.git"
        if not path.exists():
            gitctx.create(path)
        self.store = Store.open(path, Config(durability=durability))
        self._contexts: dict[str, Context] = {}
        self._held = ExitStack()
        self._filled = 0

    @classmethod
    def durable(cls, folder: Path) -> ContextWriter:
        """The default: acknowledged means on disk."""
        return cls(folder, "durable")

    @classmethod
    def relaxed(cls, folder: Path) -> ContextWriter:
        """Survives the death of the process, not of the machine."""
        return cls(folder, "relaxed")

    @classmethod
    def unmerged(cls, folder: Path) -> ContextWriter:
        """Durable, with the merging of small packs put off: what that costs is the difference."""
        writer = cls(folder, "durable")
        writer._held.enter_context(writer.store.repository.without_compaction())
        return writer

    def finish(self) -> None:
        self.store.repository.finish_compaction()

    def context(self, actor: str = "planner") -> Context:
        """The context of one actor; they share the open store."""
        return self._contexts.setdefault(actor, Context(self.store, actor=actor))

    def fill(self, entries: Mapping[str, bytes]) -> None:
        context = self.context()
        with context.batch("fill") as batch:
            for key, value in entries.items():
                batch.put(key, value)
        self._filled = self._commits() - 1

    def write(self, update: Update) -> None:
        self.context(update.actor).put(update.key, update.value, message=update.message)

    def read(self, key: str) -> bytes:
        return self.context().get(key).value

    def append(self, update: Update) -> None:
        self.context(update.actor).append(update.key, update.value, message=update.message)

    def write_together(self, updates: Sequence[Update]) -> None:
        with self.context(updates[0].actor).batch(updates[0].message) as batch:
            for update in updates:
                batch.put(update.key, update.value)

    def versions(self) -> int:
        return self._commits() - 1 - self._filled

    def close(self) -> None:
        self._held.close()

    def _commits(self) -> int:
        _, count, _ = self.store.repository.git("rev-list", "--count", "context")
        return int(count)
