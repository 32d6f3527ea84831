"""Every step of maintenance on a store that has something for it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from unittest import mock

import pytest

from gitctx.context import Context
from gitctx.maintenance import thresholds
from gitctx.maintenance.maintenance import Maintenance
from gitctx.maintenance.steps import Steps
from gitctx.store import Store
from gitctx.values import Maintained
from gitctx_testkit.audit import assert_sound, assert_written_once, reflog_lines
from gitctx_testkit.git import git
from gitctx_testkit.maintained import (
    DAY_S,
    LATER,
    RELAXED,
    everything_is_due,
    fill,
    is_there,
    litter,
    push_plainly,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], str]:
    path = Store.create(tmp_path_factory.mktemp("template") / "store.git", RELAXED).path
    ids = fill(path)
    push_plainly(path, path.parent / "clone", 0)
    return path, ids, litter(path)


@pytest.fixture
def untidy(template: tuple[Path, list[str], str], tmp_path: Path) -> Path:
    path = tmp_path / "store.git"
    shutil.copytree(template[0], path)
    return path


def packs(path: Path) -> list[str]:
    return sorted(each.name.partition(".")[2] for each in (path / "objects" / "pack").iterdir())


def states(done: Maintained) -> dict[str, str]:
    return {each.name: each.state for each in done.steps}


def test_a_young_store_needs_nothing_and_is_left_as_it_is(store: Store) -> None:
    before = sorted(os.walk(store.path))
    assert Maintenance(store).run(dry_run=True).steps == ()
    assert sorted(os.walk(store.path)) == before


def test_a_dry_run_says_what_is_due_and_changes_nothing(untidy: Path) -> None:
    before = sorted(os.walk(untidy))
    done = Maintenance(Store.open(untidy)).run(dry_run=True, full=True)
    assert set(states(done).values()) == {"due"}
    assert list(states(done)) == ["locks", "leftovers", "refs", "deltas", "unreachable"]
    assert sorted(os.walk(untidy)) == before


def test_full_leaves_one_pack_a_graph_and_nothing_of_killed_programs(
    untidy: Path, template: tuple[Path, list[str], str]
) -> None:
    told: list[tuple[str, float]] = []
    done = Maintenance(Store.open(untidy)).run(full=True, on_progress=lambda name, part: told.append((name, part)))
    assert set(states(done).values()) == {"done"}
    assert [part for _, part in told] == sorted(part for _, part in told)
    assert {name for name, _ in told} == set(states(done))
    assert packs(untidy) == ["idx", "idx", "mtimes", "pack", "pack"], "one for what is reached, one for the rest"
    assert not (untidy / "gc.pid").exists()
    assert not list(untidy.rglob("tmp_*"))
    assert not list(untidy.rglob("*.lock"))
    assert not list((untidy / "gitctx/maintenance").glob("work-*"))
    assert not list((untidy / "refs/tags").rglob("at-*"))
    assert (untidy / "refs/heads/context").exists(), "a branch that is packed is read slower"
    assert (untidy / "objects/info/commit-graphs/commit-graph-chain").exists()
    assert is_there(untidy, template[2]), "its grace hasn't ended"
    assert_written_once(untidy, template[1])
    assert_sound(untidy)
    assert Maintenance(Store.open(untidy)).run(dry_run=True).steps == ()


def test_what_nothing_reaches_goes_when_its_grace_has_ended(
    untidy: Path, template: tuple[Path, list[str], str]
) -> None:
    Maintenance(Store.open(untidy)).run(full=True)
    Maintenance(Store.open(untidy, LATER)).run(full=True)
    assert not is_there(untidy, template[2])
    assert packs(untidy) == ["idx", "pack"]
    assert_written_once(untidy, template[1])
    assert_sound(untidy)


def test_a_git_that_knows_no_cruft_packs_keeps_unreachable_objects_loose_until_their_grace_has_ended(
    untidy: Path, template: tuple[Path, list[str], str]
) -> None:
    with mock.patch.object(Steps, "_git_version", (2, 36, 0)):
        Maintenance(Store.open(untidy)).run(full=True)
        assert packs(untidy) == ["idx", "pack"]
        assert is_there(untidy, template[2])
        Maintenance(Store.open(untidy, LATER)).run(full=True)
    assert not is_there(untidy, template[2])
    assert_written_once(untidy, template[1])
    assert_sound(untidy)


def test_fresh_packs_get_deltas_and_settled_ones_stay_few(untidy: Path, template: tuple[Path, list[str], str]) -> None:
    ids = list(template[1])
    with everything_is_due(), mock.patch.object(thresholds, "RECLAIM_EVERY_S", 1e12):
        for _ in range(6):
            done = Maintenance(Store.open(untidy)).run()
            assert set(states(done).values()) == {"done"}
            assert len(packs(untidy)) <= 2 * 3 + 1
            ids += fill_more(untidy, 8)
    assert_written_once(untidy, ids)
    assert_sound(untidy)


def fill_more(path: Path, writes: int) -> list[str]:
    ctx = Context(Store.open(path, RELAXED), actor="planner")
    ctx.store.repository.on_growth = lambda: None
    return [str(ctx.put("plan/more.md", f"{number} {time.time()}").id) for number in range(writes)]


def test_the_multi_pack_index_names_the_settled_packs_and_the_merging_of_small_ones_leaves_them(
    untidy: Path, template: tuple[Path, list[str], str]
) -> None:
    small = mock.patch.multiple(thresholds, SLICE_BYTES=6_000, RECLAIM_EVERY_S=1e12)
    with everything_is_due(), small:
        steps = Maintenance(Store.open(untidy))
        with mock.patch.object(Steps, "_merge", return_value="not now"):
            steps.run()
    settled = (untidy / "gitctx/maintenance/settled").read_text().split()
    assert len(settled) > 3
    assert (untidy / "objects/pack/multi-pack-index").exists()
    assert git(untidy, "multi-pack-index", "verify") == ""
    fill_more(untidy, 40)
    there = {each.stem for each in (untidy / "objects/pack").glob("*.pack")}
    assert set(settled) <= there
    with everything_is_due():
        Maintenance(Store.open(untidy)).run(full=True)
    assert not (untidy / "objects/pack/multi-pack-index").exists()
    assert_written_once(untidy, template[1])
    assert_sound(untidy)


def test_while_another_program_maintains_nothing_is_done(untidy: Path) -> None:
    store = Store.open(untidy)
    inner: list[Maintained] = []

    def meanwhile(_name: str, _part: float) -> None:
        inner.append(Maintenance(Store.open(untidy)).run(full=True))

    assert Maintenance(store).run(full=True, on_progress=meanwhile).ran
    assert {(each.ran, each.steps) for each in inner} == {(False, ())}


def test_a_lock_of_another_git_puts_a_step_off_and_the_others_are_done(untidy: Path) -> None:
    lock = untidy / "packed-refs.lock"
    lock.touch()
    done = states(Maintenance(Store.open(untidy)).run(full=True))
    assert done.pop("refs") == "put_off"
    assert set(done.values()) == {"done"}
    lock.unlink()


def test_a_pack_that_somebody_keeps_stays(untidy: Path, template: tuple[Path, list[str], str]) -> None:
    kept = next((untidy / "objects/pack").glob("*.pack"))
    kept.with_suffix(".keep").write_text("mine")
    Maintenance(Store.open(untidy, LATER)).run(full=True)
    assert kept.exists()
    assert kept.with_suffix(".keep").exists()
    assert_written_once(untidy, template[1])
    assert_sound(untidy)


def test_a_handle_that_was_open_reads_on(untidy: Path) -> None:
    reader = Context(Store.open(untidy), actor="reader")
    values = {entry.key: reader.get(entry.key).text() for entry in reader.list("plan/")}
    old = Context(Store.open(untidy), actor="reader")
    assert old.get("plan/1.md").text() == values["plan/1.md"]
    Maintenance(Store.open(untidy, LATER)).run(full=True)
    assert {entry.key: old.get(entry.key, at="head~3").text() for entry in old.list("plan/", at="head~3")}
    assert {entry.key: old.get(entry.key).text() for entry in old.list("plan/")} == values
    assert len(list(old.log())) == 42


def test_what_recoveries_put_aside_is_only_told_of(untidy: Path) -> None:
    place = untidy / "gitctx/quarantine/01JD3V8Q6ZK6Y4E9T0A7B2C5DF"
    place.mkdir(parents=True)
    assert Maintenance(Store.open(untidy)).run(full=True).kept == ()
    os.utime(place, (time.time() - 91 * DAY_S,) * 2)
    (finding,) = Maintenance(Store.open(untidy)).run(full=True).kept
    assert finding.code == "quarantine"
    assert place.exists()


def test_old_lines_of_reflogs_go_and_young_ones_stay(untidy: Path) -> None:
    before = reflog_lines(untidy)
    Maintenance(Store.open(untidy)).run(full=True)
    assert reflog_lines(untidy) == before
    Maintenance(Store.open(untidy, LATER)).run(full=True)
    after = reflog_lines(untidy)
    assert after[0][40:] == before[-2][40:], "the last line of gitctx, and the push after it"
    assert after[0].startswith(b"0" * 40)
    assert after[1:] == before[-1:]
    assert_sound(untidy)
    fill_more(untidy, 1)
    assert len(reflog_lines(untidy)) == 3
