"""Compaction is killed, refused by the disk, stopped and overtaken: no object may ever be without a pack."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import time
from pathlib import Path
from unittest import mock

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.repository.compaction import FAN_IN, Compactor
from gitctx.repository.packs import by_name, clear_leftovers
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, assert_written_once
from gitctx_testkit.faults import disk
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children, die

RELAXED = Config(durability="relaxed")
COMPACT_POINTS = [name for name in failpoints.NAMES if name.startswith(("compact.", "pack."))]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store with a few more packs than are merged at once, and the ids of its writes."""
    store = Store.create(tmp_path_factory.mktemp("template") / "store.git", RELAXED)
    store.repository.compact_if_due = lambda: None  # type: ignore[method-assign]
    ctx = Context(store, actor="planner")
    written = [ctx.put(f"plan/{number % 5}.md", f"value {number}") for number in range(FAN_IN + 4)]
    assert len(packs(store.path)) >= FAN_IN
    return store.path, [str(each.id) for each in written]


@pytest.fixture
def many(template: tuple[Path, list[str]], tmp_path: Path) -> Path:
    path = tmp_path / "store.git"
    shutil.copytree(template[0], path)
    return path


def packs(path: Path) -> dict[str, set[str]]:
    return by_name(str(path / "objects" / "pack"))


def compact(path: Path) -> None:
    Compactor(str(path)).run()


def compact_without_lock(path: Path) -> None:
    with mock.patch("gitctx.repository.compaction._locked", return_value=True):
        compact(path)


def files(path: Path) -> list[str]:
    return sorted(os.listdir(path / "objects" / "pack"))


def test_many_packs_become_one_and_nothing_else_is_left(many: Path, template: tuple[Path, list[str]]) -> None:
    compact(many)
    assert list(packs(many).values()) == [{"pack", "idx"}]
    assert len(files(many)) == 2
    assert_written_once(many, template[1])
    assert_sound(many)
    before = files(many)
    compact(many)
    assert files(many) == before


@pytest.mark.parametrize("failpoint", COMPACT_POINTS)
def test_a_kill_at_any_step_loses_nothing_and_the_next_one_finishes(
    many: Path, template: tuple[Path, list[str]], failpoint: str
) -> None:
    def victim(_: Talk) -> None:
        failpoints.activate(failpoint, die)
        compact(many)

    with children(victim) as (child,):
        child.wait_killed()
    assert_written_once(many, template[1])
    assert_sound(many)
    ctx = Context(Store.open(many, RELAXED), actor="survivor")
    ctx.put("plan/after.md", "1")
    clear_leftovers(str(many / "objects"), time.time() + 1)
    compact(many)
    assert len(packs(many)) <= 3
    assert set(map(len, packs(many).values())) == {2}, "a keep or half a pack was left"
    assert not [name for name in files(many) if name.startswith("tmp")]
    assert_written_once(many, template[1])
    assert_sound(many)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_call_that_fails_at_any_step_ends_it_quietly_and_loses_nothing(
    many: Path, template: tuple[Path, list[str]], code: int
) -> None:
    other = many.with_name("other.git")
    shutil.copytree(many, other)
    with disk() as watched:
        compact(other)
    calls = len(watched.calls)
    # The calls for one source are like those for the next: the first and the last twelve show every step.
    for number in [*range(12), *range(calls // 2, calls // 2 + 12), *range(calls - 12, calls)]:
        shutil.rmtree(other)
        shutil.copytree(many, other)
        with disk(number, code):
            compact(other)
        assert_written_once(other, template[1])
        git(other, "fsck", "--full", "--strict")
        if len(packs(other)) > FAN_IN:
            assert not [name for name in files(other) if name.startswith("tmp")], "something was left behind"
    compact(other)
    assert_sound(other)


def test_no_room_for_the_merged_pack_leaves_nothing_behind(many: Path) -> None:
    before = files(many)

    def run(_: Talk) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        compact(many)

    with children(run) as (child,):
        child.result()
    assert files(many) == before


def test_one_that_was_stopped_and_wakes_up_after_the_others_takes_nothing_with_it(
    many: Path, template: tuple[Path, list[str]]
) -> None:
    """Its lock keeps nobody out, what it merged was merged by others too, and git has repacked everything since."""

    def sleeper(talk: Talk) -> None:
        def wait() -> None:
            failpoints.deactivate()
            talk.say("merged")
            talk.hear()

        failpoints.activate("compact.after_merge", wait)
        compact(many)

    with children(sleeper) as (child,):
        assert child.talk.hear() == "merged"
        clear_leftovers(str(many / "objects"), time.time() + 1)
        compact_without_lock(many)
        git(many, "repack", "-adq")
        child.talk.say("go on")
        child.result()
    assert_written_once(many, template[1])
    assert_sound(many)


def test_two_at_once_merge_the_same_packs_without_harm(many: Path, template: tuple[Path, list[str]]) -> None:
    """Even if the lock keeps nobody out."""

    def overtake() -> None:
        failpoints.deactivate()
        compact_without_lock(many)

    for failpoint in ("compact.before_merge", "compact.after_merge", "compact.between_deletes"):
        failpoints.activate(failpoint, overtake)
        try:
            compact(many)
        finally:
            failpoints.deactivate()
        assert_written_once(many, template[1])
        assert_sound(many)


def test_the_lock_lets_only_one_run(many: Path) -> None:
    def other() -> None:
        failpoints.deactivate()
        before = files(many)
        compact(many)
        assert files(many) == before

    failpoints.activate("compact.before_merge", other)
    try:
        compact(many)
    finally:
        failpoints.deactivate()
    assert len(packs(many)) == 1


@pytest.mark.parametrize("beside", ["keep", "bitmap", "rev", "mtimes", "promisor"])
def test_packs_that_git_or_a_user_knows_more_about_are_left_alone(many: Path, beside: str) -> None:
    marked = next(iter(packs(many)))
    (many / "objects" / "pack" / f"{marked}.{beside}").touch()
    compact(many)
    assert len(packs(many)) == 2
    assert packs(many)[marked] == {"pack", "idx", beside}


def test_a_keep_that_is_set_while_packs_are_merged_is_honoured(many: Path) -> None:
    marked = next(iter(packs(many)))
    failpoints.activate("compact.after_merge", (many / "objects" / "pack" / f"{marked}.keep").touch)
    try:
        compact(many)
    finally:
        failpoints.deactivate()
    assert "pack" in packs(many)[marked]


def test_packs_in_a_multi_pack_index_stay_as_long_as_it_does(many: Path) -> None:
    before = set(packs(many))
    git(many, "multi-pack-index", "write")
    compact(many)
    assert set(packs(many)) == before
    ctx = Context(Store.open(many, RELAXED), actor="planner")
    for number in range(FAN_IN + 1):
        ctx.put("plan/a.md", str(number))
    ctx.store.repository.finish_compaction()
    compact(many)
    assert before <= set(packs(many))
    assert_sound(many)
    assert git(many, "multi-pack-index", "verify") == ""


def test_a_multi_pack_index_that_names_a_pack_which_is_gone_is_removed(
    many: Path, template: tuple[Path, list[str]]
) -> None:
    """git looked at the packs before they were merged, and wrote its index after that."""
    index = many / "objects" / "pack" / "multi-pack-index"
    git(many, "multi-pack-index", "write")
    aside = index.rename(many / "aside")
    compact(many)
    aside.rename(index)
    ctx = Context(Store.open(many, RELAXED), actor="planner")
    for number in range(FAN_IN + 1):
        ctx.put("plan/a.md", str(number))
    ctx.store.repository.finish_compaction()
    compact(many)
    assert not index.exists()
    assert_written_once(many, template[1])
    assert_sound(many)


def test_a_damaged_pack_is_not_copied_from_and_not_removed(many: Path) -> None:
    damaged = many / "objects" / "pack" / f"{next(iter(packs(many)))}.pack"
    damaged.chmod(0o644)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(bytes(data))
    compact(many)
    assert len(packs(many)) == 2
    assert damaged.read_bytes() == bytes(data)
