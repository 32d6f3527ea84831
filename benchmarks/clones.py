"""A clone on a machine of its own, as far as gitctx can tell: a process that writes, watches, and is kept in step."""

from __future__ import annotations

import os
import random
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from gitctx.context import Context
from gitctx.store import Store

_LOOK_EVERY_S = 0.005
_KEYS = 20


class Account(NamedTuple):
    """When a clone's writes were acknowledged and when it saw whose, by id, and how many pushes it tried."""

    acknowledged: dict[str, float]
    seen: dict[str, float]
    pushes: int


def work(place: Path, number: int, search_path: str, seconds: float, pause_s: float, line: Connection) -> None:
    """Say that it is ready, write from the moment that it is told, say so when done, and hand in the account at the
    end. `pause_s` is the mean pause between two writes.
    """
    os.environ["PATH"] = search_path
    context = Context(Store.open(place), actor=f"agent-{number}")
    stop, pushes, seen = threading.Event(), [0], dict[str, float]()

    def keep() -> None:
        def count(_: str, report: object) -> None:
            pushes[0] += getattr(report, "rounds", 0)

        context.sync.keep_exchanging(on_report=count, stop=stop)

    threads = [threading.Thread(target=each) for each in (keep, lambda: _watch(place, stop, seen))]
    for thread in threads:
        thread.start()
    line.send("ready")
    begin = line.recv()
    time.sleep(max(0.0, begin - time.monotonic()))
    acknowledged = _write(context, random.Random(number), begin + seconds, pause_s)
    line.send("written")
    line.recv()
    stop.set()
    for thread in threads:
        thread.join()
    line.send(Account(acknowledged, seen, pushes[0]))


def _write(context: Context, rng: random.Random, until: float, pause_s: float) -> dict[str, float]:
    acknowledged: dict[str, float] = {}
    while True:
        time.sleep(rng.uniform(0, 2 * pause_s))
        if acknowledged and time.monotonic() > until:
            return acknowledged
        written = context.put(f"status/{context.actor}/{len(acknowledged) % _KEYS}", f"step {len(acknowledged)}")
        acknowledged[str(written.id)] = time.monotonic()


def _watch(place: Path, stop: threading.Event, seen: dict[str, float]) -> None:
    store = Store.open(place)
    head = store.context.head()
    while not stop.wait(_LOOK_EVERY_S):
        now = store.context.head()
        if now != head:
            at = time.monotonic()
            for _, commit in store.repository.walk(now, (head,)):
                seen.setdefault(commit.trailer("Gitctx-Id") or "", at)
            head = now
