"""What one would write with git at hand: pygit2, GitPython, and git's plumbing commands. One writer, no races."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import git
import pygit2

from benchmarks.workload import Update

_BRANCH = "refs/heads/main"


def environment() -> dict[str, str]:
    """The environment without any git settings of the caller's, and with an identity."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = {f"GIT_{role}_{what}": "bench" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {**kept, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


class Pygit2Writer:
    """The straightforward libgit2 commit: a blob, a TreeBuilder per level, `create_commit` on the branch."""

    def __init__(self, folder: Path, *, sync: bool) -> None:
        self._repo = pygit2.init_repository(str(folder / "repo.git"), bare=True)
        self._sync = sync
        self._commit: pygit2.Oid | None = None
        self._versions = 0

    @classmethod
    def synced(cls, folder: Path) -> Pygit2Writer:
        """With libgit2's option to fsync what it writes."""
        return cls(folder, sync=True)

    @classmethod
    def unsynced(cls, folder: Path) -> Pygit2Writer:
        """As libgit2 comes."""
        return cls(folder, sync=False)

    def fill(self, entries: Mapping[str, bytes]) -> None:
        folders: dict[str, pygit2.TreeBuilder] = {}
        root = self._repo.TreeBuilder()
        for key, value in entries.items():
            folder, _, name = key.rpartition("/")
            builder = folders.setdefault(folder, self._repo.TreeBuilder()) if folder else root
            builder.insert(name, self._repo.create_blob(value), pygit2.enums.FileMode.BLOB)
        for folder, builder in folders.items():
            root.insert(folder, builder.write(), pygit2.enums.FileMode.TREE)
        self._make_commit(root.write(), "bench", "fill")

    def write(self, update: Update) -> None:
        pygit2.settings.enable_fsync_gitdir(self._sync)
        try:
            self._write(update)
        finally:
            pygit2.settings.enable_fsync_gitdir(False)

    def _write(self, update: Update) -> None:
        repo = self._repo
        folder, _, name = update.key.rpartition("/")
        tree = repo[self._commit].tree if self._commit else None
        blob = repo.create_blob(update.value)
        if folder:
            held = tree[folder] if tree is not None and folder in tree else None
            inner = repo.TreeBuilder(held) if isinstance(held, pygit2.Tree) else repo.TreeBuilder()
            inner.insert(name, blob, pygit2.enums.FileMode.BLOB)
            name, blob, mode = folder, inner.write(), pygit2.enums.FileMode.TREE
        else:
            mode = pygit2.enums.FileMode.BLOB
        root = repo.TreeBuilder(tree) if tree is not None else repo.TreeBuilder()
        root.insert(name, blob, mode)
        self._make_commit(root.write(), update.actor, update.message)
        self._versions += 1

    def _make_commit(self, tree: pygit2.Oid, actor: str, message: str) -> None:
        who = pygit2.Signature(actor, f"{actor}@example.com")
        parents = [self._commit] if self._commit is not None else []
        self._commit = self._repo.create_commit(_BRANCH, who, who, message, tree, parents)

    def versions(self) -> int:
        return sum(1 for _ in self._repo.walk(self._repo.references[_BRANCH].target)) - 1 if self._versions else 0

    def close(self) -> None:
        self._repo.free()


class PlumbingWriter:
    """A loop of git commands, with listings kept in memory: hash-object, mktree twice, commit-tree, update-ref.

    With git's own defaults, which sync the ref but not the objects.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "plumbing.git"
        self._environment = environment()
        self._git("init", "-q", "--bare", str(self._folder), inside=False)
        self._listings: dict[str, dict[str, str]] = {"": {}}
        self._commit = ""
        self._filled = 1

    def fill(self, entries: Mapping[str, bytes]) -> None:
        for number, (key, value) in enumerate(entries.items()):
            (self._folder / f"value-{number}").write_bytes(value)
            self._list(key)
        paths = "".join(f"{self._folder}/value-{number}\n" for number in range(len(entries))).encode()
        oids = self._git("hash-object", "-w", "--stdin-paths", stdin=paths).split()
        for number, (key, oid) in enumerate(zip(entries, oids, strict=True)):
            (self._folder / f"value-{number}").unlink()
            folder, name = self._list(key)
            self._listings[folder][name] = f"100644 blob {oid}\t{name}\n"
        for folder in [folder for folder in self._listings if folder]:
            self._listings[""][folder] = f"040000 tree {self._tree(folder)}\t{folder}\n"
        self._publish("bench", "fill")

    def write(self, update: Update) -> None:
        folder, name = self._list(update.key)
        oid = self._git("hash-object", "-w", "--stdin", stdin=update.value)
        self._listings[folder][name] = f"100644 blob {oid}\t{name}\n"
        if folder:
            self._listings[""][folder] = f"040000 tree {self._tree(folder)}\t{folder}\n"
        self._publish(update.actor, update.message)

    def _list(self, key: str) -> tuple[str, str]:
        folder, _, name = key.rpartition("/")
        self._listings.setdefault(folder, {})
        return folder, name

    def _tree(self, folder: str) -> str:
        return self._git("mktree", stdin="".join(self._listings[folder].values()).encode())

    def _publish(self, actor: str, message: str) -> None:
        self._environment["GIT_AUTHOR_NAME"] = actor
        parent = ("-p", self._commit) if self._commit else ()
        commit = self._git("commit-tree", self._tree(""), *parent, "-m", message)
        self._git("update-ref", _BRANCH, commit, self._commit or "0" * 40)
        self._commit = commit

    def _git(self, *arguments: str, stdin: bytes = b"", inside: bool = True) -> str:
        command = ["git", *(["--git-dir", str(self._folder)] if inside else []), *arguments]
        done = subprocess.run(command, input=stdin, env=self._environment, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def versions(self) -> int:
        return int(self._git("rev-list", "--count", _BRANCH)) - self._filled

    def close(self) -> None:
        return


class GitPythonWriter:
    """GitPython's way: write the file in a work tree, add it to the index, commit the index. No syncs asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "work"
        self._repo = git.Repo.init(self._folder, initial_branch="main")

    def fill(self, entries: Mapping[str, bytes]) -> None:
        for key, value in entries.items():
            self._put(key, value)
        self._repo.index.add(list(entries))
        self._commit("bench", "fill")

    def write(self, update: Update) -> None:
        self._put(update.key, update.value)
        self._repo.index.add([update.key])
        self._commit(update.actor, update.message)

    def _put(self, key: str, value: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)

    def _commit(self, actor: str, message: str) -> None:
        who = git.Actor(actor, f"{actor}@example.com")
        self._repo.index.commit(message, author=who, committer=who, skip_hooks=True)

    def versions(self) -> int:
        return sum(1 for _ in self._repo.iter_commits()) - 1

    def close(self) -> None:
        self._repo.close()
