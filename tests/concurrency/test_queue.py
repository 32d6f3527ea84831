"""The writer queue between real processes: fair, freed by death, and only a hint."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.store import Store
from gitctx.store.queue import WriterQueue
from gitctx_testkit.audit import assert_written_once, ids_in_history
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children

PATIENCE_S = 0.4
BRISK = Config(durability="relaxed", queue_patience_s=PATIENCE_S, retry=RetryPolicy(deadline_s=20.0))
UNHURRIED = Config(durability="relaxed", queue_patience_s=30.0)


def opened(path: Path, actor: str, config: Config = UNHURRIED) -> Context:
    return Context(Store.open(path, config), actor=actor)


def holder(path: Path) -> Callable[[Talk], object]:
    """Takes its turn, says so, and writes when it is told to."""

    def run(talk: Talk) -> str:
        def hold() -> None:
            talk.say("holding")
            talk.hear()

        ctx = opened(path, "holder")
        failpoints.activate("queue.after_acquire", hold)
        return str(ctx.put("held", "by the holder", id="holder").id)

    return run


def waiter(path: Path, name: str, config: Config = UNHURRIED) -> Callable[[Talk], object]:
    """Says when it has its ticket, and then how long its write took."""

    def run(talk: Talk) -> float:
        ctx = opened(path, name, config)
        failpoints.activate("queue.after_ticket", lambda: talk.say("waiting"))
        began = time.monotonic()
        ctx.put(f"waiters/{name}", name, id=name)
        return time.monotonic() - began

    return run


def test_writers_are_served_in_the_order_in_which_they_came(store: Store) -> None:
    names = [f"w{number:02}" for number in range(12)]
    with ExitStack() as stack:
        (first,) = stack.enter_context(children(holder(store.path)))
        assert first.talk.hear() == "holding"
        waiting = []
        for name in names:
            (child,) = stack.enter_context(children(waiter(store.path, name)))
            assert child.talk.hear() == "waiting"
            waiting.append(child)
        first.talk.say("go on")
        for child in (first, *waiting):
            child.result()
    assert ids_in_history(store.path)[: len(names) + 1] == [*reversed(names), "holder"]


def test_a_holder_that_is_stopped_is_passed_over_and_loses_nothing_when_it_wakes(store: Store) -> None:
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        first.stop()
        with children(*(waiter(store.path, f"w{n}", BRISK) for n in range(5))) as running:
            for child in running:
                assert child.talk.hear() == "waiting"
            delays = [child.result() for child in running]
        first.talk.say("go on")
        first.resume()
        first.result()
    assert min(delays) > PATIENCE_S / 2, "they never waited for their turn"
    assert max(delays) < 10 * PATIENCE_S, "whoever stands still costs each of them their patience, and no more"
    assert_written_once(store.path, ["holder", *(f"w{number}" for number in range(5))])


def test_one_who_is_stopped_costs_those_who_come_later_nothing_more(store: Store) -> None:
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        first.stop()
        ctx = opened(store.path, "planner", BRISK)
        ctx.put("plan/a.md", "1")
        began = time.monotonic()
        for number in range(20):
            ctx.put("plan/a.md", f"{number}")
        assert time.monotonic() - began < PATIENCE_S * 3
        first.resume()


def test_a_waiter_that_is_stopped_or_killed_blocks_nobody_behind_it(store: Store) -> None:
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        functions = [waiter(store.path, f"w{number}", BRISK) for number in range(5)]
        with children(*functions) as running:
            for child in running:
                assert child.talk.hear() == "waiting"
            running[1].kill()
            running[2].stop()
            first.talk.say("go on")
            first.result()
            delays = [running[number].result() for number in (0, 3, 4)]
            running[2].resume()
            running[2].result()
    assert max(delays) < 10 * PATIENCE_S
    assert_written_once(store.path, ["holder", "w0", "w2", "w3", "w4"])
    assert "w1" not in ids_in_history(store.path)


@pytest.mark.parametrize(
    "failpoint", ["swap.after_lock", "write.before_swap", "write.before_objects", "swap.after_rename"]
)
def test_a_writer_stopped_in_the_middle_of_its_write_delays_others_and_loses_nothing(
    store: Store, failpoint: str
) -> None:
    def victim(talk: Talk) -> str:
        ctx = opened(store.path, "victim")

        def pause() -> None:
            talk.say("there")
            talk.hear()

        failpoints.activate(failpoint, pause)
        return str(ctx.put("victim", "late", id="victim").id)

    with children(victim) as (stopped,):
        assert stopped.talk.hear() == "there"
        stopped.stop()
        ctx = opened(store.path, "planner", BRISK)
        if failpoint == "swap.after_lock":
            stopped.talk.say("go on")
            with children(waiter(store.path, "w0", BRISK)) as (child,):
                assert child.talk.hear() == "waiting"
                time.sleep(PATIENCE_S * 2)
                stopped.resume()
                child.result()
        else:
            ctx.put("waiters/w0", "w0", id="w0")
            failpoints.deactivate()
            stopped.talk.say("go on")
            stopped.resume()
            if failpoint != "swap.after_rename":
                assert stopped.talk.hear() == "there", "it lost the race and tries again"
                stopped.talk.say("go on")
        stopped.result()
    assert_written_once(store.path, ["w0", "victim"])


def test_each_of_four_processes_gets_its_share(store: Store) -> None:
    """Without the queue one process made forty times the writes of another."""

    def write(_: Talk) -> int:
        ctx = opened(store.path, "agent")
        until = time.monotonic() + 0.8
        count = 0
        while time.monotonic() < until:
            ctx.put("plan/shared.md", f"{count}", strategy="last-write-wins")
            count += 1
        return count

    with children(*[write] * 4) as running:
        counts = [child.result() for child in running]
    assert min(counts) >= 0.5 * sum(counts) / len(counts)


def test_the_queue_file_may_be_garbage(store: Store) -> None:
    path = store.path / "gitctx" / "queue" / "context"
    ctx = opened(store.path, "planner", BRISK)
    for garbage in (b"", b"\xff" * 200, b"\0" * 3, b"x" * 16 + b"f" * 40 + b" " + b"f" * 40 + b"\n"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(garbage)
        began = time.monotonic()
        ctx.put("plan/a.md", garbage)
        ctx.put("plan/b.md", garbage)
        assert time.monotonic() - began < PATIENCE_S
    assert git(store.path, "rev-list", "--count", "context") == "9"


def test_a_queue_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with WriterQueue(tmp_path / "file" / "queue").turn(1.0) as turn:
        assert not turn.held
        assert not turn.alone
        assert turn.note() == (None, None)
        turn.leave_note("a" * 40, None)
