"""Sixteen real processes write at once: what was acknowledged is what is there, once each."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import PreconditionFailed, WriteRejected
from gitctx.store import Store
from gitctx.values import Durability
from gitctx_testkit.audit import assert_written_once, ids_in_history
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git
from gitctx_testkit.processes import together

PROCESSES = 16


def opened(path: Path, actor: str, durability: Durability = "relaxed", **more: object) -> Context:
    return Context(Store.open(path, Config(durability=durability, **more)), actor=actor)  # type: ignore[arg-type]


def commits(path: Path) -> int:
    return int(git(path, "rev-list", "--count", "context"))


def put_each(path: Path, name: str, count: int, key: Callable[[int], str], durability: Durability) -> list[str]:
    ctx = opened(path, name, durability)
    return [str(ctx.put(key(number), f"{name} {number}").id) for number in range(count)]


def check_put(path: Path, per_process: int, key: Callable[[int, int], str], durability: Durability) -> None:
    before = commits(path)
    acknowledged = together(
        [
            lambda who=who: put_each(path, f"agent-{who}", per_process, lambda n: key(who, n), durability)  # type: ignore[misc]
            for who in range(PROCESSES)
        ]
    )
    ids = [id for each in acknowledged for id in each]
    assert len(ids) == PROCESSES * per_process
    assert_written_once(path, ids)
    assert commits(path) == before + len(ids)


@pytest.mark.parametrize("writes", few_or_many(4, 300))
@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_sixteen_processes_on_one_key_lose_no_write_and_make_none_twice(
    store: Store, durability: Durability, writes: int
) -> None:
    check_put(store.path, writes, lambda who, number: "plan/shared.md", durability)


@pytest.mark.parametrize("writes", few_or_many(4, 300))
@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_sixteen_processes_on_many_keys_lose_no_write_and_no_key(
    store: Store, durability: Durability, writes: int
) -> None:
    check_put(store.path, writes, lambda who, number: f"agent-{who}/{number}.md", durability)
    assert len(list(opened(store.path, "reader").list())) == PROCESSES * writes


@pytest.mark.parametrize("rounds", few_or_many(5, 200))
def test_sixteen_counters_add_up(store: Store, rounds: int) -> None:
    """`update` reads and writes in one step: no increment may be built on a value that was gone already."""

    def count(who: int) -> None:
        ctx = opened(store.path, f"agent-{who}")
        for number in range(rounds):
            ctx.update("counter.json", lambda value: {"count": (value or {"count": 0})["count"] + 1})
            ctx.update(f"counter/{number % 3}.json", lambda value: (value or 0) + 1)

    together([lambda who=who: count(who) for who in range(PROCESSES)])  # type: ignore[misc]
    reader = opened(store.path, "reader")
    assert reader.get("counter.json").json() == {"count": PROCESSES * rounds}
    assert sum(reader.get(f"counter/{number}.json").json() for number in range(3)) == PROCESSES * rounds


def test_counters_guarded_by_etags_add_up(store: Store) -> None:
    opened(store.path, "planner").put("counter.json", 0)

    def count(who: int) -> int:
        ctx = opened(store.path, f"agent-{who}")
        done = lost = 0
        while done < 5:
            entry = ctx.get("counter.json")
            try:
                ctx.put("counter.json", entry.json() + 1, if_match=entry.etag)
                done += 1
            except PreconditionFailed as error:
                assert error.changed == "no"  # noqa: PT017
                lost += 1
        return lost

    lost = together([lambda who=who: count(who) for who in range(8)])  # type: ignore[misc]
    assert opened(store.path, "reader").get("counter.json").json() == 40
    assert commits(store.path) == 1 + 1 + 40
    assert sum(lost) > 0, "there was no race at all"


def test_appends_of_many_keep_every_line(store: Store) -> None:
    def append(who: int) -> None:
        ctx = opened(store.path, f"agent-{who}")
        for number in range(4):
            ctx.append("log.md", f"{who} {number}")

    together([lambda who=who: append(who) for who in range(PROCESSES)])  # type: ignore[misc]
    lines = opened(store.path, "reader").get("log.md").text().splitlines()
    assert sorted(lines) == sorted(f"{who} {number}" for who in range(PROCESSES) for number in range(4))
    for who in range(PROCESSES):
        assert [line for line in lines if line.startswith(f"{who} ")] == [f"{who} {number}" for number in range(4)]


def test_without_a_queue_compare_and_swap_alone_loses_nothing(store: Store) -> None:
    """The queue is a hint. With no patience at all, every write races."""
    patient = RetryPolicy(deadline_s=60.0)

    def write(who: int) -> list[str]:
        ctx = opened(store.path, f"agent-{who}", queue_patience_s=0.0, retry=patient)
        ids = []
        for number in range(6):
            ids.append(str(ctx.put(f"plan/{number}.md", f"{who}").id))
            ids.append(str(ctx.update("counter.json", lambda value: (value or 0) + 1).id))
        return ids

    acknowledged = together([lambda who=who: write(who) for who in range(8)])  # type: ignore[misc]
    assert_written_once(store.path, [id for each in acknowledged for id in each])
    assert opened(store.path, "reader").get("counter.json").json() == 48


def test_writers_that_give_up_have_written_nothing(store: Store) -> None:
    """A spent retry policy is a promise: this write hasn't happened and won't."""

    def write(who: int) -> tuple[list[str], list[str]]:
        rng = random.Random(who)
        ctx = opened(
            store.path, f"agent-{who}", queue_patience_s=0.0, retry=RetryPolicy(deadline_s=0.0, fixed_s=(0.0,)), rng=rng
        )
        done, refused = [], []
        for number in range(12):
            id = f"{who}-{number}"
            try:
                ctx.put("plan/shared.md", id, id=id)
                done.append(id)
            except WriteRejected as error:
                assert error.retryable  # noqa: PT017
                refused.append(id)
        return done, refused

    outcomes = together([lambda who=who: write(who) for who in range(8)])  # type: ignore[misc]
    found = ids_in_history(store.path)
    assert_written_once(store.path, [id for done, _ in outcomes for id in done])
    assert not [id for _, refused in outcomes for id in refused if id in found]


def test_the_same_id_from_many_processes_happens_once(store: Store) -> None:
    """Whoever repeats a call because its outcome was unknown may do so while the first one is still at it."""

    def write(who: int) -> list[tuple[str, bool]]:
        ctx = opened(store.path, "planner")
        answers = [ctx.append("log.md", f"line {number}", id=f"step-{number}") for number in range(8)]
        return [(str(written.revision), written.changed) for written in answers]

    answers = together([lambda who=who: write(who) for who in range(8)])  # type: ignore[misc]
    assert len({tuple(each) for each in answers}) == 1, "all of them are told of the same commits"
    assert opened(store.path, "reader").get("log.md").text() == "".join(f"line {number}\n" for number in range(8))
    assert commits(store.path) == 1 + 8


@pytest.mark.soak
@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_sixteen_processes_for_long(store: Store, durability: Durability) -> None:
    check_put(store.path, 1000, lambda who, number: f"shared/{number % 7}.md", durability)
