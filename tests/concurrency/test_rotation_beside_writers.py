"""Rotations in a loop beside writers, readers and watchers: every write is in history or counted by a base, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import RetriesExhausted
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, ids_in_history
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children, together
from gitctx_testkit.rotating import counted, fill, originals, revisions

PATIENT = Config(durability="relaxed", retry=RetryPolicy(deadline_s=60.0))


def opened(path: Path, who: str) -> Context:
    return Context(Store.open(path, PATIENT), actor=who)


def write(path: Path, who: int, count: int) -> Callable[[Talk], list[str]]:
    def run(_: Talk) -> list[str]:
        ctx = opened(path, f"agent-{who}")
        ids = []
        for number in range(count):
            ids.append(str(ctx.append(f"log/{who}", f"{who} {number}").id))
            ids.append(str(ctx.put("shared", f"{who} {number}").id))
        return ids

    return run


def rotate(path: Path, keep: int) -> Callable[[Talk], tuple[int, int]]:
    """Rotates until it is told to stop: how often, and how much it squashed."""

    def run(talk: Talk) -> tuple[int, int]:
        ctx, rounds, squashed = opened(path, "rotator"), 0, 0
        while not talk.heard():
            try:
                (done, _) = ctx.rotation.apply(keep=keep)
            except RetriesExhausted:
                continue
            if done.changed:
                rounds += 1
                squashed += done.plan.squashed
        return rounds, squashed

    return run


def read(path: Path) -> Callable[[Talk], int]:
    def run(talk: Talk) -> int:
        ctx, rounds = opened(path, "reader"), 0
        while not talk.heard():
            head = ctx.head
            assert ctx.get("early", at=head).text() == "x"
            last = ctx.last_write("early")
            assert last is not None
            assert last.actor == "planner"
            assert [each.id for each in ctx.log(limit=5)]
            rounds += 1
        return rounds

    return run


def watch(path: Path, since: str, lines: int) -> Callable[[Talk], list[tuple[str, str | None]]]:
    """What a watch tells of the logs, until all their lines have been seen."""

    def run(_: Talk) -> list[tuple[str, str | None]]:
        ctx, told, last = opened(path, "watcher"), [], dict[str, int]()
        for change in ctx.watch("log/", since=since, timeout_s=120):
            told.append((change.key, change.etag))
            last[change.key] = len(ctx.store.repository.read_blob(str(change.etag)).splitlines())
            if sum(last.values()) == lines:
                break
        return told

    return run


@pytest.mark.parametrize("count", few_or_many(15, 300))
def test_every_write_beside_rotations_is_in_history_or_counted_and_watched_once(store: Store, count: int) -> None:
    writers = 8
    ctx = Context(store, actor="planner")
    start = ctx.put("early", "x").revision
    before = len(revisions(store.path))
    with children(rotate(store.path, 7), rotate(store.path, 12), read(store.path)) as beside:
        with children(
            watch(store.path, start, writers * count), *(write(store.path, who, count) for who in range(writers))
        ) as running:
            watcher, *writing = running
            ids = [id for child in writing for id in child.result(600)]
            told = watcher.result(600)
        for child in beside:
            child.talk.say("stop")
        (first, one), (second, other), rounds = (child.result() for child in beside)
    assert first + second > 1
    assert rounds
    assert len(ids) == len(set(ids)) == 2 * writers * count
    everything = before + len(ids)
    assert len(revisions(store.path)) - 1 + counted(store.path) == everything
    assert len(revisions(store.path)) - 1 + one + other == everything
    in_history = Counter(ids_in_history(store.path))
    assert max(in_history.values()) == 1
    kept = set(ids_in_history(store.path, "--glob=refs/gitctx/rotated/*/context"))
    assert set(ids) <= kept | set(in_history)
    for who in range(writers):
        assert ctx.get(f"log/{who}").text() == "".join(f"{who} {number}\n" for number in range(count))
    assert max(Counter(told).values()) == 1
    assert git(store.path, "rev-list", "--merges", "context") == ""
    assert_sound(store.path)


def test_of_several_who_rotate_at_once_one_wins_and_the_others_find_nothing(store: Store) -> None:
    ctx = Context(Store.open(store.path, PATIENT), actor="planner")
    fill(ctx, 60)
    old = revisions(store.path)

    def rotate_once() -> bool:
        return opened(store.path, "rotator").rotation.apply(keep=10)[0].changed

    assert together([rotate_once] * 4).count(True) == 1
    assert originals(store.path) == [*old[:10], old[10]]
    assert git(store.path, "rev-parse", "refs/gitctx/rotated/1/context") == old[0]
    assert git(store.path, "for-each-ref", "--format=%(refname)", "refs/gitctx/rotated").count("\n") == 0
