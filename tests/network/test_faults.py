"""A network that cuts, delays and loses replies: whatever an exchange said, the next one settles it, exactly once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import RemoteUnreachable
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.fault_proxy import FaultProxy
from gitctx_testkit.processes import wait_until
from gitctx_testkit.working_clones import Meeting, keeping, ssh_in_soak_only

PATIENCE_S = 60.0
_HARMLESS = 2
"""Exchanges that may fail after the network is sound again: none should, but one may have begun before."""


@pytest.fixture
def broken(meeting: Meeting) -> Iterator[FaultProxy]:
    """A network between the store `far` and the server."""
    with meeting.proxy() as proxy:
        yield proxy


def try_to_exchange(context: Context) -> bool:
    """An exchange that may fail, but only because of the network."""
    try:
        return context.sync.exchange().complete
    except RemoteUnreachable:
        return False


def assert_all_settled(meeting: Meeting, near: Context, far: Context, ids: list[str]) -> None:
    assert far.sync.exchange().complete
    assert near.sync.exchange().complete
    assert far.sync.exchange().complete
    assert meeting.agree()
    meeting.assert_once(ids)


@pytest.mark.parametrize("cuts", few_or_many(6, 250))
def test_cut_at_any_byte_in_either_direction_nothing_is_lost_or_doubled(
    meeting: Meeting, broken: FaultProxy, cuts: int
) -> None:
    rng = random.Random(cuts)
    near, far = meeting.store("near"), meeting.store("far", url=broken.through(meeting.url))
    up, down = broken.bytes_up, broken.bytes_down
    ids = [near.put("plan/near", "first").id, far.put("plan/far", "first").id]
    near.sync.exchange()
    far.sync.exchange()
    sizes = {"up": broken.bytes_up - up, "down": broken.bytes_down - down}
    failed = 0
    for number in range(cuts):
        ids.append(far.put(f"plan/{number % 7}", f"far {number}").id)
        ids.append(near.put(f"plan/{number % 5}", f"near {number}").id)
        if number % 3 == 0:
            far.checkpoints.create(f"far-{number}")
        near.sync.exchange()
        direction = "up" if number % 2 else "down"
        broken.cut_after(rng.randrange(sizes[direction] + 1), direction)  # type: ignore[arg-type]
        failed += not try_to_exchange(far)
        broken.pass_on()
    assert failed > 0
    assert_all_settled(meeting, near, far, ids)
    assert {each.name for each in near.checkpoints.list()} == {each.name for each in far.checkpoints.list()}


@pytest.mark.parametrize("times", few_or_many(1, 40))
def test_a_reply_that_is_lost_after_the_server_has_committed_is_settled_in_the_same_exchange(
    meeting: Meeting, broken: FaultProxy, times: int
) -> None:
    near, far = meeting.store("near"), meeting.store("far", url=broken.through(meeting.url))
    ids = []
    for number in range(times):
        ids.append(far.put("plan/a", f"far {number}").id)
        before = meeting.head()
        broken.lose_the_reply(lambda before=before: meeting.head() != before)  # type: ignore[misc]
        cuts = broken.cuts
        report = far.sync.exchange()
        assert broken.cuts > cuts, "the reply got through"
        assert report.complete
        assert report.branch("context").sent == 1
        assert far.head == meeting.head()
    assert_all_settled(meeting, near, far, ids)


@ssh_in_soak_only
def test_a_reply_lost_by_a_network_that_stays_down_is_settled_by_the_next_exchange(
    meeting: Meeting, broken: FaultProxy
) -> None:
    near, far = meeting.store("near"), meeting.store("far", url=broken.through(meeting.url))
    ids = [far.put("plan/a", "far").id]
    before = meeting.head()

    def down_once_committed() -> bool:
        if meeting.head() == before:
            return False
        broken.refuse()
        return True

    broken.lose_the_reply(down_once_committed)
    with pytest.raises(RemoteUnreachable):
        far.sync.exchange()
    assert meeting.head() == far.head
    ids.append(near.put("plan/a", "near, later").id)
    near.sync.exchange()
    broken.pass_on()
    assert_all_settled(meeting, near, far, ids)
    assert far.get("plan/a").text() == "near, later"


@ssh_in_soak_only
def test_joining_through_a_network_that_cuts_leaves_no_half_store(meeting: Meeting, broken: FaultProxy) -> None:
    near = meeting.store("near")
    rng = random.Random(1)
    large = rng.randbytes(20_000)
    near.put("plan/a", large)
    near.sync.exchange()
    for number in range(3):
        broken.cut_after(rng.randrange(len(large)), "down")
        with pytest.raises(RemoteUnreachable):
            meeting.store("far", url=broken.through(meeting.url))
        assert [path.name for path in meeting.folder.iterdir() if "far" in path.name] == [], number
    broken.pass_on()
    assert meeting.store("far", url=broken.through(meeting.url)).get("plan/a").value == large


@ssh_in_soak_only
def test_a_slow_network_is_only_slow(meeting: Meeting, broken: FaultProxy) -> None:
    near, far = meeting.store("near"), meeting.store("far", url=broken.through(meeting.url))
    ids = [near.put("plan/a", "near").id, far.put("plan/b", "far").id]
    broken.delay(0.05)
    assert_all_settled(meeting, near, far, ids)


@ssh_in_soak_only
def test_a_dead_remote_is_reported_and_left_alone_while_writes_go_on_and_it_comes_back(
    meeting: Meeting, broken: FaultProxy
) -> None:
    meeting.store("near")
    far = meeting.store("far", url=broken.through(meeting.url))
    broken.refuse()
    with keeping(far) as kept:
        wait_until(lambda: len(kept.errors) > 0, PATIENCE_S)
        ids = [far.put(f"plan/{number}", "x").id for number in range(300)]
        tried = len(kept.errors)
        assert tried < 10, "it doesn't back off"
        assert kept.errors[0].code == "remote_unreachable"
        broken.pass_on()
        wait_until(lambda: set(ids) <= meeting.ids().keys(), PATIENCE_S)
        wait_until(lambda: far.head == meeting.head(), PATIENCE_S)
    meeting.assert_once(ids)


@pytest.mark.parametrize("seconds", few_or_many(2, 60))
def test_kept_in_step_through_a_network_that_keeps_breaking_all_arrives_once(
    meeting: Meeting, broken: FaultProxy, seconds: int
) -> None:
    rng = random.Random(seconds)
    config = Config(network_timeout_s=5.0)
    near, far = meeting.store("near"), meeting.store("far", url=broken.through(meeting.url), config=config)
    ids = []
    with keeping(near), keeping(far) as kept:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(10):
                ids.append(far.put(f"plan/{rng.randrange(9)}", f"far {len(ids)}").id)
                ids.append(near.put(f"plan/{rng.randrange(9)}", f"near {len(ids)}").id)
            rng.choice(
                [
                    broken.pass_on,
                    broken.cut,
                    lambda: broken.cut_after(rng.randrange(4000), "down"),
                    lambda: broken.cut_after(rng.randrange(4000), "up"),
                    lambda: broken.delay(0.03),
                    broken.refuse,
                ]
            )()
            time.sleep(rng.uniform(0.05, 0.4))
        broken.pass_on()
        wait_until(lambda: set(ids) <= meeting.ids().keys() and meeting.agree(), PATIENCE_S)
    assert all(error.code == "remote_unreachable" for error in kept.errors), kept.errors
    meeting.assert_once(ids)


@pytest.mark.parametrize("server", [pytest.param("ssh", marks=pytest.mark.sshd)], indirect=True)
def test_the_shared_connection_that_is_cut_is_made_anew(meeting: Meeting, broken: FaultProxy) -> None:
    meeting.store("near")
    far = meeting.store("far", url=broken.through(meeting.url))
    with keeping(far) as kept:
        for number in range(3):
            id = far.put("plan/a", f"{number}").id
            wait_until(lambda: meeting.ids()[id] == 1, PATIENCE_S)  # noqa: B023 - asked at once
            broken.cut()
    assert len(kept.errors) <= 3 + _HARMLESS
