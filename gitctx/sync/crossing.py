"""Two histories of one store without a commit in common, because one of them was rotated, or each by itself.

The side of the later epoch stays as it is (of two of one epoch the one that the remote has). What the other side has
and this one hasn't is made anew on it: told apart by the original revisions that kept writes name. So nothing that was
squashed comes back, and no write is there twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gitctx.errors import ObjectMissing
from gitctx.repository import Repository
from gitctx.store.rotated import epoch_of, is_base, original_of


@dataclass(frozen=True, slots=True)
class Crossing:
    """What has to cross over from the `older` side to the `newer` one.

    `writes` are the commits to be made anew, oldest first, each with its parents; `below` are those of their parents
    that aren't among them; `standing` maps a revision of the older side to the one that stands for it on the newer.
    """

    newer: str
    older: str
    epoch: int
    writes: Sequence[tuple[str, tuple[str, ...]]] = ()
    below: Sequence[str] = ()
    standing: Mapping[str, str] = field(default_factory=dict)


def find_crossing(repository: Repository, local: str, theirs: str, met: str | None) -> Crossing | None:
    """How two histories cross; None if neither was rotated, or nothing tells where they parted. `met` is the head that
    both sides last had alike, as far as is known. Raises GitFailed, ObjectMissing.
    """
    epochs = {head: epoch_of(repository, head) for head in (local, theirs)}
    if not any(epochs.values()):
        return None
    newer, older = (local, theirs) if epochs[local] > epochs[theirs] else (theirs, local)
    standing, anchor = _originals(repository, newer)
    anchor = anchor or met
    if anchor is None:
        return None
    writes = _writes_of(repository, older, anchor, standing)
    inside = {oid for oid, _ in writes}
    below = list(dict.fromkeys(parent for _, parents in writes for parent in parents if parent not in inside))
    stands = {oid: found for oid in below if (found := standing.get(_identity(repository, oid))) is not None}
    return Crossing(newer, older, epochs[newer], writes, below, stands)


def _originals(repository: Repository, head: str) -> tuple[dict[str, str], str | None]:
    """What stands for which original in a history; and of the originals, with those that its base stands for, the
    newest one that is here: all that is older crossed over long ago.
    """
    standing: dict[str, str] = {}
    anchor: str | None = None
    for revision, commit in repository.walk(head):
        original = original_of(commit)
        if original is None:
            standing[revision] = revision
            continue
        if anchor is None and repository.has(original):
            anchor = original
        if not is_base(commit):
            standing[original] = revision
    return standing, anchor


def _writes_of(
    repository: Repository, older: str, anchor: str, standing: Mapping[str, str]
) -> list[tuple[str, tuple[str, ...]]]:
    """The commits of the older side that the newer one neither has nor stands for, oldest first."""
    _, output, _ = repository.git("rev-list", "--topo-order", "--reverse", "--parents", older, f"^{anchor}")
    rows = [line.split() for line in output.decode("ascii").splitlines()]
    found = []
    for oid, *parents in rows:
        commit = repository.read_commit(oid)
        identity = original_of(commit) or oid
        if identity in standing or is_base(commit):
            continue
        if identity != oid and repository.has(identity) and repository.is_ancestor(identity, anchor):
            continue
        found.append((oid, tuple(parents)))
    return found


def _identity(repository: Repository, oid: str) -> str:
    try:
        return original_of(repository.read_commit(oid)) or oid
    except ObjectMissing:
        return oid
