"""One Context shared by threads, and used on after a fork."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store, bases
from gitctx.store.bases import Bases
from gitctx.values import EntryEtag, Etag
from gitctx_testkit.audit import assert_written_once
from gitctx_testkit.processes import Talk, children

RELAXED = Config(durability="relaxed")


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def shared(store: Store) -> Context:
    return Context(Store.open(store.path, RELAXED), actor="planner")


def test_threads_that_share_a_context_lose_nothing(store: Store) -> None:
    ctx = shared(store)

    def write(who: int) -> list[str]:
        ids = []
        for number in range(12):
            ids.append(str(ctx.put(f"plan/{number % 3}.md", f"{who} {number}").id))
            ids.append(str(ctx.update("counter.json", lambda value: (value or 0) + 1).id))
            assert ctx.get("counter.json").json() > 0
            assert len(list(ctx.list("plan/"))) <= 3
        return ids

    with ThreadPoolExecutor(8) as pool:
        acknowledged = [id for each in pool.map(write, range(8)) for id in each]
    assert_written_once(store.path, acknowledged)
    assert ctx.get("counter.json").json() == 96


@pytest.mark.usefixtures("eager_switching")
def test_what_was_last_seen_is_kept_right_by_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "_KEPT", 3)
    seen = Bases(tmp_path / "seen")
    stop = threading.Event()

    def use(who: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            seen.remember(f"key-{who}-{number % 5}", Etag("a" * 40))
            seen.remember_all([EntryEtag(f"{who}-{n}", None) for n in range(120)])
            seen.known([f"key-{who}-{number % 5}"])

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(use, who) for who in range(4)]
        timer = threading.Timer(0.5, stop.set)
        timer.start()
        for each in running:
            each.result()
    seen.remember("shared", Etag("b" * 40))
    assert Bases(tmp_path / "seen").known(["shared"]) == {"shared": "b" * 40}, "sharing was switched off for good"


def test_a_context_that_was_used_before_a_fork_works_in_parent_and_children(store: Store) -> None:
    ctx = shared(store)
    ctx.put("counter.json", 0)
    ctx.get("counter.json")

    def child(_: Talk) -> list[str]:
        return [str(ctx.update("counter.json", lambda value: value + 1).id) for _ in range(10)]

    with children(*[child] * 4) as running:
        mine = [str(ctx.update("counter.json", lambda value: value + 1).id) for _ in range(10)]
        theirs = [id for each in running for id in each.result()]
    assert ctx.get("counter.json").json() == 50
    assert_written_once(store.path, [*mine, *theirs])


def test_a_fork_while_threads_write_deadlocks_neither_side(store: Store) -> None:
    ctx = shared(store)
    stop = threading.Event()

    def busy(who: int) -> int:
        count = 0
        while not stop.is_set():
            ctx.put(f"busy/{who}.md", f"{count}")
            list(ctx.list())
            count += 1
        return count

    def child(_: Talk) -> str:
        ctx.put("child.md", "written")
        return ctx.get("child.md").text()

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(busy, who) for who in range(3)]
        try:
            for _ in range(10):
                with children(child) as (forked,):
                    assert forked.result(30) == "written"
        finally:
            stop.set()
        assert all(each.result() for each in running)


def test_a_forked_child_that_lives_on_holds_no_lock_of_its_killed_parent(store: Store) -> None:
    """Worker pools are forked at any moment, also while another thread writes; then the parent is killed."""

    def parent(talk: Talk) -> None:
        ctx = shared(store)

        def fork_and_die() -> None:
            if os.fork() == 0:
                talk.say(os.getpid())
                threading.Event().wait(60)
                os._exit(0)
            threading.Event().wait(60)

        failpoints.activate("swap.after_lock", fork_and_die)
        ctx.put("victim.md", "1")

    with children(parent) as (running,):
        orphan = running.talk.hear()
        running.kill()
        try:
            assert (store.path / "refs" / "heads" / "context.lock").exists()
            Context(Store.open(store.path, Config(queue_patience_s=0.2)), actor="survivor").put("after.md", "1")
        finally:
            os.kill(orphan, 9)


def test_different_stores_in_one_process_do_not_disturb_each_other(tmp_path: Path) -> None:
    contexts = [Context(Store.create(tmp_path / f"{n}.git", RELAXED), actor="planner") for n in range(3)]
    for number in range(5):
        for which, ctx in enumerate(contexts):
            ctx.put("plan/a.md", f"{which} {number}")
    assert [ctx.get("plan/a.md").text() for ctx in contexts] == ["0 4", "1 4", "2 4"]
