"""`gitctx watch` and `gitctx wait` as processes: lines come at once, and every way to end them works."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.git import clean_environment, git

PATIENCE_S = 60.0


class Running:
    """A `gitctx` command that runs."""

    def __init__(self, store: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from gitctx_cli.app import main; main()", *words],
            env=clean_environment(
                PYTHONPATH=os.pathsep.join(part for part in sys.path if part), GITCTX_STORE=str(store)
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._read = b""

    def line(self) -> Any:
        """The next line, as JSON."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._read:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert more, "no line came"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        return not self._read and not select.select([self.process.stdout], [], [], seconds)[0]

    def end(self) -> tuple[int, str]:
        """Exit code and talk, once it has ended."""
        _, talk = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, talk.decode()


@pytest.fixture
def start(store: Store) -> Iterator[Any]:
    started: list[Running] = []

    def run(*words: str) -> Running:
        started.append(Running(store.path, *words))
        return started[-1]

    yield run
    for running in started:
        running.process.kill()
        running.process.communicate()


def watching(start: Any, ctx: Context, *words: str) -> Running:
    """A watch that surely runs: it was told a first change."""
    running: Running = start("watch", "--json", "--since", ctx.head, *words)
    ctx.put("first", f"{ctx.head}")
    assert running.line()["key"] == "first"
    return running


def test_each_line_is_printed_at_once_with_refs_packed_and_a_pause_in_between(
    store: Store, ctx: Context, start: Any
) -> None:
    running = watching(start, ctx)
    for number in range(3):
        ctx.put(f"a/{number}", "1")
        assert running.line()["key"] == f"a/{number}"
        git(store.path, "pack-refs", "--all", "--prune")
    assert start("sync", "pause", "-q").end() == (0, "")
    time.sleep(1.0)  # within that time it is noticed
    ctx.put("b", "1")
    ctx.put("c", "1")
    assert running.quiet(0.5)
    assert start("sync", "resume", "-q").end() == (0, "")
    assert [running.line()["key"] for _ in range(2)] == ["b", "c"]


def test_ctrl_c_ends_a_watch_quietly(ctx: Context, start: Any) -> None:
    running = watching(start, ctx)
    running.process.send_signal(signal.SIGINT)
    assert running.end() == (130, "")


def test_sigterm_ends_a_watch_at_once(ctx: Context, start: Any) -> None:
    running = watching(start, ctx)
    running.process.terminate()
    assert running.end() == (-signal.SIGTERM, "")


def test_a_watch_ends_when_nobody_reads_it(ctx: Context, start: Any) -> None:
    running = watching(start, ctx)
    assert running.process.stdout is not None
    running.process.stdout.close()
    deadline = time.monotonic() + PATIENCE_S
    while running.process.poll() is None and time.monotonic() < deadline:
        ctx.put("more", f"{ctx.head}")
        time.sleep(0.02)
    assert running.process.stderr is not None
    assert (running.process.returncode, running.process.stderr.read()) == (141, b"")
    running.process.stdout = None


def test_wait_ends_with_the_write_of_another_process(ctx: Context, start: Any) -> None:
    since = ctx.put("status", "building").revision
    running = start("wait", "status", "--until", "changed", "--since", since, "--json", "--timeout", "60")
    ctx.put("status", "green")
    assert running.line()["value"] == "green"
    assert running.end() == (0, "")
