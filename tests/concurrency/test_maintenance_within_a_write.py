"""git's housekeeping runs in full while a write is under way, between any two of its steps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx.values import Durability
from gitctx_testkit.audit import assert_sound
from gitctx_testkit.git import git

# Geometric repacking takes loose objects that nothing reaches yet into a pack, and a full repack drops them from there.
ROUNDS = {
    "geometric, then all": [["repack", "-dq", "--geometric=2"], ["repack", "-adq"]],
    "all, then geometric": [["repack", "-adq"], ["repack", "-dq", "--geometric=2", "--write-midx"]],
    "gc": [["gc", "--quiet", "--prune=1.hour.ago"]],
    "geometric, then gc": [["repack", "-dq", "--geometric=2"], ["gc", "--quiet", "--prune=1.hour.ago"]],
    "pack-refs": [["pack-refs", "--all", "--prune"]],
}
POINTS = [name for name in failpoints.NAMES if name.split(".")[0] in ("objects", "pack", "write", "swap")]


@pytest.fixture(autouse=True)
def _points_off() -> Iterator[None]:
    yield
    failpoints.deactivate()


@pytest.mark.parametrize("what", ROUNDS)
@pytest.mark.parametrize("durability", ["durable", "relaxed"])
def test_housekeeping_between_two_steps_of_a_write_takes_nothing_away(
    store: Store, what: str, durability: Durability
) -> None:
    ctx = Context(Store.open(store.path, Config(durability=durability)), actor="planner")
    for number in range(3):
        ctx.put(f"plan/{number}.md", f"before {number}")
    for point in POINTS:
        ran: list[str] = []

        def keep_house(point: str = point, ran: list[str] = ran) -> None:
            failpoints.deactivate()
            for arguments in ROUNDS[what]:
                git(store.path, *arguments, check=not point.startswith("swap"))
            ran.append(point)

        failpoints.activate(point, keep_house)
        with ctx.batch() as batch:
            for number in range(30 if point.startswith("pack") else 1):
                batch.put(f"{point}/{number}.md", f"{point} {number}")
        assert ran == [point]
        fresh = Context(Store.open(store.path), actor="reader")
        assert fresh.get(f"{point}/0.md").text() == f"{point} 0"
        git(store.path, "fsck", "--connectivity-only")
    assert_sound(store.path)
