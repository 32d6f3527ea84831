"""What the settings say about rotating by itself: which branches are due, what they keep, how long grace lasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from gitctx.repository.remotes import Remotes
from gitctx.rotation.planning import Keep, number_kept
from gitctx.store import Branch, Store
from gitctx.store.rotated import ROTATED, rotated_heads

LEAST_AGE = timedelta(minutes=10)
"""By itself a rotation squashes nothing younger."""


def branches_of(store: Store) -> Sequence[Branch]:
    """The branches that rotate."""
    return (store.context, store.sessions)


def grace_of(store: Store) -> timedelta:
    """So long an old head stays after a rotation: the setting `maintenance.grace_s`."""
    return timedelta(seconds=store.context.view().settings().maintenance_grace_s)


def branches_due(store: Store) -> Sequence[tuple[Branch, Keep]]:
    """The branches whose history is more than twice what the settings keep, with what is kept of each; none if the
    settings don't let it go on by itself, or a remote takes no rewritten history. Raises GitFailed, StorageError.
    """
    policy = store.context.view().settings().rotation
    if not policy.auto or Remotes(store.repository).any_without_rotation():
        return ()
    since = store.config.clock() - max(timedelta(days=policy.keep_days), LEAST_AGE)
    keep = Keep(policy.keep_writes, since)
    return [(branch, keep) for branch in branches_of(store) if _is_due(store, branch.head(), policy.keep_writes, keep)]


def has_old_heads(store: Store) -> bool:
    """Whether the grace of a head that a rotation put aside has ended. Raises StorageError."""
    grace, now = grace_of(store), store.config.clock()
    return any(
        now - since > grace
        for branch in branches_of(store)
        for epoch in rotated_heads(store.repository, branch.name)
        if (since := put_aside(store, f"{ROTATED}{epoch}/{branch.name}")) is not None
    )


def put_aside(store: Store, ref: str) -> datetime | None:
    """When an old head was put aside, as its reflog tells; None if that doesn't."""
    at_s = store.repository.moved_at_s(ref)
    return datetime.fromtimestamp(at_s, UTC) if at_s is not None else None


def _is_due(store: Store, head: str, writes: int, keep: Keep) -> bool:
    most = 2 * writes
    if int(store.repository.git("rev-list", "--count", f"--max-count={most + 1}", head)[1]) <= most:
        return False
    count = int(store.repository.git("rev-list", "--count", head)[1])
    return count > 2 * number_kept(store.repository, head, keep)
