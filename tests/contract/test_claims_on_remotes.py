"""Claims between machines: the one that is published first has it."""

from __future__ import annotations

import shutil

import pytest

from gitctx import failpoints
from gitctx.errors import ClaimHeld, ClaimLost, ClaimNotFound, RemoteNotFound, RemoteRejected, RemoteUnreachable
from gitctx_testkit.clones import Clones


@pytest.fixture(autouse=True)
def _no_failpoints() -> None:
    failpoints.deactivate()


def test_what_one_machine_has_claimed_the_other_is_refused_and_told_who_holds_it(clones: Clones) -> None:
    one, two = clones.pair()
    made = one.ctx.sync.claim("deploy", message="v2")
    with pytest.raises(ClaimHeld) as error:
        two.ctx.sync.claim("deploy")
    assert error.value.details["actor"] == "one"
    assert two.ctx.claims.get("deploy").id == made.id
    one.ctx.claims.release("deploy")
    one.exchange()
    assert two.ctx.sync.claim("deploy").actor == "two"


def test_of_two_at_once_one_gets_it_and_the_other_keeps_nothing(clones: Clones) -> None:
    one, two = clones.pair()

    def be_faster() -> None:
        failpoints.deactivate()
        one.ctx.sync.claim("deploy")

    passed = iter(range(10))
    failpoints.activate("exchange.after_merge", lambda: be_faster() if next(passed) == 1 else None)
    with pytest.raises(ClaimHeld):
        two.ctx.sync.claim("deploy")
    for machine in (one, two):
        assert machine.ctx.claims.get("deploy").actor == "one"


def test_who_holds_a_claim_that_was_published_later_learns_that_it_is_lost(clones: Clones) -> None:
    one, two = clones.pair()

    def be_slower() -> None:
        with two.ctx.claims.hold("deploy"):
            one.ctx.claims.claim("deploy")
            one.exchange()
            two.exchange()
            assert two.ctx.claims.get("deploy").actor == "one"

    with pytest.raises(ClaimLost):
        be_slower()
    clones.settle()
    assert two.ctx.claims.get("deploy").actor == "one"


@pytest.mark.parametrize("gone", ["before", "after the claim"])
def test_an_unreachable_remote_leaves_no_claim_behind(clones: Clones, gone: str) -> None:
    one, _ = clones.pair()

    def lose_it() -> None:
        failpoints.deactivate()
        shutil.move(clones.hub.path, clones.folder / "away.git")

    if gone == "before":
        lose_it()
    else:
        passed = iter(range(10))
        failpoints.activate("exchange.before_fetch", lambda: lose_it() if next(passed) == 1 else None)
    with pytest.raises(RemoteUnreachable):
        one.ctx.sync.claim("deploy")
    with pytest.raises(ClaimNotFound):
        one.ctx.claims.get("deploy")


def test_a_remote_that_refuses_leaves_no_claim_behind(clones: Clones) -> None:
    one, _ = clones.pair()
    clones.hub.refuse_all()
    with pytest.raises(RemoteRejected):
        one.ctx.sync.claim("deploy")
    with pytest.raises(ClaimNotFound):
        one.ctx.claims.get("deploy")


def test_without_a_remote_there_is_nothing_to_claim_on(clones: Clones) -> None:
    one = clones.begin("one", remote=False)
    with pytest.raises(RemoteNotFound):
        one.ctx.sync.claim("deploy")


def test_a_renewal_is_published_too_and_a_claim_is_made_once_per_id(clones: Clones) -> None:
    one, two = clones.pair()
    made = one.ctx.sync.claim("deploy", ttl_s=600, id="claim-1")
    assert one.ctx.sync.claim("deploy", ttl_s=600, id="claim-1").id == made.id
    renewed = one.ctx.sync.claim("deploy", ttl_s=3600, renew=True)
    two.exchange()
    assert two.ctx.claims.get("deploy").expires_at == renewed.expires_at > made.expires_at


def test_a_claim_travels_though_the_remote_refuses_everything_but_the_context(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.sessions.start(actor="one", agent="test").end()
    one.ctx.checkpoints.create("here")
    clones.hub.refuse_ref("refs/heads/sessions|refs/tags/*")
    one.ctx.sync.claim("deploy")
    with pytest.raises(ClaimHeld):
        two.ctx.sync.claim("deploy")
