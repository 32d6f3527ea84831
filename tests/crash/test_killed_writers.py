"""kill -9 at every named point of a write, and at random under load."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, assert_written_once, ids_in_history
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.processes import ChildDied, Talk, children, die

AT_ONCE_S = 2.0
"""Less than the queue's patience (2.5 s), and far less than the age at which a foreign lock may be cleared (10 s)."""
RELAXED = Config(durability="relaxed")
ALONE = [name for name in failpoints.NAMES if not name.startswith(("mail.", "serve.", "compact.", "recover."))]
"""The points that a writer passes when nobody else is there."""


def write(path: Path, *, large: bool, config: Config | None = None) -> None:
    """A write of one key, or of so many that they go into a pack."""
    with Context(Store.open(path, config), actor="victim").batch("killed", id="the-write") as batch:
        for number in range(30 if large else 1):
            batch.put(f"victim/{number}", f"value {number}")


def die_writing(path: Path, failpoint: str) -> None:
    """Run the write in a process that is killed at that point."""

    def victim(_: Talk) -> None:
        failpoints.activate(failpoint, die)
        write(path, large=failpoint.startswith("pack."))

    with children(victim) as (child,):
        child.wait_killed()


@pytest.mark.parametrize("failpoint", ALONE)
def test_after_a_kill_the_next_write_works_at_once_and_the_killed_one_is_whole_or_absent(
    store: Store, failpoint: str
) -> None:
    large = failpoint.startswith("pack.")
    survivor = Context(Store.open(store.path, RELAXED), actor="survivor")
    survivor.put("survivor/before", "1")
    die_writing(store.path, failpoint)
    lock = store.path / "refs" / "heads" / "context.lock"
    assert lock.exists() == (failpoint in ("swap.after_lock", "swap.after_reflog"))
    began = time.monotonic()
    survivor.put("survivor/after", "2")
    assert time.monotonic() - began < AT_ONCE_S
    assert_sound(store.path)
    happened = "the-write" in ids_in_history(store.path)
    keys = [info.key for info in survivor.list("victim/")]
    assert len(keys) == ((30 if large else 1) if happened else 0)
    write(store.path, large=large)
    assert ids_in_history(store.path).count("the-write") == 1
    assert survivor.get("victim/0").text() == "value 0"
    assert not lock.exists()


@pytest.mark.parametrize("failpoint", ["swap.after_lock", "swap.after_reflog", "swap.after_rename"])
def test_a_kill_in_the_swap_without_the_working_folder_is_cleared_by_age_only(store: Store, failpoint: str) -> None:
    """Without `gitctx/` our lock can't be told from git's: the write then has to wait, and still loses nothing."""
    die_writing(store.path, failpoint)
    shutil.rmtree(store.path / "gitctx")
    lock = store.path / "refs" / "heads" / "context.lock"
    if lock.exists():
        os.utime(lock, (time.time() - 11, time.time() - 11))
    Context(Store.open(store.path), actor="survivor").put("survivor/after", "2")
    write(store.path, large=False)
    assert ids_in_history(store.path).count("the-write") == 1


def test_a_writer_killed_in_front_of_many_waiters_delays_none_of_them(store: Store) -> None:
    def victim(talk: Talk) -> None:
        def hold() -> None:
            talk.say("holding")
            talk.hear()

        failpoints.activate("queue.after_acquire", hold)
        Context(Store.open(store.path), actor="victim").put("victim", "never")

    def waiter(talk: Talk) -> float:
        ctx = Context(Store.open(store.path, RELAXED), actor="waiter")
        failpoints.activate("queue.after_ticket", lambda: talk.say("waiting"))
        began = time.monotonic()
        ctx.add("waiter/", "done")
        return time.monotonic() - began

    with children(victim) as (holder,):
        assert holder.talk.hear() == "holding"
        with children(*[waiter] * 6) as waiters:
            for child in waiters:
                assert child.talk.hear() == "waiting"
            waiters[2].kill()
            holder.kill()
            delays = [child.result() for child in waiters if child is not waiters[2]]
    assert max(delays) < AT_ONCE_S
    assert len(list(Context(store, actor="reader").list("waiter/"))) == 5


def _hammer(path: Path, name: str) -> Callable[[Talk], None]:
    def run(talk: Talk) -> None:
        ctx = Context(Store.open(path, RELAXED), actor=name)
        number = 0
        while True:
            id = f"{name}-{number}"
            talk.say(("trying", id))
            if number % 5 == 4:
                with ctx.batch(id=id) as batch:
                    for part in range(30):
                        batch.put(f"{name}/{part}", f"{number}")
            else:
                ctx.put(f"shared/{number % 3}", id, id=id)
            talk.say(("acknowledged", id))
            number += 1

    return run


def _kill_at_random(path: Path, kills: int, rng: random.Random) -> None:
    acknowledged: list[str] = []
    tried: list[str] = []
    for round_number in range(kills):
        names = [f"r{round_number}w{number}" for number in range(3)]
        with children(*(_hammer(path, name) for name in names)) as running:
            for child in running:
                child.talk.hear()
            time.sleep(rng.uniform(0.0, 0.04))
            for child in rng.sample(running, 3):
                child.kill()
            for name, child in zip(names, running, strict=True):
                tried.append(f"{name}-0")
                try:
                    while True:
                        what, id = child.talk.hear()
                        (acknowledged if what == "acknowledged" else tried).append(id)
                except ChildDied:
                    pass
    assert_written_once(path, acknowledged)
    found = ids_in_history(path)
    ctx = Context(Store.open(path, RELAXED), actor="survivor")
    for id in set(tried) - set(acknowledged):
        assert found.count(id) <= 1
    began = time.monotonic()
    ctx.put("after", "all")
    assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize("kills", few_or_many(12, 400))
def test_random_kills_under_load_lose_nothing_that_was_acknowledged(store: Store, kills: int) -> None:
    _kill_at_random(store.path, kills, random.Random(kills))
