"""A user's project, read through the git command and never changed.

The command rather than libgit2: projects come in forms that libgit2 doesn't open (reftable, SHA-256, partial clones).
Paths are bytes, as git has them: nothing promises that they are text.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pygit2

from gitctx.errors import GitFailed, NotFound
from gitctx.repository.discovery import git_dir_around
from gitctx.repository.git_command import command_line, run_git

_LINK = "160000"
_CHUNK_BYTES = 1 << 16
# Settings of the user that would change what is printed are switched off.
_LOG = (
    *("-c", "log.showRoot=true", "-c", "log.showSignature=false"),
    *("log", "-z", "-c", "--name-only", "--no-renames", "--no-color", "--no-ext-diff", "-O/dev/null"),
    "--format=%x00%x00%H%x00%aI%x00%aN",
)


@dataclass(frozen=True, slots=True)
class TrackedFile:
    """A file of a commit; `size` is in bytes, None if its content isn't in this clone."""

    path: bytes
    blob: str
    mode: str
    size: int | None


@dataclass(frozen=True, slots=True)
class ProjectCommit:
    """A commit of the project: full id, author, author time."""

    id: str
    author: str
    at: datetime


class Project:
    """The project around a folder. Only ever read."""

    def __init__(self, git_dir: Path, head: str, *, git_timeout_s: float = 60.0) -> None:
        self.git_dir = git_dir
        self.head = head
        self._git_timeout_s = git_timeout_s

    @classmethod
    def find(cls, start: Path, *, git_timeout_s: float = 60.0) -> Project:
        """The project that a folder belongs to, at its head. Raises NotFound (no project, or no commit), GitFailed."""
        start = start.absolute()
        if not start.exists():
            raise NotFound(f"there is no folder {start}", hint="name a git clone that exists")
        try:
            git_dir = git_dir_around(start)
        except (pygit2.GitError, OSError):
            git_dir = None
        if git_dir is None:
            raise NotFound(
                f"{start} isn't inside a git project", hint="run it in a git clone, or name one with --project PATH"
            )
        status, output, talk = run_git(
            git_dir, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", timeout_s=git_timeout_s, ok=(0, 1, 128)
        )
        if status != 0 and talk.strip():
            raise GitFailed(f"git can't read the project at {start}: {talk.strip()}", hint="mend that, then try again")
        if status != 0:
            raise NotFound(
                f"the project at {start} has no commit yet",
                hint="commit something, or name another project with --project PATH",
            )
        return cls(git_dir, output.decode().strip(), git_timeout_s=git_timeout_s)

    def files(self) -> Sequence[TrackedFile]:
        """The files of the head commit, sorted by path as git sorts it. Submodules aren't files."""
        _, output, _ = run_git(
            self.git_dir, "ls-tree", "-r", "-z", "-l", "--full-tree", self.head, timeout_s=self._git_timeout_s
        )
        found = []
        for line in output.split(b"\0")[:-1]:
            attributes, _, path = line.partition(b"\t")
            mode, _, blob, size = attributes.decode().split()
            if mode != _LINK:
                found.append(TrackedFile(path, blob, mode, int(size) if size.isdecimal() else None))
        return found

    def last_commits(self, paths: Sequence[bytes], *, limit_s: float) -> Mapping[bytes, ProjectCommit]:
        """The newest commit that changed each of these paths, from one walk of history that ends when all are found.

        After `limit_s` it ends as well: a path that is missing then was last changed further back.
        """
        missing, found = set(paths), {}
        for commit, path in self._changes(time.monotonic() + limit_s):
            if path in missing:
                found[path] = commit
                missing.discard(path)
                if not missing:
                    break
        return found

    def contents(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        """The bytes of blobs by id; one that isn't in this clone is left out."""
        if not blobs:
            return {}
        asked = "".join(f"{blob}\n" for blob in blobs).encode()
        _, output, _ = run_git(self.git_dir, "cat-file", "--batch", stdin=asked, timeout_s=self._git_timeout_s)
        found, position = {}, 0
        while position < len(output):
            end = output.index(b"\n", position)
            words = output[position:end].decode("utf-8", "replace").split()
            position = end + 1
            if len(words) == 3 and words[2].isdecimal():
                size = int(words[2])
                found[words[0]] = output[position : position + size]
                position += size + 1
        return found

    def _changes(self, deadline: float) -> Iterator[tuple[ProjectCommit, bytes]]:
        """Every path that every commit changed, newest commit first, until the deadline. Raises GitFailed."""
        from git.cmd import Git

        running = Git(str(self.git_dir)).execute(command_line(self.git_dir, *_LOG, self.head), as_process=True)
        walk = running.proc
        assert walk is not None
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), walk.kill)
        timer.daemon = True
        timer.start()
        try:
            yield from _parse_changes(_tokens(cast(io.BufferedReader, walk.stdout)))
            talk = walk.communicate()[1].decode("utf-8", "replace").strip()
            if walk.returncode > 0:
                raise GitFailed(f"git can't read the project's history: {talk}", hint="`git fsck` there tells more")
        finally:
            timer.cancel()
            walk.kill()
            walk.communicate()


def _tokens(source: io.BufferedReader) -> Iterator[bytes]:
    """What a stream holds between its NUL bytes; an end without one is dropped, as it may be torn."""
    rest = b""
    while chunk := source.read1(_CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _parse_changes(tokens: Iterator[bytes]) -> Iterator[tuple[ProjectCommit, bytes]]:
    """Commits and paths from `git log -z --name-only`; a commit begins after two empty tokens, which no path can be."""
    commit: ProjectCommit | None = None
    empty = 0
    for token in tokens:
        if not token:
            empty += 1
        elif empty >= 2:
            at, author = next(tokens, b""), next(tokens, b"")
            commit, empty = _commit(token, at, author), 0
        else:
            empty = 0
            if commit is not None:
                yield commit, token.removeprefix(b"\n")


def _commit(id: bytes, at: bytes, author: bytes) -> ProjectCommit:
    try:
        time_of = datetime.fromisoformat(at.decode()).astimezone(UTC)
    except (ValueError, OverflowError):
        time_of = datetime.fromtimestamp(0, UTC)
    return ProjectCommit(id.decode(), author.decode("utf-8", "replace"), time_of)
