"""Which writes a rotation keeps, and what it squashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import NamedTuple

from gitctx.repository import Repository
from gitctx.rotation.counting import count
from gitctx.store.rotated import bases_in, is_taken_back, original_of
from gitctx.values import Revision, RotationPlan

_LEAST_STEP = 64


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept: the newest `writes`, and all that were made since `since`, and as many as fit into `size` bytes:
    whichever is most. None says nothing.
    """

    writes: int | None = None
    since: datetime | None = None
    size: int | None = None


class Cut(NamedTuple):
    """A place to cut history: what is kept (oldest first), each with its parents, and the newest commit of the rest."""

    kept: Sequence[tuple[str, tuple[str, ...]]]
    below: str | None


def find_cut(repository: Repository, head: str, keep: Keep) -> Cut:
    """Where to cut. Kept is at least what was asked for; more, where histories crossed, because a commit that is kept
    needs all its parents to be kept or to be the one below. Raises GitFailed.
    """
    wanted = number_kept(repository, head, keep)
    taken_back = any(is_taken_back(repository, base, head) for _, base in bases_in(repository, head))
    while True:
        line = _lines(repository, "--first-parent", f"--max-count={wanted + 1}", head)
        if len(line) <= wanted:
            return Cut((), None)  # nothing is older
        below = line[-1]
        squashed = [below, *_brought_back(repository, below, head)] if taken_back else [below]
        hidden = [f"^{oid}" for oid in squashed]
        rows = [row.split() for row in _lines(repository, "--topo-order", "--reverse", "--parents", head, *hidden)]
        kept = [(oid, tuple(parents)) for oid, *parents in rows]
        if taken_back:
            kept = _each_once(repository, kept, squashed)
        inside = {oid for oid, _ in kept} | {below}
        if len(kept) >= wanted and all(parent in inside for _, parents in kept for parent in parents):
            return Cut(kept, below)
        wanted = max(2 * wanted, wanted + _LEAST_STEP)


def _brought_back(repository: Repository, below: str, head: str) -> list[str]:
    """What an undo brought back into a head's history and a revision of it stands on: squashed with that."""
    for _, commit in repository.walk(below):
        original = original_of(commit)
        if original is not None and repository.is_ancestor(original, head):
            return [original]
    return []


def _each_once(
    repository: Repository, commits: Sequence[tuple[str, tuple[str, ...]]], squashed: Sequence[str]
) -> list[tuple[str, tuple[str, ...]]]:
    """Commits that an undo joined, each once: an original instead of what was made anew of it, and the first of
    `squashed` instead of what all of them reach. Oldest first.
    """
    parents_of = dict(commits)

    def stands(oid: str) -> str:
        return squashed[0] if any(repository.is_ancestor(oid, each) for each in squashed) else oid

    instead: dict[str, str] = {}
    for oid in parents_of:
        original = original_of(repository.read_commit(oid))
        if original is not None and (original in parents_of or stands(original) != original):
            instead[oid] = original
    once = {
        oid: tuple(dict.fromkeys(stands(instead.get(parent, parent)) for parent in parents))
        for oid, parents in parents_of.items()
        if oid not in instead
    }
    return [(oid, once[oid]) for oid in TopologicalSorter(once).static_order() if oid in once]


def plan_of(repository: Repository, branch: str, head: Revision, epoch: int, cut: Cut) -> RotationPlan:
    """The plan in words and numbers. Raises GitFailed."""
    if cut.below is None:
        _, number, _ = repository.git("rev-list", "--count", head)
        return RotationPlan(branch, head, epoch, None, 0, int(number))
    found = count(repository, cut.below)
    return RotationPlan(
        branch,
        head,
        epoch,
        Revision(cut.below),
        found.anew,
        len(cut.kept),
        found.since,
        found.until,
        tuple(sorted(found.actors.items(), key=lambda each: (-each[1], each[0]))),
        found.total,
    )


def number_kept(repository: Repository, head: str, keep: Keep) -> int:
    """How many commits along first parents are to be kept at least: one always is."""
    numbers = [1, keep.writes or 0]
    if keep.since is not None:
        since = f"--since={int(keep.since.timestamp())}"
        numbers.append(int(repository.git("rev-list", "--first-parent", "--count", since, head)[1]))
    if keep.size is not None:
        numbers.append(_fitting(repository, head, keep.size))
    return max(numbers)


def _fitting(repository: Repository, head: str, size: int) -> int:
    """How many of the newest commits fit into so many bytes on disk, with the objects that only they have."""
    line = _lines(repository, "--first-parent", head)
    low, high = 1, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        hidden = [f"^{line[middle]}"] if middle < len(line) else []
        used = int(repository.git("rev-list", "--objects", "--disk-usage", head, *hidden)[1])
        low, high = (middle, high) if used <= size else (low, middle - 1)
    return low


def _lines(repository: Repository, *arguments: str) -> list[str]:
    _, output, _ = repository.git("rev-list", *arguments)
    return output.decode("ascii").splitlines()
