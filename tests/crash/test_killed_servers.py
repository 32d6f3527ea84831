"""kill -9 of a writer that makes the writes of others: at every point, what they were promised holds."""

from __future__ import annotations

import random
import time
from collections import Counter
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

PATIENT = Config(queue_patience_s=30.0)
BEFORE_THE_TURN = ("queue.after_ticket", "queue.after_acquire", "mail.after_ask")
POINTS = [
    name for name in failpoints.NAMES if name not in BEFORE_THE_TURN and not name.startswith(("compact.", "recover."))
]


def server(path: Path, failpoint: str) -> Callable[[Talk], None]:
    """Takes its turn, waits until others have asked, and is killed at that point while it makes their writes."""

    def run(talk: Talk) -> None:
        def hold() -> None:
            failpoints.activate(failpoint, die)
            talk.say("holding")
            talk.hear()

        failpoints.activate("queue.after_acquire", hold)
        Context(Store.open(path, PATIENT), actor="server").put("server", "x", id="server")

    return run


def asking(path: Path, name: str) -> Callable[[Talk], str]:
    """Appends a line without naming an id: only gitctx itself can tell whether it was written already."""

    def run(talk: Talk) -> str:
        ctx = Context(Store.open(path, PATIENT), actor=name)
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        return str(ctx.append("log.md", name).id)

    return run


@pytest.mark.parametrize("failpoint", POINTS)
def test_those_whom_a_killed_writer_served_get_their_writes_exactly_once(store: Store, failpoint: str) -> None:
    names = [f"w{number}" for number in range(4)]
    with children(server(store.path, failpoint)) as (killed,):
        assert killed.talk.hear() == "holding"
        with children(*(asking(store.path, name) for name in names)) as running:
            for child in running:
                assert child.talk.hear() == "asked"
            killed.talk.say("go on")
            killed.wait_killed()
            began = time.monotonic()
            ids = [child.result() for child in running]
            assert time.monotonic() - began < PATIENT.queue_patience_s / 3, "its death is noticed, not waited out"
    assert_written_once(store.path, ids)
    assert ids_in_history(store.path).count("server") <= 1
    lines = Context(store, actor="reader").get("log.md").text().splitlines()
    assert sorted(lines) == names
    assert_sound(store.path)


@pytest.mark.parametrize("generations", few_or_many(2, 40))
def test_servers_and_those_they_serve_are_killed_at_random_and_nothing_is_lost_or_done_twice(
    store: Store, generations: int
) -> None:
    rng = random.Random(11)

    def appending(who: int) -> Callable[[Talk], None]:
        def run(talk: Talk) -> None:
            ctx = Context(Store.open(store.path, Config(durability="relaxed")), actor=f"a{who}")
            number = 0
            while True:
                ctx.append("log.md", f"{who}-{number}")
                talk.say(f"{who}-{number}")
                number += 1

        return run

    acknowledged: list[str] = []
    for generation in range(generations):
        with children(*(appending(10 * generation + who) for who in range(6))) as running:
            time.sleep(0.4)
            for child in rng.sample(running, 3):
                child.kill()
            time.sleep(0.2)
            for child in running:
                child.end()
            for child in running:
                try:
                    while child.talk.heard():
                        acknowledged.append(child.talk.hear())
                except ChildDied:
                    continue
    lines = Counter(Context(store, actor="reader").get("log.md").text().splitlines())
    assert acknowledged
    assert not [line for line in acknowledged if lines[line] == 0], "an acknowledged line is lost"
    assert not [line for line, count in lines.items() if count > 1], "a line was written twice"
    assert_sound(store.path)
