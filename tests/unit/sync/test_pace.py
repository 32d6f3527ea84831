"""Hints say when to look; where they fail, somebody looks again all the same."""

from __future__ import annotations

import errno
import gc
import os
import sys
import threading
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.sync import pace as pacing
from gitctx.sync.events import Events
from gitctx.sync.pace import Pace
from gitctx_testkit.git import git

PATIENCE_S = 30.0
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def replace(folder: Path, name: str = "context") -> None:
    lock = folder / f"{name}.lock"
    lock.write_text("1")
    lock.rename(folder / name)


def descriptors() -> int:
    """How many of this process are for hints, or to end the wait for them."""
    found = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    links = [os.readlink(each) for each in found if each.is_symlink()]
    return sum("inotify" in link or "eventfd" in link for link in links)


@linux
def test_a_name_that_is_replaced_is_a_hint_and_one_that_is_removed_is_none(tmp_path: Path) -> None:
    events = Events(tmp_path)
    assert not events.wait(0)
    replace(tmp_path)
    assert events.wait(PATIENCE_S)
    assert not events.take(), "it was taken"
    (tmp_path / "context").unlink()
    assert not events.wait(0)


@linux
def test_a_wait_for_hints_can_be_ended_by_another_thread(tmp_path: Path) -> None:
    events = Events(tmp_path)
    thread = threading.Thread(target=events.wait, args=(PATIENCE_S,))
    thread.start()
    events.wake()
    thread.join(PATIENCE_S / 2)
    assert not thread.is_alive()
    events.wait(PATIENCE_S)  # and so is every later one


@linux
def test_what_nobody_refers_to_any_more_is_closed(tmp_path: Path) -> None:
    gc.collect()
    before = descriptors()
    made = [Pace(tmp_path, Clock()) for _ in range(5)]
    assert descriptors() == before + 10
    del made
    gc.collect()
    assert descriptors() == before


@linux
def test_a_hint_that_was_lost_is_remembered_for_a_while(tmp_path: Path) -> None:
    clock = Clock()
    pace = Pace(tmp_path, clock)
    assert pace.hinted
    replace(tmp_path)
    pace.rest()
    pace.found()
    assert pace.hinted, "a hint told of it"
    pace.rest(0.0)
    pace.found()
    assert not pace.hinted, "no hint told of it"
    clock.now += pacing.DISTRUST_S
    assert pace.hinted
    replace(tmp_path)
    pace.found()
    assert pace.hinted, "it hasn't rested in between, so it could hear of none"


@linux
def test_another_folder_of_that_name_is_followed(tmp_path: Path) -> None:
    clock = Clock()
    folder = tmp_path / "heads"
    folder.mkdir()
    pace = Pace(folder, clock)
    folder.rename(tmp_path / "aside")
    folder.mkdir()
    clock.now += 10
    pace.rest(0.0)
    replace(folder)
    pace.rest(PATIENCE_S)
    pace.found()
    assert pace.hinted
    folder.joinpath("context").unlink()
    folder.rmdir()
    clock.now += 10
    pace.rest(0.0)
    assert not pace.hinted, "there is nothing to follow"


@pytest.mark.parametrize("hints", ["none are given", "they are lost"])
def test_without_hints_everything_is_told_too(ctx: Context, monkeypatch: pytest.MonkeyPatch, hints: str) -> None:
    if hints == "none are given":

        def refuse(_: Path) -> Events:
            raise OSError(errno.EMFILE, "too many watchers")

        monkeypatch.setattr(pacing, "Events", refuse)
    with ctx.watch() as watch:
        if hints == "they are lost":
            monkeypatch.setattr(Events, "take", lambda _: False)
            monkeypatch.setattr(Events, "wait", lambda self, seconds: threading.Event().wait(seconds))
        timers = [threading.Timer(0.05 * number, ctx.put, (f"a/{number}", "1")) for number in range(4)]
        for timer in timers:
            timer.start()
        told = [watch.next(PATIENCE_S) for _ in timers]
        git(ctx.store.path, "pack-refs", "--all")
        assert watch.next(0.0) is None
        for timer in timers:
            timer.join()
    assert sorted(change.key for change in told if change is not None) == [f"a/{number}" for number in range(4)]


def test_a_pace_that_was_woken_rests_no_more(tmp_path: Path) -> None:
    pace = Pace(tmp_path, Clock())
    assert not pace.awake
    pace.wake()
    pace.rest(PATIENCE_S)
    pace.sleep(PATIENCE_S)
    assert pace.awake
