"""What comes from other machines is told like what is written here: by its writer, once, and without a gap."""

from __future__ import annotations

from gitctx.sync.watch import Watch
from gitctx.values import WatchedChange
from gitctx_testkit.clones import Clones, Machine

PATIENCE_S = 30.0


def told(watch: Watch) -> list[WatchedChange]:
    """Everything that there is to be told."""
    return list(iter(lambda: watch.next(0.05), None))


def etags(machine: Machine, at: str | None = None) -> dict[str, str]:
    return {info.key: info.etag for info in machine.ctx.list(at=at)}


def applied(content: dict[str, str], changes: list[WatchedChange]) -> dict[str, str]:
    after = dict(content)
    for change in changes:
        assert after.get(change.key) == change.before
        if change.etag is None:
            del after[change.key]
        else:
            after[change.key] = change.etag
    return after


def test_what_an_exchange_brought_is_told_with_the_actor_who_wrote_it(clones: Clones) -> None:
    one, two = clones.pair()
    with one.ctx.watch() as here, two.ctx.watch() as there:
        one.ctx.put("from/one", "1")
        two.ctx.put("from/two", "1")
        two.ctx.put("from/two", "2")
        clones.settle()
        for watch in (here, there):
            assert {(change.key, change.actor) for change in told(watch)} == {("from/one", "one"), ("from/two", "two")}
        assert here.revision == there.revision == one.head()


def test_a_machine_whose_history_only_a_second_parent_leads_to_goes_on_without_a_gap(clones: Clones) -> None:
    one, two = clones.pair()
    with one.ctx.watch() as here, two.ctx.watch() as there:
        before = etags(one)
        seen_here: list[WatchedChange] = []
        seen_there: list[WatchedChange] = []
        for number in range(2):
            one.ctx.put(f"one/{number}", "1")
            one.ctx.put("both", f"one {number}")
            two.ctx.put(f"two/{number}", "1")
            two.ctx.put("both", f"two {number}")
            two.ctx.remove("both")
            two.ctx.put("both", f"two {number}, again")
            seen_here += told(here)
            seen_there += told(there)
            (one if number % 2 else two).exchange()
            clones.settle()
        seen_here += told(here)
        seen_there += told(there)
    assert applied(before, seen_here) == applied(before, seen_there) == etags(one) == etags(two)
    for seen, machine in ((seen_here, one), (seen_there, two)):
        place = next(change.revision for change in seen if change.key == f"{machine.name}/1")
        rest = list(machine.ctx.changes(since=place))
        assert applied(etags(machine, at=place), rest) == etags(machine)
        assert {change.actor for change in rest if change.key.startswith("one/")} <= {"one"}
        assert {change.actor for change in rest if change.key.startswith("two/")} <= {"two"}


def test_a_session_is_not_told_its_own_write_when_a_merge_brings_it_back(clones: Clones) -> None:
    """The other machine merged it: here it comes as a change of the other's history, but it was there all the time."""
    one, two = clones.pair()
    session = one.ctx.sessions.start(actor="one", hold=False)
    with one.ctx.watch(exclude_session=session.id) as here:
        session.context.put("own", "1")
        two.ctx.put("from/two", "1")
        one.exchange()
        clones.settle()
        session.context.put("own", "2")
        one.exchange()
        clones.settle()
        assert [(change.key, change.actor) for change in told(here)] == [("from/two", "two")]
