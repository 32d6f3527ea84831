"""Checkpoints between machines: received, sent, deleted here and there, and two of one name."""

from __future__ import annotations

import pytest

from gitctx import failpoints
from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.clones import Clones
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git
from gitctx_testkit.hosted import Hosted


class Cut(Exception):
    """The exchange ends here, as if its process had been killed."""


def cut() -> None:
    failpoints.deactivate()
    raise Cut


@pytest.fixture(autouse=True)
def _no_failpoints() -> None:
    failpoints.deactivate()


def tags_of(hub: Hosted) -> set[str]:
    return set(hub.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags").splitlines())


def test_a_checkpoint_of_one_machine_is_the_same_on_the_other(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("before", message="risky")
    one.exchange()
    assert two.exchange().checkpoints.received == ("before",)
    assert two.checkpoints() == one.checkpoints()
    assert two.ctx.checkpoints.show("before") == one.ctx.checkpoints.show("before")
    two.ctx.put("a", "2")
    two.ctx.checkpoints.restore("before")
    assert two.ctx.get("a").text() == "1"


def test_of_two_of_one_name_the_first_published_keeps_it_and_both_stay(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    two.ctx.put("b", "2")
    first, second = (machine.ctx.checkpoints.create("before", message=machine.name) for machine in (one, two))
    one.exchange()
    report = two.exchange().checkpoints
    ((old, new),) = report.renamed
    assert old == "before"
    assert new.startswith("before-")
    assert report.received == ("before",)
    assert report.sent == (new,)
    clones.settle()
    for machine in (one, two):
        assert machine.checkpoints().keys() == {"before", new}
        assert machine.ctx.checkpoints.show("before").revision == first.revision
        moved = machine.ctx.checkpoints.show(new)
        assert (moved.revision, moved.message, moved.actor) == (second.revision, "two", "two")
    assert one.checkpoints() == two.checkpoints()


def test_two_with_the_longest_name_both_stay_within_reach(clones: Clones) -> None:
    one, two = clones.pair()
    name = "n" * 200
    for machine in (one, two):
        machine.ctx.put(machine.name, "1")
        machine.ctx.checkpoints.create(name)
    clones.settle()
    assert len(one.checkpoints()) == 2
    for each in one.checkpoints():
        one.ctx.checkpoints.show(each)


def test_a_race_for_a_name_is_settled_within_one_exchange(clones: Clones) -> None:
    one, two = clones.pair()
    for machine in (one, two):
        machine.ctx.put(machine.name, "1")
        machine.ctx.checkpoints.create("before")

    def be_faster() -> None:
        failpoints.deactivate()
        one.exchange()

    failpoints.activate("exchange.before_push", be_faster)
    report = two.exchange()
    assert report.complete
    assert [old for old, _ in report.checkpoints.renamed] == ["before"]
    clones.settle()
    assert one.checkpoints() == two.checkpoints()
    assert len(one.checkpoints()) == 2


def test_one_deleted_here_is_deleted_there_and_stays_with_others_until_they_delete_it(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("gone")
    one.ctx.checkpoints.create("kept")
    clones.settle()
    one.ctx.checkpoints.delete("gone")
    assert one.exchange().checkpoints.deleted == ("gone",)
    assert tags_of(clones.hub) == {"kept"}
    assert two.exchange().checkpoints.gone == ("gone",)
    clones.settle()
    assert two.checkpoints().keys() == {"gone", "kept"}
    assert one.checkpoints().keys() == tags_of(clones.hub) == {"kept"}
    two.ctx.checkpoints.delete("gone")
    clones.settle()
    assert two.checkpoints() == one.checkpoints()


def test_a_name_may_be_used_again_after_it_was_deleted_everywhere(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("again")
    clones.settle()
    one.ctx.checkpoints.delete("again")
    clones.settle()
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("again")
    clones.settle()
    assert one.checkpoints()["again"] == two.checkpoints()["again"]
    assert two.ctx.checkpoints.show("again").revision == one.ctx.checkpoints.show("again").revision


def test_one_that_was_deleted_and_is_refused_stays_on_the_remote(clones: Clones) -> None:
    one, _ = clones.pair()
    one.ctx.checkpoints.create("kept")
    one.exchange()
    clones.hub.hook("update", 'case "$3" in *[!0]*) ;; *) echo "nothing is deleted here" >&2; exit 1 ;; esac')
    one.ctx.checkpoints.delete("kept")
    report = one.exchange().checkpoints
    assert report.deleted == ()
    assert [name for name, _ in report.refused] == ["kept"]
    assert tags_of(clones.hub) == {"kept"}


@pytest.mark.parametrize("point", ["exchange.after_fetch", "exchange.after_merge", "exchange.before_push"])
def test_an_exchange_that_was_cut_after_the_fetch_deletes_nothing_the_next_time(clones: Clones, point: str) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("here")
    one.exchange()
    two.ctx.put("b", "2")
    failpoints.activate(point, cut)
    with pytest.raises(Cut):
        two.exchange()
    report = two.exchange().checkpoints
    assert report.deleted == ()
    assert tags_of(clones.hub) == {"here"}
    assert two.checkpoints() == one.checkpoints()


def test_an_exchange_of_the_context_alone_deletes_nothing_the_next_time(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("here")
    one.exchange()
    two.exchange(only_context=True)
    assert two.exchange().checkpoints.deleted == ()
    assert two.checkpoints() == one.checkpoints()
    assert tags_of(clones.hub) == {"here"}


def test_a_plain_git_fetch_deletes_nothing_the_next_time(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("here")
    one.exchange()
    git(two.path, "fetch", "-q", "origin")
    assert two.exchange().checkpoints.deleted == ()
    assert two.checkpoints() == one.checkpoints()
    assert tags_of(clones.hub) == {"here"}


def test_one_that_cant_be_made_here_stays_on_the_remote(clones: Clones) -> None:
    """`a` and `a/b` can't both be tags."""
    one, two = clones.pair()
    one.ctx.checkpoints.create("a")
    one.exchange()
    two.ctx.checkpoints.create("a/b")
    for _ in range(2):
        report = two.exchange()
        assert not report.complete
        assert {name for name, _ in report.checkpoints.refused} == {"a", "a/b"}
        assert tags_of(clones.hub) == {"a"}
        assert two.checkpoints().keys() == {"a/b"}


def test_a_name_may_become_a_folder_of_names(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("a")
    clones.settle()
    for machine in (one, two):
        machine.ctx.checkpoints.delete("a")
    one.ctx.checkpoints.create("a/b")
    for _ in range(2):
        one.exchange()
        two.exchange()
    assert one.checkpoints().keys() == two.checkpoints().keys() == tags_of(clones.hub) == {"a/b"}
    assert one.exchange().complete


def test_what_was_deleted_there_isnt_sent_again_after_an_exchange_that_was_cut(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("gone")
    clones.settle()
    one.ctx.checkpoints.delete("gone")
    one.exchange()
    failpoints.activate("exchange.after_fetch", cut)
    with pytest.raises(Cut):
        two.exchange()
    assert two.exchange().checkpoints.sent == ()
    assert tags_of(clones.hub) == set()


def test_a_remote_that_is_left_and_added_again_is_told_nothing_to_delete(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.checkpoints.create("here")
    clones.settle()
    two.ctx.sync.remove_remote("origin")
    two.ctx.checkpoints.delete("here")
    two.ctx.sync.add_remote("origin", str(clones.hub.path))
    report = two.exchange().checkpoints
    assert (report.deleted, report.received) == ((), ("here",))


@pytest.mark.parametrize("count", few_or_many(120, 1000))
def test_many_checkpoints_travel(clones: Clones, count: int) -> None:
    one = clones.begin("one")
    one.ctx.put("a", "1")
    tag = one.ctx.checkpoints.create("first")
    oid = git(one.path, "rev-parse", "refs/tags/first")
    text = git(one.path, "cat-file", "tag", oid)
    lines = []
    for number in range(count):
        made = git(one.path, "mktag", stdin=text.replace("tag first", f"tag t{number}", 1) + "\n") if number < 3 else ""
        lines.append(f"create refs/tags/t{number} {made or oid}")
    git(one.path, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")
    one.reopened()
    assert one.exchange().complete
    assert len(tags_of(clones.hub)) == count + 1
    two = clones.join("two")
    assert two.checkpoints() == one.checkpoints()
    two.ctx.put("b", "1")
    assert two.exchange().checkpoints == one.exchange().checkpoints
    assert two.ctx.checkpoints.show("t1").revision == tag.revision
    for number in range(40):
        two.ctx.checkpoints.delete(f"t{number}")
    assert len(two.exchange().checkpoints.deleted) == 40
    assert len(one.exchange().checkpoints.gone) == 40
    assert len(Context(Store.open(one.path), actor="x").checkpoints.list()) == count + 1
