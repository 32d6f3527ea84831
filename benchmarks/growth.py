"""A long history in little time: the commits that gitctx would have made, put down in packs of many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from benchmarks.workload import Update, entries, updates
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.store import Store
from gitctx.store.draft import Draft
from gitctx.values import Revision

_PER_PACK = 4000
_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def grow(store: Store, commits: int, *, keys: int, first: str) -> Revision:
    """Add commits of one change each to the context: `first` once, then other keys again and again. The new head.

    Only for a store that nobody else writes to.
    """
    repository = store.repository
    head, tree = store.context.head(), store.context.view().tree
    line = _changes(keys, first)
    done = 0
    while done < commits:
        trees = Draft(repository)
        fresh: list[Object] = []
        start = head
        for update in islice(line, min(_PER_PACK, commits - done)):
            done += 1
            blob = make_object("blob", update.value)
            root = layout.apply(trees, tree, {update.key: blob.oid})
            commit = _commit(store, update, root, head, done)
            fresh += [blob, commit]
            head, tree = Revision(commit.oid), root
        objects = {item.oid: item for item in [*fresh, *(item for _, item in trees.fresh.values())]}
        repository.publish(
            list(objects.values()),
            store.context.ref,
            head,
            expected=start,
            who="gitctx <gitctx@localhost>",
            message="gitctx: grow",
            at_s=int(_STARTED_AT.timestamp()),
            durable=False,
        )
    return head


def _changes(keys: int, first: str) -> Iterator[Update]:
    yield Update(first, b"once\n", "planner", "the first")
    yield from updates(list(entries(keys)))


def _commit(store: Store, update: Update, root: str, head: str, number: int) -> Object:
    at = _STARTED_AT + timedelta(seconds=number)
    trailers = [(messages.OP, "put"), (messages.ID, new_ulid(at, store.config.rng))]
    data = messages.encode_commit(
        tree=root,
        parents=[head],
        author=messages.actor_identity(update.actor, at),
        committer=messages.host_identity("localhost", at),
        message=messages.build_message(f"put {update.key}", update.message, trailers),
    )
    return make_object("commit", data)
