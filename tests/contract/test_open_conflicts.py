"""Conflicts that `fail` leaves open between machines: listed on both, settled once, whoever settles them."""

from __future__ import annotations

import pytest

from gitctx.errors import ConflictNotFound, InvalidInput, PreconditionFailed
from gitctx.values import OpenConflict
from gitctx_testkit.clones import Clones, Machine


@pytest.fixture
def disputed(clones: Clones) -> tuple[Machine, Machine]:
    """Two machines that changed `decision/db` since they last met: `one` earlier than `two`."""
    one, two = clones.pair()
    one.ctx.configure("strategies.decision/", "fail")
    one.ctx.put("decision/db", "none")
    clones.settle()
    one.ctx.put("decision/db", "sqlite")
    two.ctx.put("decision/db", "postgres")
    two.exchange()
    assert one.exchange().branch("context").opened
    clones.settle()
    return one, two


def only(machine: Machine) -> OpenConflict:
    (found,) = machine.ctx.sync.conflicts.list()
    return found


def test_both_machines_list_the_same_conflict_and_know_both_values(disputed: tuple[Machine, Machine]) -> None:
    one, two = disputed
    conflict = only(one)
    assert conflict == only(two)
    assert (conflict.key, conflict.standing.actor, conflict.waiting.actor) == ("decision/db", "one", "two")
    for machine in disputed:
        assert machine.ctx.get("decision/db").text() == "sqlite"
        assert machine.ctx.sync.conflicts.waiting_value(conflict) == b"postgres"
        assert machine.ctx.sync.conflicts.get("decision/db") == conflict


@pytest.mark.parametrize(("how", "value"), [("keep", "sqlite"), ("take", "postgres"), ("put", "both")])
def test_each_way_settles_it_everywhere(
    clones: Clones, disputed: tuple[Machine, Machine], how: str, value: str
) -> None:
    one, two = disputed
    conflicts = one.ctx.sync.conflicts
    id = only(one).id
    written = {
        "keep": lambda: conflicts.keep(id, message="so be it"),
        "take": lambda: conflicts.take("decision/db"),
        "put": lambda: conflicts.put(id, "both"),
    }[how]()
    assert written.changed
    clones.settle()
    for machine in disputed:
        assert machine.ctx.get("decision/db").text() == value
        assert machine.ctx.sync.conflicts.list() == []
        assert [info.key for info in machine.ctx.list(".gitctx/conflicts/")] == []
    with pytest.raises(ConflictNotFound):
        two.ctx.sync.conflicts.keep(id)


def test_settled_on_both_machines_at_once_alike_it_is_settled(
    clones: Clones, disputed: tuple[Machine, Machine]
) -> None:
    one, two = disputed
    one.ctx.sync.conflicts.take("decision/db")
    two.ctx.sync.conflicts.take("decision/db")
    clones.settle()
    assert one.ctx.get("decision/db").text() == "postgres"
    assert one.ctx.sync.conflicts.list() == two.ctx.sync.conflicts.list() == []


def test_settled_on_both_machines_at_once_otherwise_it_is_a_conflict_again(
    clones: Clones, disputed: tuple[Machine, Machine]
) -> None:
    one, two = disputed
    one.ctx.sync.conflicts.put("decision/db", "mysql")
    two.ctx.sync.conflicts.take("decision/db")
    clones.settle()
    again = only(one)
    assert again == only(two)
    assert one.ctx.get("decision/db").text() == "mysql"
    assert one.ctx.sync.conflicts.waiting_value(again) == b"postgres"


def test_kept_here_and_taken_there_the_change_counts(clones: Clones, disputed: tuple[Machine, Machine]) -> None:
    one, two = disputed
    one.ctx.sync.conflicts.keep("decision/db")
    two.ctx.sync.conflicts.take("decision/db")
    clones.settle()
    assert one.ctx.get("decision/db").text() == "postgres"
    assert one.ctx.sync.conflicts.list() == []


def test_what_waits_isnt_put_over_a_value_that_changed_meanwhile(disputed: tuple[Machine, Machine]) -> None:
    one, _ = disputed
    one.ctx.put("decision/db", "mysql", strategy="last-write-wins")
    with pytest.raises(PreconditionFailed):
        one.ctx.sync.conflicts.take("decision/db")
    one.ctx.sync.conflicts.keep("decision/db")
    assert one.ctx.get("decision/db").text() == "mysql"


def test_settling_is_repeated_by_its_id_without_happening_twice(disputed: tuple[Machine, Machine]) -> None:
    one, _ = disputed
    id = only(one).id
    first = one.ctx.sync.conflicts.take(id, id="resolve-1")
    second = one.ctx.sync.conflicts.take(id, id="resolve-1")
    assert second.revision == first.revision


def test_a_removal_may_wait_or_stand(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.configure("strategies.d/", "fail")
    for key in ("d/removed-later", "d/removed-earlier"):
        one.ctx.put(key, "base")
    clones.settle()
    one.ctx.remove("d/removed-earlier")
    two.ctx.put("d/removed-earlier", "changed")
    two.ctx.put("d/removed-later", "changed")
    one.ctx.remove("d/removed-later")
    clones.settle()
    assert two.content() == {"d/removed-later": "changed"}
    for key in ("d/removed-later", "d/removed-earlier"):
        two.ctx.sync.conflicts.take(key)
    clones.settle()
    assert one.content() == {"d/removed-earlier": "changed"}
    assert one.ctx.sync.conflicts.list() == []


def test_two_conflicts_about_one_key_are_told_apart_by_their_ids(
    clones: Clones, disputed: tuple[Machine, Machine]
) -> None:
    one, two = disputed
    two.ctx.get("decision/db")
    one.ctx.put("decision/db", "mysql")
    two.ctx.put("decision/db", "oracle")
    clones.settle()
    assert len(one.ctx.sync.conflicts.list()) == 2
    with pytest.raises(InvalidInput, match="2 open conflicts"):
        one.ctx.sync.conflicts.keep("decision/db")
    for conflict in one.ctx.sync.conflicts.list():
        one.ctx.sync.conflicts.keep(conflict.id)
    clones.settle()
    assert two.ctx.sync.conflicts.list() == []
