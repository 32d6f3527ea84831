"""What goes on by itself after writes: rotation and maintenance, beside whoever writes, if the settings let it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from gitctx.context import Context
from gitctx.context.upkeep import is_due, may_be_due, rotate_if_due, upkeep_beside
from gitctx.maintenance.maintenance import alone
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound
from gitctx_testkit.git import git
from gitctx_testkit.maintained import RELAXED, everything_is_due, maintenance_ended
from gitctx_testkit.maintained import fill as fill_untidily
from gitctx_testkit.rotating import GRACE, Calendar, counted, fill, has, revisions

KEEP = 5


def opened(path: Path, calendar: Calendar) -> Context:
    return Context(Store.open(path, replace(RELAXED, clock=calendar)), actor="planner")


def long_history(store: Store, calendar: Calendar, *, writes: int = 3 * KEEP) -> Context:
    """More than twice what the settings keep; nobody has looked yet."""
    ctx = opened(store.path, calendar)
    ctx.store.repository.on_growth = lambda: None
    ctx.configure("rotation.keep_writes", KEEP)
    ctx.configure("rotation.keep_days", 1)
    fill(ctx, writes)
    calendar.go_on(timedelta(days=2))
    return ctx


def old_head(path: Path) -> str:
    return git(path, "for-each-ref", "--format=%(objectname)", "refs/gitctx/rotated")


def look(path: Path, calendar: Calendar) -> None:
    """What a program does after a write when the store has grown."""
    with everything_is_due():
        thread = upkeep_beside(Store.open(path, replace(RELAXED, clock=calendar)), actor="planner")
        assert thread is not None
        maintenance_ended()


def test_a_slice_of_maintenance_goes_on_beside_when_it_is_due_and_the_setting_allows_it(store: Store) -> None:
    fill_untidily(store.path)
    ctx = Context(Store.open(store.path, RELAXED), actor="planner")
    ctx.store.repository.on_growth = lambda: None
    with everything_is_due():
        ctx.configure("maintenance.auto", False)
        assert not is_due(Store.open(store.path))
        ctx.configure("maintenance.auto", None)
        assert is_due(Store.open(store.path))
        thread = upkeep_beside(Store.open(store.path), actor="planner")
        assert thread is not None
        maintenance_ended()
    assert len(list((store.path / "objects/pack").glob("*.pack"))) <= 3
    assert not may_be_due(Store.open(store.path))


def test_a_long_history_is_rotated_beside_and_each_write_is_counted(store: Store) -> None:
    calendar = Calendar()
    ctx = long_history(store, calendar)
    writes = len(revisions(store.path))
    look(store.path, calendar)
    assert len(revisions(store.path)) - 1 + counted(store.path) == writes
    assert len(revisions(store.path)) - 1 == KEEP
    assert ctx.get("plan/0.md").text() == "text 14"
    assert_sound(store.path)


def test_a_history_that_is_not_twice_what_is_kept_stays(store: Store) -> None:
    calendar = Calendar()
    long_history(store, calendar, writes=KEEP)
    before = revisions(store.path)
    look(store.path, calendar)
    assert revisions(store.path) == before


def test_nothing_younger_than_the_settings_say_is_squashed(store: Store) -> None:
    calendar = Calendar()
    ctx = long_history(store, calendar)
    ctx.configure("rotation.keep_days", 30)
    before = revisions(store.path)
    look(store.path, calendar)
    assert revisions(store.path) == before
    ctx.configure("rotation.keep_days", 0)
    fill(ctx, 3 * KEEP, start=100)
    calendar.go_on(timedelta(minutes=9))
    look(store.path, calendar)
    assert len(revisions(store.path)) > 3 * KEEP


def test_without_the_setting_nothing_is_rotated_and_maintenance_goes_on(store: Store) -> None:
    calendar = Calendar()
    ctx = long_history(store, calendar)
    ctx.configure("rotation.auto", False)
    before = revisions(store.path)
    look(store.path, calendar)
    assert revisions(store.path) == before


def test_rotation_goes_on_where_maintenance_is_switched_off(store: Store) -> None:
    calendar = Calendar()
    ctx = long_history(store, calendar)
    ctx.configure("maintenance.auto", False)
    look(store.path, calendar)
    assert counted(store.path) > 0


def test_old_heads_go_when_their_grace_has_ended_also_if_nothing_else_is_due(store: Store) -> None:
    calendar = Calendar()
    ctx = long_history(store, calendar)
    look(store.path, calendar)
    old = old_head(store.path)
    ctx.configure("maintenance.auto", False)
    ctx.configure("rotation.auto", False)
    assert not is_due(ctx.store)
    calendar.go_on(GRACE + timedelta(days=1))
    assert is_due(ctx.store)
    assert has(store.path, old)
    look(store.path, calendar)
    assert old_head(store.path) == ""


def test_while_another_program_is_at_it_nothing_is_begun(store: Store) -> None:
    calendar = Calendar()
    ctx = long_history(store, calendar)
    before = revisions(store.path)
    with alone(store.path) as free, everything_is_due():
        assert free
        assert rotate_if_due(ctx.store, actor="planner") == ()
        assert upkeep_beside(ctx.store, actor="planner") is None
    assert revisions(store.path) == before
