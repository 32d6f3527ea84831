"""kill -9 in the middle of a recovery: the next one finishes the work. And several at once, and beside writers."""

from __future__ import annotations

import os
import resource
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import GitctxError, RecoveryImpossible, StorageError
from gitctx.recovery import Recovery
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.audit import assert_sound, assert_written_once, ids_in_history
from gitctx_testkit.corruption_base import RELAXED, Base, content_of
from gitctx_testkit.damage import CONTEXT, both, contents, cut, empty, flip, loose, on, pack, stale_lock
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children, die, together

Copy = Callable[[], Path]
POINTS = [name for name in failpoints.NAMES if name.startswith("recover.")]


def _loose_twice(store: Path) -> None:
    """Damage by paths: once an object is broken, git no longer tells where the others are."""
    wanted = [git(store, "rev-parse", name) for name in ("context", "context~1:plan/b.md")]
    loose("context~3", lambda path: None)(store)
    for oid in wanted:
        empty(store / "objects" / oid[:2] / oid[2:])


DAMAGES = {
    "a head, an older value, the frame": both(
        _loose_twice,
        on("HEAD", empty),
        on("config", cut),
        on("refs/tags/mark", empty),
        on(f"logs/{CONTEXT}", lambda path: path.write_bytes(path.read_bytes() + b"\0" * 99)),
        stale_lock(f"{CONTEXT}.lock"),
    ),
    "a pack, packed refs": both(
        lambda store: git(store, "pack-refs", "--all"),
        pack(lambda path: flip(path, path.stat().st_size * 2 // 3)),
        on("packed-refs", lambda path: cut(path, 0.8)),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("point", POINTS)
def test_a_recovery_that_is_killed_is_finished_by_the_next_one(
    base: Base, copy: Copy, damage: Callable[[Path], object], point: str
) -> None:
    whole, killed = copy(), copy()
    for store in (whole, killed):
        damage(store)
    wanted = Recovery(whole, RELAXED).apply()

    def victim(_: Talk) -> None:
        failpoints.activate(point, die)
        Recovery(killed, RELAXED).apply()

    with children(victim) as (child,):
        child.wait_killed()
    scan = Recovery(killed, RELAXED).scan()
    assert "unfinished" in {finding.code for finding in scan.damage}
    assert Recovery(killed, RELAXED).apply().changed
    assert Recovery(killed, RELAXED).scan(full=True).damage == ()
    assert content_of(killed) == content_of(whole)
    assert_sound(killed)
    found = ids_in_history(killed)
    for id in ids_in_history(whole):
        assert found.count(id) == 1 or id == wanted.id or not id.startswith("id-")
    assert not (killed / f"{CONTEXT}.lock").exists()


def test_of_several_who_recover_at_once_one_does(base: Base, copy: Copy) -> None:
    store = copy()
    (store / CONTEXT).write_bytes(b"")
    changed = together([lambda: Recovery(store, RELAXED).apply().changed] * 4)
    assert sorted(changed) == [False, False, False, True]
    assert git(store, "rev-parse", "context~1") == base.revisions["d1"]
    assert_sound(store)


def test_writers_go_on_while_an_older_value_is_recovered(base: Base, copy: Copy) -> None:
    """The head can be read, so nobody needs to wait: the recovery moves it by compare-and-swap like any write."""
    store = copy()
    loose("context:plan/b.md", empty)(store)
    stop, ids, errors = threading.Event(), [], []

    def write() -> None:
        ctx = Context(Store.open(store, Config(durability="relaxed")), actor="coder-1")
        while not stop.is_set():
            try:
                ids.append(str(ctx.append("log.md", f"line {len(ids)}").id))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test fails
                errors.append(error)
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until = time.monotonic() + 20
        while len(ids) < 5 and time.monotonic() < until and writer.is_alive():
            time.sleep(0.002)
        done = Recovery(store, RELAXED).apply()
        reached = len(ids)
        while len(ids) < reached + 5 and time.monotonic() < until and writer.is_alive():
            time.sleep(0.002)
    finally:
        stop.set()
        writer.join()
    assert errors == []
    assert done.changed
    assert_written_once(store, ids)
    content = content_of(store)
    assert content["plan/b.md"] == "b1"
    assert content["log.md"].count("\n") == len(ids)
    assert verify(Store.open(store), full=True).problems == ()
    assert_sound(store)


def test_a_write_that_comes_between_the_look_and_the_turn_is_not_lost(base: Base, copy: Copy) -> None:
    store = copy()
    (store / "HEAD").unlink()
    written: list[str] = []

    def write() -> None:
        failpoints.deactivate()
        revision = git(store, "rev-parse", "context") if (store / "HEAD").exists() else ""
        commit = git(store, "commit-tree", "-p", revision, "-m", "by hand", f"{revision}^{{tree}}")
        git(store, "update-ref", CONTEXT, commit)
        written.append(commit)

    failpoints.activate("recover.after_frame", write)
    try:
        assert Recovery(store, RELAXED).apply().changed
    finally:
        failpoints.deactivate()
    assert git(store, "merge-base", "--is-ancestor", written[0], "context") == ""
    assert_sound(store)


def test_a_stray_file_in_the_place_of_the_working_folder_makes_way(copy: Copy) -> None:
    store = copy()
    shutil.rmtree(store / "gitctx")
    (store / "gitctx").write_text("oops")
    (store / "HEAD").unlink()
    done = Recovery(store, RELAXED).apply()
    assert done.quarantine is not None
    assert [path.read_text() for path in Path(done.quarantine).glob("gitctx.*")] == ["oops"]
    assert_sound(store)


def test_a_file_that_somebody_wrote_anew_meanwhile_is_not_moved_aside(base: Base, copy: Copy) -> None:
    """Between the look and the moving aside a push may bring the object that was broken."""
    store = copy()
    loose("context:plan/b.md", lambda path: None)(store)
    oid = git(store, "rev-parse", "context:plan/b.md")
    path = store / "objects" / oid[:2] / oid[2:]
    whole = path.read_bytes()
    empty(path)

    def heal() -> None:
        failpoints.deactivate()
        path.unlink()
        path.write_bytes(whole)

    failpoints.activate("recover.after_journal", heal)
    try:
        assert Recovery(store, RELAXED).apply().changed
    finally:
        failpoints.deactivate()
    assert path.read_bytes() == whole
    assert_sound(store)


def test_what_was_broken_is_kept_aside(base: Base, copy: Copy) -> None:
    store = copy()
    loose("context", flip)(store)
    oid = base.revisions["d1"]
    broken = (store / "objects" / oid[:2] / oid[2:]).read_bytes()
    done = Recovery(store, RELAXED).apply()
    assert done.quarantine is not None
    assert (Path(done.quarantine) / "objects" / oid[:2] / oid[2:]).read_bytes() == broken
    assert os.listdir(store / "gitctx" / "quarantine") == [done.id]


@pytest.mark.parametrize("limit", [0, 60, 300, 1500])
def test_a_recovery_that_finds_no_room_says_so_and_can_be_repeated(base: Base, copy: Copy, limit: int) -> None:
    store = copy()
    DAMAGES["a head, an older value, the frame"](store)

    def run(_: Talk) -> GitctxError | None:
        Recovery(store, RELAXED).scan()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            Recovery(store, RELAXED).apply()
        except GitctxError as error:
            return error
        return None

    with children(run) as (child,):
        error = child.result()
    assert isinstance(error, StorageError)
    assert error.code == "disk_full"
    Recovery(store, RELAXED).apply()
    assert content_of(store) == {
        **{key: value for key, value in base.content.items() if key != "plan/d.md"},
        "plan/b.md": "b1",
    }
    assert_sound(store)


def test_nothing_that_holds_together_is_told_with_all_that_was_tried(copy: Copy) -> None:
    store = copy()
    shutil.rmtree(store / "objects")
    before = contents(store)
    with pytest.raises(RecoveryImpossible) as caught:
        Recovery(store, RELAXED).apply()
    assert {each["source"] for each in caught.value.details["tried"]} >= {"ref", "reflog"}
    assert caught.value.hint
    assert contents(store) == before
