"""What one would write with dulwich, git in Python: a blob, two trees and a commit on a bare repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dulwich.objects import Blob, ObjectID, ShaFile, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from benchmarks.workload import Update

_BRANCH = Ref(b"refs/heads/main")
_FILE, _FOLDER = 0o100644, 0o040000


class DulwichWriter:
    """dulwich's own way, with its defaults: loose objects that aren't synced, one writer, no races."""

    def __init__(self, folder: Path) -> None:
        self._repo = Repo.init_bare(str(folder / "dulwich.git"), mkdir=True)
        self._root = Tree()

    def fill(self, entries: Mapping[str, bytes]) -> None:
        folders: dict[bytes, Tree] = {}
        for key, value in entries.items():
            folder, _, name = key.encode().rpartition(b"/")
            tree = folders.setdefault(folder, Tree()) if folder else self._root
            tree.add(name, _FILE, self._add(Blob.from_string(value)))
        for folder, tree in folders.items():
            self._root.add(folder, _FOLDER, self._add(tree))
        self._commit("bench", "fill")

    def write(self, update: Update) -> None:
        blob = self._add(Blob.from_string(update.value))
        folder, _, name = update.key.encode().rpartition(b"/")
        if folder:
            tree = self._repo[self._root[folder][1]] if folder in self._root else Tree()
            assert isinstance(tree, Tree)
            tree.add(name, _FILE, blob)
            self._root.add(folder, _FOLDER, self._add(tree))
        else:
            self._root.add(name, _FILE, blob)
        self._commit(update.actor, update.message)

    def _add(self, item: ShaFile) -> ObjectID:
        self._repo.object_store.add_object(item)
        return item.id

    def _commit(self, actor: str, message: str) -> None:
        who = f"{actor} <{actor}@example.com>".encode()
        self._repo.get_worktree().commit(
            message=message.encode(), author=who, committer=who, tree=self._add(self._root), ref=_BRANCH
        )

    def versions(self) -> int:
        return len(list(self._repo.get_walker([self._repo.refs[_BRANCH]]))) - 1

    def close(self) -> None:
        self._repo.close()
