"""Exchanges while other programs write to the same store: nobody waits for the other, and one merge is enough."""

from __future__ import annotations

from collections.abc import Callable

from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.audit import assert_written_once
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children

WRITES = 60


def test_writers_in_other_programs_go_on_while_exchanges_merge(clones: Clones) -> None:
    one, two = clones.pair()

    def writer(name: str) -> Callable[[Talk], list[str]]:
        def run(_: Talk) -> list[str]:
            ctx = Context(Store.open(one.path, one.config), actor=name)
            return [
                (ctx.put("same", f"{name} {number}") if number % 3 == 0 else ctx.add(f"{name}/", "x")).id
                for number in range(WRITES)
            ]

        return run

    ids: list[str] = []
    exchanges = 0
    with children(writer("a"), writer("b")) as running:
        waiting = list(running)
        while waiting:
            ids.append(two.ctx.add("two/", "x").id)
            assert two.exchange().complete
            report = one.exchange()
            assert report.complete
            assert report.rounds <= 1
            exchanges += 1
            ended = [child for child in waiting if child.talk.heard()]
            for child in ended:
                ids += child.result()
                waiting.remove(child)
    clones.settle()
    assert_written_once(one.path, ids)
    merges = int(git(one.path, "rev-list", "--merges", "--count", "--grep=^sync with", "context"))
    assert merges <= 2 * exchanges + 2


def test_a_write_beside_an_exchange_that_hangs_doesnt_wait_for_it(clones: Clones) -> None:
    one, _ = clones.pair()
    hang = clones.folder / "hang"
    hang.write_text("#!/bin/sh\nsleep 60\n")
    hang.chmod(0o755)
    git(one.path, "config", "remote.origin.uploadpack", str(hang))

    def exchange(talk: Talk) -> None:
        talk.say("begun")
        Machine("one", one.path, one.config).exchange()

    with children(exchange) as (child,):
        assert child.talk.hear() == "begun"
        ids = [one.ctx.put(f"k/{number}", "1").id for number in range(20)]
        assert not child.talk.heard()
        child.kill()
    git(one.path, "config", "--unset", "remote.origin.uploadpack")
    assert one.exchange().complete
    assert_written_once(clones.hub.path, ids)
