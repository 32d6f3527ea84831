"""Acknowledged writes that a forced move of a branch threw off, found and merged back.

`git update-ref` can set a branch to anything. What it held before is in the reflog (as the old value of a line: a new
value may name a write that never happened), and in the note of the writer queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from gitctx.errors import BrokenHistory, GitFailed, InvalidKey, ObjectMissing
from gitctx.format import layout
from gitctx.repository import Repository
from gitctx.repository.reflog import NO_OBJECT
from gitctx.store.rotated import ROTATING, original_of, rotated_heads

if TYPE_CHECKING:
    from gitctx.format.layout import Trees

_LINES = 200
_LAST_LINE_BYTES = 2048


def moved_by_others(repository: Repository, ref: str, head: str) -> bool:
    """Whether it wasn't gitctx that moved the branch to its head: away and back, perhaps. A missing reflog tells
    nothing, so it counts as if.
    """
    line = repository.last_log_line(ref)
    return line is None or line.new != head or not line.message.startswith("gitctx: ")


def thrown_off(repository: Repository, ref: str, head: str, published: str | None) -> list[str]:
    """Heads that the branch once had and that aren't in its history any more, without those that others of them
    contain. One that can't be read (relaxed writes before a power loss) doesn't count.
    """
    candidates: dict[str, None] = {}
    if published is not None and published != head:
        candidates[published] = None
    lines = repository.log_tail(ref)[-_LINES:]
    start = next((index + 1 for index, line in enumerate(lines) if line.new == published), 0)
    previous = head
    for line in reversed(lines[start:]):
        if ROTATING in line.message and repository.is_ancestor(line.new, head):
            break  # before it was rotated, all was joined that had been thrown off until then
        if line.old != NO_OBJECT and line.old != previous:
            candidates[line.old] = None
        previous = line.old
    if not candidates:
        return []
    near = {oid for oid, _ in islice(repository.walk(head), 2 * _LINES)}
    heads = (head, *rotated_heads(repository, ref.removeprefix("refs/heads/")).values())
    lost = _not_only_old(repository, [oid for oid in candidates if oid not in near], heads)
    lost = [oid for oid in lost if _is_whole(repository, oid, head, near)]
    lost = [oid for oid in lost if not any(repository.is_ancestor(oid, each) for each in heads)]
    return [oid for oid in lost if not any(other != oid and repository.is_ancestor(oid, other) for other in lost)]


def _not_only_old(repository: Repository, candidates: list[str], heads: Sequence[str]) -> list[str]:
    """Without those that are far back in the head's history, for each of which `_is_whole` would read hundreds of
    commits; and without those that a rotation put aside.

    By git, because libgit2 never comes back from a torn commit. Where git can't read something, all of them.
    """
    if not candidates:
        return []
    try:
        beyond = repository.beyond(candidates, heads)
    except GitFailed:
        return candidates
    return [oid for oid in candidates if oid in beyond]


def _is_whole(repository: Repository, oid: str, head: str, near: set[str]) -> bool:
    """Whether a commit and those before it can be read, down to what the head has, with all in which they differ."""
    pending, seen = [oid], {oid}
    now = (repository.read_commit(head).tree,)
    try:
        while pending and len(seen) <= 2 * _LINES:
            commit = repository.read_commit(pending.pop())
            changes = layout.compare(repository, now, (commit.tree,))
            if not all(after is None or repository.reads(after) for _, _, after in changes):
                return False
            pending += [parent for parent in commit.parents if parent not in near and parent not in seen]
            seen.update(commit.parents)
    except (ObjectMissing, BrokenHistory):
        return False
    return True


def join(repository: Repository, trees: Trees, head: str, lost: Sequence[str]) -> tuple[str, list[str]]:
    """The root tree that brings lost heads back into the head by key, and the etags that lost to the head's own."""
    root = repository.read_commit(head).tree
    superseded: list[str] = []
    for other in lost:
        theirs = repository.read_commit(other).tree
        base_id = repository.merge_base(head, other) or _stood_for(repository, head, other)
        base: layout.Folder = (repository.read_commit(base_id).tree,) if base_id else ()
        mine = {key: after for key, _, after in layout.compare(trees, base, (root,))}
        removed: dict[str, str | None] = {}
        put: dict[str, str] = {}
        for key, _, after in layout.compare(trees, base, (theirs,)):
            if key not in mine:
                if after is None:
                    removed[key] = None
                else:
                    put[key] = after
            elif after is not None and mine[key] != after:
                superseded.append(after)
        root, clashing = _put_back(trees, layout.apply(trees, root, removed), put)
        superseded += clashing
    return root, superseded


def _stood_for(repository: Repository, head: str, other: str) -> str | None:
    """Of two histories, one of which begins with the base of a rotation: the newest revision that both have, one of
    them as an original.
    """
    for rotated, old in ((other, head), (head, other)):
        for _, commit in repository.walk(rotated):
            original = original_of(commit)
            if original is not None and repository.is_ancestor(original, old):
                return original
    return None


def _put_back(trees: Trees, root: str, put: dict[str, str]) -> tuple[str, list[str]]:
    """The root with these entries; and the etags of those whose place is taken (an entry where it needs a folder)."""
    try:
        return layout.apply(trees, root, put), []
    except InvalidKey:
        clashing = []
    for key, etag in sorted(put.items()):
        try:
            root = layout.apply(trees, root, {key: etag})
        except InvalidKey:
            clashing.append(etag)
    return root, clashing
