"""kill -9 at every named point of an exchange and of joining: the next one ends it, nothing is lost or there twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.sync.joining import join
from gitctx_testkit.audit import assert_sound, assert_written_once
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.processes import Talk, children, die

EXCHANGE = [name for name in failpoints.SYNC_NAMES if name.startswith("exchange.")]
JOIN = [name for name in failpoints.SYNC_NAMES if name.startswith("join.")]
MERGE = ["swap.before_lock", "swap.after_lock", "swap.after_reflog", "swap.after_rename", "objects.after_write"]
"""Points of the write that a merge is, and of taking in a checkpoint."""


def die_exchanging(machine: Machine, failpoint: str) -> None:
    """Exchange in a process that is killed at that point."""

    def victim(_: Talk) -> None:
        fresh = Machine(machine.name, machine.path, machine.config)
        failpoints.activate(failpoint, die)
        fresh.exchange()

    with children(victim) as (child,):
        child.wait_killed()


@pytest.mark.parametrize("failpoint", [*EXCHANGE, *MERGE])
def test_after_a_kill_the_next_exchange_ends_it_with_nothing_lost_or_twice(clones: Clones, failpoint: str) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("deleted-there")
    one.ctx.checkpoints.create("deleted-here")
    clones.settle()
    ids = [one.ctx.put("both", "one").id, one.ctx.put("one", "1").id]
    one.ctx.checkpoints.create("same")
    one.ctx.checkpoints.create("from-one")
    one.ctx.checkpoints.delete("deleted-there")
    one.exchange()
    ids += [two.ctx.put("both", "two").id, two.ctx.put("two", "2").id]
    two.ctx.checkpoints.create("same")
    two.ctx.checkpoints.create("from-two")
    two.ctx.checkpoints.delete("deleted-here")
    die_exchanging(two, failpoint)
    two.reopened()
    ids.append(two.ctx.put("after", "3").id)
    report = two.exchange()
    assert report.complete
    clones.settle()
    for machine in (one, two):
        assert_sound(machine.path)
        assert_written_once(machine.path, ids)
        assert machine.content() == {"both": "two", "one": "1", "two": "2", "after": "3"}
    assert len([name for name in one.checkpoints() if name.startswith("same")]) == 2
    both = {name for name in one.checkpoints() if name.startswith(("same", "from-"))}
    assert one.checkpoints().keys() == both | {"deleted-here"}
    assert two.checkpoints().keys() == both | {"deleted-there"}
    assert {name: two.checkpoints()[name] for name in both} == {name: one.checkpoints()[name] for name in both}


@pytest.mark.parametrize("failpoint", JOIN)
def test_a_killed_join_leaves_no_store_and_the_next_one_makes_it(clones: Clones, failpoint: str) -> None:
    one, _ = clones.pair()
    one.ctx.put("a", "1")
    one.exchange()
    place: Path = clones.folder / "three" / "store.git"

    def victim(_: Talk) -> None:
        failpoints.activate(failpoint, die)
        join(place, str(clones.hub.path), config=clones.config)

    with children(victim) as (child,):
        child.wait_killed()
    assert not place.exists()
    three = clones.join("three")
    assert three.content() == {"a": "1"}
    assert three.head() == one.head()


def test_a_store_whose_working_files_are_gone_exchanges_on(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("here")
    clones.settle()
    shutil.rmtree(two.path / "gitctx")
    two.reopened()
    two.ctx.put("b", "2")
    clones.settle()
    assert one.content() == two.content() == {"a": "1", "b": "2"}
