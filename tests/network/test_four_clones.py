"""Four clones write as fast as agents do, each kept in step with one server: all of it arrives, once, from each."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.processes import Talk, children, wait_until
from gitctx_testkit.working_clones import Meeting, keeping

CLONES = 4
PATIENCE_S = 120.0
_LONGEST_PAUSE_S = 0.1
_SHARED_KEYS = 5


class Effort(NamedTuple):
    """What one clone did: the ids of its writes, and how many of its exchanges sent something or failed."""

    ids: list[str]
    sent: int
    errors: list[str]


def at_work(path: Path, number: int) -> Callable[[Talk], Effort]:
    """A process that writes until it is told to stop, then only exchanges until it is told to end."""

    def run(talk: Talk) -> Effort:
        context = Context(Store.open(path), actor=f"agent-{number}")
        rng = random.Random(number)
        ids: list[str] = []
        with keeping(context) as kept:
            talk.say("ready")
            talk.hear()
            while not talk.heard():
                shared = rng.random() < 0.2
                key = f"shared/{rng.randrange(_SHARED_KEYS)}" if shared else f"status/{number}/{len(ids) % 50}"
                ids.append(context.put(key, f"{number} {len(ids)}").id)
                time.sleep(rng.uniform(0, _LONGEST_PAUSE_S))
            talk.hear()
            talk.say("written")
            talk.hear(PATIENCE_S)
        sent = sum(1 for report in kept.exchanged if report.branch("context").sent)
        return Effort(ids, sent, [str(error) for error in kept.errors])

    return run


@pytest.mark.parametrize("seconds", few_or_many(10, 60))
def test_each_acknowledged_write_is_on_the_server_once_and_nobody_starves(meeting: Meeting, seconds: int) -> None:
    for number in range(CLONES):
        meeting.store(f"agent-{number}")
    workers = [at_work(path, number) for number, path in enumerate(meeting.clones)]
    counted: list[list[int]] = []
    with children(*workers) as running:
        for child in running:
            assert child.talk.hear() == "ready"
        for child in running:
            child.talk.say("begin")
        for _ in range(2):
            threading.Event().wait(seconds / 2)
            counted.append(arrived(meeting))
        for child in running:
            child.talk.say("stop")
        for child in running:
            assert child.talk.hear() == "written"
        wait_until(meeting.agree, PATIENCE_S)
        for child in running:
            child.talk.say("end")
        efforts = [child.result() for child in running]
    assert [error for effort in efforts for error in effort.errors] == []
    acknowledged = [id for effort in efforts for id in effort.ids]
    meeting.assert_once(acknowledged)
    assert len(acknowledged) == sum(arrived(meeting))
    assert all(at_half > 0 for at_half in counted[0]), "a clone got nothing through in the first half"
    assert all(more > less for less, more in zip(*counted, strict=True)), "a clone got nothing through in the second"


def arrived(meeting: Meeting) -> list[int]:
    """How many writes of each clone are on the server, without the merges of exchanges."""
    actors = meeting.hosted.git("log", "--no-merges", "--format=%an", "refs/heads/context").split()
    return [actors.count(f"agent-{number}") for number in range(CLONES)]
