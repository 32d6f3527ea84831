"""A program that keeps its turn for others: who waits is served, nobody starves, and its end loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store, serving
from gitctx_testkit.audit import assert_sound, assert_written_once, ids_in_history
from gitctx_testkit.processes import Child, ChildDied, Talk, children, die, wait_until

pytestmark = pytest.mark.parametrize("grouping", ["together"], indirect=True)

PATIENT = Config(durability="relaxed", queue_patience_s=30.0)
ROUNDS = ("serve.after_begin", "write.before_objects", "pack.between_names", "swap.after_rename", "serve.before_answer")


def opened(path: Path, actor: str) -> Context:
    return Context(Store.open(path, PATIENT), actor=actor)


def serves() -> bool:
    return threading.current_thread().name == "gitctx-serving"


def server(path: Path, *, then: Callable[[Talk], None], writes: int = 3) -> Callable[[Talk], None]:
    """Has written often enough to serve on; takes its turn, waits until others have asked, and goes on with `then`."""

    def run(talk: Talk) -> None:
        ctx = opened(path, "server")
        for number in range(writes):
            ctx.put("server", f"{number}")

        def hold() -> None:
            failpoints.deactivate()
            then(talk)
            talk.say("holding")
            talk.hear()

        failpoints.activate("queue.after_acquire", hold)
        ctx.put("server", "x", id="server")
        talk.say("done")
        talk.hear()

    return run


def asking(path: Path, name: str, times: int = 1) -> Callable[[Talk], list[str]]:
    def run(talk: Talk) -> list[str]:
        ctx = opened(path, name)
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        ids = [str(ctx.append(f"log/{name}", "0").id)]
        failpoints.deactivate()
        talk.say("going on")
        return ids + [str(ctx.append(f"log/{name}", f"{number}").id) for number in range(1, times)]

    return run


def let_go_on(serving: Child[None], running: Sequence[Child[list[str]]]) -> list[str]:
    """Let the server go on once all have asked; the ids that they wrote."""
    for child in running:
        assert child.talk.hear() == "asked"
    serving.talk.say("go on")
    ids: list[str] = []
    for child in running:
        assert child.talk.hear() == "going on"
        ids += child.result()
    return ids


def test_those_who_go_on_asking_are_served_by_a_thread_of_one_who_is_done(store: Store) -> None:
    """The server's caller has its answer and does nothing more; the others' next writes are made by its thread."""

    def count_rounds(talk: Talk) -> None:
        failpoints.activate("write.after_swap", lambda: talk.say("served") if serves() else None)

    with children(server(store.path, then=count_rounds)) as (first,):
        assert first.talk.hear() == "holding"
        with children(*(asking(store.path, f"a{number}", 5) for number in range(3))) as running:
            ids = let_go_on(first, running)
        heard = {first.talk.hear()}
        while first.talk.heard():
            heard.add(first.talk.hear())
        first.talk.say("end")
    assert heard == {"done", "served"}
    assert_written_once(store.path, ids)


def test_one_that_only_passes_by_serves_nobody_on(store: Store) -> None:
    """A command ends right after its write: it must not take a turn along that it can't use."""

    def look(talk: Talk) -> None:
        failpoints.activate("write.after_swap", lambda: talk.say("served on") if serves() else None)

    with children(server(store.path, then=look, writes=0)) as (first,):
        assert first.talk.hear() == "holding"
        with children(asking(store.path, "a", 3), asking(store.path, "b", 3)) as running:
            let_go_on(first, running)
        assert first.talk.hear() == "done"
        assert not first.talk.heard()
        first.talk.say("end")


def test_whoever_has_to_make_its_own_write_gets_its_turn_between_those_who_are_served(store: Store) -> None:
    def put(number: int) -> Callable[[Talk], None]:
        def run(_: Talk) -> None:
            ctx = opened(store.path, f"a{number}")
            for turn in range(60):
                ctx.put(f"put/{number}", f"{turn}")

        return run

    def update(_: Talk) -> None:
        ctx = opened(store.path, "counter")
        for _number in range(15):
            ctx.update("count.json", lambda value: (value or 0) + 1)

    with children(*(put(number) for number in range(3)), update, update) as running:
        for child in running:
            child.result()
    assert Context(store, actor="reader").get("count.json").json() == 30


@pytest.mark.parametrize("failpoint", ROUNDS)
def test_a_thread_that_serves_is_killed_with_its_program_and_every_write_happens_once(
    store: Store, failpoint: str
) -> None:
    def die_while_serving(_: Talk) -> None:
        failpoints.activate(failpoint, lambda: die() if serves() else None)

    with children(server(store.path, then=die_while_serving)) as (killed,):
        assert killed.talk.hear() == "holding"
        with children(*(asking(store.path, f"a{number}", 4) for number in range(3))) as running:
            ids = let_go_on(killed, running)
        try:
            while killed.talk.hear() != "done":
                pass
        except ChildDied:
            pass
        killed.wait_killed()
    assert_written_once(store.path, [*ids, "server"])
    for number in range(3):
        assert Context(store, actor="reader").get(f"log/a{number}").text() == "0\n1\n2\n3\n"
    assert_sound(store.path)


def test_a_program_that_ends_finishes_the_round_it_makes_for_others(store: Store) -> None:
    script = """
import sys
from pathlib import Path
from gitctx import Config, Context
from gitctx.store import Store
ctx = Context(Store.open(Path(sys.argv[1]), Config(durability="relaxed", queue_patience_s=30.0)), actor=sys.argv[2])
for number in range(25):
    ctx.append("log.md", f"{sys.argv[2]}-{number}")
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(store.path), f"a{number}"], stderr=subprocess.PIPE, text=True
        )
        for number in range(4)
    ]
    for process in running:
        _, talk = process.communicate(timeout=60)
        assert (process.returncode, talk) == (0, "")
    lines = Context(store, actor="reader").get("log.md").text().splitlines()
    assert sorted(lines) == sorted(f"a{who}-{number}" for who in range(4) for number in range(25))


def test_a_forked_child_of_a_program_that_serves_writes_by_itself(store: Store) -> None:
    """The thread that holds the turn doesn't exist in the child, and its turn isn't the child's."""

    def fork(talk: Talk) -> None:
        def once() -> None:
            if serves():
                failpoints.deactivate()
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        Context(Store.open(store.path, PATIENT), actor="child").put("child", "x", id="child")
                        status = 0
                    finally:
                        os._exit(status)
                talk.say(child)

        failpoints.activate("write.after_swap", once)

    def reap(talk: Talk) -> None:
        run = server(store.path, then=fork)
        run(talk)

    with children(reap) as (parent,):
        assert parent.talk.hear() == "holding"
        with children(asking(store.path, "a", 6), asking(store.path, "b", 6)) as running:
            let_go_on(parent, running)
        heard = [parent.talk.hear()]
        while parent.talk.heard():
            heard.append(parent.talk.hear())
        wait_until(lambda: "child" in ids_in_history(store.path))
        parent.talk.say("end")
    assert len(heard) == 2
    assert_written_once(store.path, ["child", "server"])


def test_serving_ends_when_nobody_asks_any_more(store: Store) -> None:
    """A turn that is kept for nobody would keep others waiting."""
    own = Store.open(store.path, PATIENT)
    ctx = Context(own, actor="a")
    for number in range(4):
        ctx.put("k", f"{number}")

    def other(_: Talk) -> None:
        theirs = opened(store.path, "b")
        for number in range(20):
            theirs.put("other", f"{number}")

    with children(other) as (child,):
        for number in range(20):
            ctx.put("k", f"more {number}")
        child.result()
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "gitctx-serving"])
    assert not [each for each in list(serving._all) if each._thread.is_alive()]
    ctx.put("k", "last")
