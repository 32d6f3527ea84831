"""Maintenance is killed, refused by the disk, meets what a killed git left: nothing is lost, and the next finishes."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.context import Context
from gitctx.errors import StorageError
from gitctx.maintenance.maintenance import Maintenance
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, assert_written_once
from gitctx_testkit.faults import disk
from gitctx_testkit.git import clean_environment, git
from gitctx_testkit.maintained import LATER, RELAXED, everything_is_due, fill, is_there, litter, push_plainly
from gitctx_testkit.processes import Talk, children, die

ENOSPC = 28


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], str]:
    """A store with something for every step, forty days from now; the ids of its writes, an object nothing reaches."""
    path = Store.create(tmp_path_factory.mktemp("template") / "store.git", RELAXED).path
    ids = fill(path, 12)
    Maintenance(Store.open(path)).run(full=True)
    ids += fill_more(path, 6)
    Context(Store.open(path, RELAXED), actor="planner").checkpoints.create("late")
    push_plainly(path, path.parent / "clone", 0)
    return path, ids, litter(path)


@pytest.fixture
def untidy(template: tuple[Path, list[str], str], tmp_path: Path) -> Path:
    path = tmp_path / "store.git"
    shutil.copytree(template[0], path)
    return path


def fill_more(path: Path, writes: int) -> list[str]:
    ctx = Context(Store.open(path, RELAXED), actor="planner")
    return [str(ctx.put("plan/more.md", f"{number} {time.time()}").id) for number in range(writes)]


def maintain(path: Path, which: str) -> None:
    with everything_is_due():
        if which == "full":
            Maintenance(Store.open(path, LATER)).run(full=True)
        else:
            Maintenance(Store.open(path, RELAXED)).run(gentle=True)


def points() -> list[tuple[str, str]]:
    """Each point with the run that comes by it."""
    found = [(point, "full") for point in failpoints.MAINTENANCE_NAMES]
    return found + [(point, "slice") for point in failpoints.MAINTENANCE_NAMES if point.startswith("repack.")]


def assert_finished(path: Path, ids: list[str]) -> None:
    """The next run does what is left, and leaves nothing of the one before."""
    assert_written_once(path, ids)
    git(path, "fsck", "--full", "--strict", "--no-dangling")
    ids = ids + fill_more(path, 2)
    hours_ago = time.time() - 7200
    for each in (*(path / "objects/pack").iterdir(), *path.rglob("*.lock")):
        os.utime(each, (hours_ago, hours_ago))
    maintain(path, "full")
    names = sorted(each.name.partition(".")[2] for each in (path / "objects/pack").iterdir())
    assert names == ["idx", "pack"]
    assert not list((path / "gitctx/maintenance").glob("work-*"))
    assert not list(path.rglob("tmp_*"))
    assert not list(path.rglob("*.lock"))
    assert_written_once(path, ids)
    assert_sound(path)


@pytest.mark.parametrize(("point", "which"), points())
def test_a_kill_at_any_step_loses_nothing_and_the_next_run_finishes(
    untidy: Path, template: tuple[Path, list[str], str], point: str, which: str
) -> None:
    def victim(_: Talk) -> None:
        failpoints.activate(point, die)
        maintain(untidy, which)

    with children(victim) as (child,):
        child.wait_killed()
    assert_finished(untidy, template[1])


@pytest.mark.parametrize("limit", [0, 300, 1_500])
def test_a_full_disk_at_any_step_loses_nothing_and_the_next_run_finishes(
    untidy: Path, template: tuple[Path, list[str], str], limit: int
) -> None:
    """The kernel refuses to let a file grow: gitctx's own ones and those of every git command."""

    def run(_: Talk) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            maintain(untidy, "full")
        except StorageError:
            return "refused"
        return "done"

    with children(run) as (child,):
        assert child.result() == "refused"
    assert_finished(untidy, template[1])


def test_a_call_that_fails_at_any_step_loses_nothing(
    untidy: Path, template: tuple[Path, list[str], str], tmp_path: Path
) -> None:
    other = tmp_path / "other.git"
    shutil.copytree(untidy, other)
    only = frozenset({"os.link", "os.rename", "os.mkdir", "os.fsync", "io.open", "os.unlink"})
    with disk(only=only) as watched:
        maintain(other, "full")
    calls = len(watched.calls)
    for number in range(0, calls, max(1, calls // 10)):
        shutil.rmtree(other)
        shutil.copytree(untidy, other)
        with disk(number, ENOSPC, only=only, lasting=True), suppress(StorageError):
            maintain(other, "full")
        assert_written_once(other, template[1])
        git(other, "fsck", "--full", "--strict", "--no-dangling")
    assert_finished(other, template[1])


def test_what_a_killed_git_gc_left_is_cleared_and_stops_nothing(
    untidy: Path, template: tuple[Path, list[str], str]
) -> None:
    """Its pid file, of a process of this host that is gone, its half-written packs, and its lock on packed-refs."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    (untidy / "gc.pid").write_text(f"{gone.pid} {socket.gethostname()}\n")
    collected = subprocess.Popen(
        ["git", f"--git-dir={untidy}", "-c", "gc.auto=1", "gc", "--quiet"],
        env=clean_environment(),
        stderr=subprocess.PIPE,
    )
    time.sleep(0.01)
    collected.kill()
    collected.communicate()
    (untidy / "objects/pack/tmp_pack_Killed").write_bytes(b"PACK")
    os.utime(untidy / "objects/pack/tmp_pack_Killed", (time.time() - 7200,) * 2)
    maintain(untidy, "full")
    assert not (untidy / "gc.pid").exists()
    assert_finished(untidy, template[1])


def test_unreachable_objects_that_are_young_survive_every_kill(
    untidy: Path, template: tuple[Path, list[str], str]
) -> None:
    for point in ("maintain.after_pack", "maintain.after_unreachable", "repack.between_deletes"):

        def victim(_: Talk, point: str = point) -> None:
            failpoints.activate(point, die)
            with everything_is_due():
                Maintenance(Store.open(untidy, RELAXED)).run(full=True)

        with children(victim) as (child,):
            child.wait_killed()
        assert is_there(untidy, template[2]), point
