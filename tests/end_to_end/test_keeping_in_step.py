"""`gitctx sync --watch` as a process, and `init` where a remote of the project hangs."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.command import PATIENCE_S, Gitctx
from gitctx_testkit.git import git
from gitctx_testkit.processes import wait_until


class Watching:
    """A `gitctx sync --watch --json` that runs on a machine's store."""

    def __init__(self, gitctx: Gitctx, *words: str) -> None:
        self.process = gitctx.start("sync", "--watch", "--json", *words)
        self._read = b""

    def line(self) -> Any:
        """The next line that it prints, as JSON."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._read:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert more, "no line came"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)

    def end(self, number: int) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


class Two:
    """Two machines; the command runs on `here`."""

    def __init__(self, clones: Clones, folder: Path) -> None:
        one, two = clones.pair()
        self.here = Context(Store.open(one.path), actor="here")
        self.there = Context(Store.open(two.path), actor="there")
        self.hub = clones.hub
        self.gitctx = Gitctx(folder, {"GITCTX_STORE": str(one.path), "GITCTX_ACTOR": "here"})

    def has(self, key: str) -> bool:
        return any(info.key == key for info in self.here.list())


@pytest.fixture
def two(clones: Clones, tmp_path: Path) -> Two:
    folder = tmp_path / "command"
    folder.mkdir()
    return Two(clones, folder)


def test_writes_travel_both_ways_while_it_watches_and_an_interrupt_ends_it(two: Two) -> None:
    watching = Watching(two.gitctx, "--every", "1s")
    two.here.put("from/here", "1")
    wait_until(lambda: two.hub.head("refs/heads/context") == two.here.head, PATIENCE_S)
    assert watching.line()["branches"][0]["sent"] == 1
    two.there.put("from/there", "1")
    two.there.sync.exchange()
    wait_until(lambda: two.has("from/there"), PATIENCE_S)
    assert watching.line()["branches"][0]["received"] == 2  # the write, and the merge that brought it there
    assert watching.end(signal.SIGINT) == 130


def test_while_paused_it_exchanges_nothing_and_then_misses_nothing(two: Two) -> None:
    two.gitctx("sync", "pause", "-m", "moving")
    before = two.hub.head("refs/heads/context")
    watching = Watching(two.gitctx, "--every", "1s")
    two.here.put("from/here", "1")
    assert not select.select([watching.process.stdout], [], [], 1.5)[0]
    assert two.hub.head("refs/heads/context") == before
    two.gitctx("sync", "resume")
    assert watching.line()["branches"][0]["sent"] == 1
    assert watching.end(signal.SIGINT) == 130


def test_a_remote_that_goes_and_comes_back_is_told_and_taken_up_again(two: Two) -> None:
    away = two.hub.path.with_name("away.git")
    two.hub.path.rename(away)
    watching = Watching(two.gitctx, "--every", "1s")
    assert watching.process.stderr is not None
    assert b"warning: origin: there is no repository at" in watching.process.stderr.readline()
    two.here.put("from/here", "1")
    away.rename(two.hub.path)
    assert watching.line()["branches"][0]["sent"] == 1
    assert watching.end(signal.SIGINT) == 130


def test_init_waits_no_longer_than_it_says_for_a_remote_that_hangs(tmp_path: Path, project: Path) -> None:
    gitctx = Gitctx(tmp_path, {})
    hang = tmp_path / "hang"
    hang.write_text("#!/bin/sh\nexec sleep 60\n")
    hang.chmod(0o755)
    git(project, "remote", "add", "origin", "ssh://example.invalid/x.git")
    gitctx.environment["GIT_SSH_COMMAND"] = str(hang)
    process = gitctx.start("init", "--json", cwd=project)
    out, err = process.communicate(timeout=50)
    assert (process.returncode, json.loads(out)["joined"]) == (0, None)
    assert b"origin couldn't be asked whether it holds a store" in err


def test_two_inits_at_once_join_one_store(clones: Clones, tmp_path: Path, project: Path) -> None:
    one, _ = clones.pair()
    git(project, "remote", "add", "origin", str(clones.hub.path))
    gitctx = Gitctx(tmp_path, {})
    running = [gitctx.start("init", "--json", cwd=project) for _ in range(3)]
    said = [process.communicate(timeout=PATIENCE_S) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    documents = [json.loads(out) for out, _ in said]
    assert sorted(each["created"] for each in documents) == [False, False, True]
    assert {each["store_id"] for each in documents} == {one.ctx.store.identity.store_id}
    joined = Machine("joined", project / ".git" / "gitctx" / "store.git", clones.config)
    assert joined.head() == one.head()
    assert [each.name for each in joined.path.parent.iterdir()] == ["store.git"]
