"""SIGKILL at random moments while eight processes write: nothing acknowledged is lost, the next command just works."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, assert_written_once, ids_in_history
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.processes import Child, Talk

WRITERS = 8
RELAXED = Config(durability="relaxed")
_REST_S = 0.006
"""Between two writes of one process, so that history stays short enough to be checked in full."""
MANUAL = ("gitctx recovery", "gitctx doctor", "gitctx verify", "remove ", "warning", "error", "damaged")
"""What a command would say if somebody had to do something by hand."""


def _writer(store: Path, name: str, told: Path) -> Callable[[Talk], None]:
    def run(_: Talk) -> None:
        ctx = Context(Store.open(store, RELAXED), actor=name)
        log = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in range(1_000_000):
            id = f"{name}-{number}"
            if number % 5 == 4:
                with ctx.batch(id=id) as batch:
                    for part in range(30):
                        batch.put(f"{name}/{part}", f"{number}")
            else:
                ctx.put(f"shared/{number % 3}", id, id=id)
            os.write(log, f"{id}\n".encode())
            time.sleep(_REST_S)

    return run


def _kill(store: Path, told: Path, kills: int, rng: random.Random) -> None:
    started = 0
    running: list[Child[None]] = []

    def start() -> None:
        nonlocal started
        running.append(Child(_writer(store, f"w{started}", told)))
        started += 1

    try:
        for _ in range(WRITERS):
            start()
        for _ in range(kills):
            time.sleep(rng.uniform(0.0, 0.05))
            running.pop(rng.randrange(len(running))).kill()
            start()
    finally:
        for child in running:
            child.kill()


def _command(store: Path, *arguments: str) -> str:
    """Run the real command; what it printed. It must succeed and ask for nothing to be done by hand."""
    code = "from gitctx_cli.app import main; main()"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-c", code, "--store", str(store), *arguments]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not [each for each in MANUAL if each in done.stderr.lower()], done.stderr
    return done.stdout


@pytest.mark.parametrize("kills", few_or_many(60, 1000))
def test_kills_among_eight_writers_lose_nothing_and_the_next_command_just_works(
    store: Store, tmp_path: Path, kills: int
) -> None:
    told = tmp_path / "acknowledged"
    _kill(store.path, told, kills, random.Random(kills))
    _command(store.path, "put", "after", "all")
    assert _command(store.path, "get", "after").strip() == "all"
    _command(store.path, "status")
    acknowledged = told.read_text().split()
    assert len(acknowledged) > kills, "the writers hardly wrote, so the kills met nothing"
    assert_written_once(store.path, acknowledged)
    every = ids_in_history(store.path)
    assert len(every) == len(set(every))
    assert_sound(store.path)
