"""Large stores in little time: what gitctx would have made of many writes, put down in packs of many."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path

import gitctx
from benchmarks.workload import Update, entries, updates
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.store import Store
from gitctx.store.draft import Draft
from gitctx.values import Revision

_PER_PACK = 4000
_LINES_PER_PACK = 100_000
_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)

SHAPES = ("deep", "wide", "single folder")
_FOLDER = 250
_LEVELS = 6


def shaped(shape: str, count: int) -> Callable[[int], str]:
    """The keys of a store of so many, by number. `deep`: six levels, each as wide as it must be; `wide`: folders of
    250 keys; `single folder`: all in one.
    """
    width = 1
    while width**_LEVELS < count:
        width += 1

    def deep(number: int) -> str:
        places = (number // width**level % width for level in range(_LEVELS - 1, -1, -1))
        return "/".join(f"{letter}{place}" for letter, place in zip("abcdef", places, strict=True))

    ways: dict[str, Callable[[int], str]] = {
        "deep": deep,
        "wide": lambda number: f"topic-{number // _FOLDER:05}/note-{number:07}.md",
        "single folder": lambda number: f"notes/note-{number:07}.md",
    }
    return ways[shape]


def sow(path: Path, shape: str, count: int) -> Path:
    """Make a store of so many keys with one write; the values are 500 different ones, so that no two folders agree."""
    store = Store.open(gitctx.create(path))
    rng = random.Random(6)
    key = shaped(shape, count)
    blobs = [make_object("blob", b"value %d\n" % number) for number in range(500)]
    trees = Draft(store.repository)
    content = {key(number): rng.choice(blobs).oid for number in range(count)}
    root = layout.apply(trees, store.context.view().tree, content)
    head = store.context.head()
    commit = _commit(Update("", b"", "planner", "sow"), root, head, 0, rng)
    _publish(store, [*blobs, *trees.take_reachable(root), commit], head, Revision(commit.oid))
    return path


def age(path: Path, commits: int, keys: int = 400) -> Path:
    """Make a store with a long history in the shortest time: each commit changes one key, to another of two values."""
    store = Store.open(gitctx.create(path))
    rng = random.Random(7)
    names = list(entries(keys))
    values = [make_object("blob", b"value %d\n" % number) for number in range(2)]
    trees = Draft(store.repository)
    root = layout.apply(trees, store.context.view().tree, dict.fromkeys(names, values[1].oid))
    states: list[tuple[str, str]] = []
    for value in values:
        for name in names:
            root = layout.apply(trees, root, {name: value.oid})
            states.append((name, root))
    fresh = [*values, *(item for _, item in trees.fresh.values())]
    head = store.context.head()
    line = cycle(states)
    for start in range(0, commits, _LINES_PER_PACK):
        before = head
        for number in range(start, min(commits, start + _LINES_PER_PACK)):
            name, root = next(line)
            commit = _commit(Update(name, b"", "planner", "again"), root, head, number, rng)
            fresh.append(commit)
            head = Revision(commit.oid)
        _publish(store, fresh, before, head)
        fresh = []
    return path


def grow(store: Store, commits: int, *, keys: int, first: str) -> Revision:
    """Add commits of one change each to the context: `first` once, then other keys again and again. The new head.

    Only for a store that nobody else writes to.
    """
    repository = store.repository
    head, tree = store.context.head(), store.context.view().tree
    rng = random.Random(8)
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
            commit = _commit(update, root, head, done, rng)
            fresh += [blob, commit]
            head, tree = Revision(commit.oid), root
        _publish(store, [*fresh, *(item for _, item in trees.fresh.values())], start, head)
    return head


def _publish(store: Store, objects: Iterable[Object], before: str, after: str) -> None:
    different: Sequence[Object] = list({item.oid: item for item in objects}.values())
    store.repository.publish(
        different,
        store.context.ref,
        after,
        expected=before,
        who="gitctx <gitctx@localhost>",
        message="gitctx: grow",
        at_s=int(_STARTED_AT.timestamp()),
        durable=False,
    )


def _changes(keys: int, first: str) -> Iterator[Update]:
    yield Update(first, b"once\n", "planner", "the first")
    yield from updates(list(entries(keys)))


def _commit(update: Update, root: str, head: str, number: int, rng: random.Random) -> Object:
    at = _STARTED_AT + timedelta(seconds=number)
    trailers = [(messages.OP, "put"), (messages.ID, new_ulid(at, rng))]
    data = messages.encode_commit(
        tree=root,
        parents=[head],
        author=messages.actor_identity(update.actor, at),
        committer=messages.host_identity("localhost", at),
        message=messages.build_message(f"put {update.key}", update.message, trailers),
    )
    return make_object("commit", data)
