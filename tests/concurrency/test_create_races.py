"""Create if absent: of several who try at the same moment exactly one wins, round after round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import AlreadyExists, CheckpointNotFound, InvalidName, PreconditionFailed
from gitctx.store import Store
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git
from gitctx_testkit.processes import Crew

CONTENDERS = 4
EAGER = Config(durability="relaxed", queue_patience_s=0.0, retry=RetryPolicy(deadline_s=30.0))
Work = Callable[[str], str]


def put_if_absent(path: Path, who: int) -> Work:
    ctx = Context(Store.open(path, EAGER), actor=f"agent-{who}")

    def work(key: str) -> str:
        try:
            ctx.put(key, f"{who}", if_absent=True)
        except PreconditionFailed:
            return "refused"
        return "won"

    return work


def create_checkpoint(path: Path, who: int) -> Work:
    ctx = Context(Store.open(path, EAGER), actor=f"agent-{who}")

    def work(name: str) -> str:
        try:
            made = ctx.checkpoints.create(name, message=f"by {who}")
        except AlreadyExists:
            return "refused"
        assert made.actor == f"agent-{who}", "told of somebody else's checkpoint"
        return "won"

    return work


def delete_checkpoint(path: Path, who: int) -> Work:
    ctx = Context(Store.open(path, EAGER), actor=f"agent-{who}")

    def work(name: str) -> str:
        try:
            ctx.checkpoints.delete(name)
        except CheckpointNotFound:
            return "refused"
        return "won"

    return work


def one_wins(path: Path, start: Callable[[Path, int], Work], rounds: int, prefix: str) -> None:
    with Crew(CONTENDERS, lambda who: start(path, who)) as crew:
        for number in range(rounds):
            outcomes = crew.round(f"{prefix}{number}")
            assert outcomes.count("won") == 1, f"round {number}: {outcomes}"
            assert outcomes.count("refused") == CONTENDERS - 1


@pytest.mark.parametrize("rounds", few_or_many(40, 1000))
@pytest.mark.parametrize(("start", "prefix"), [(put_if_absent, "key/"), (create_checkpoint, "point-")])
def test_of_those_who_create_one_name_exactly_one_wins(
    store: Store, start: Callable[[Path, int], Work], prefix: str, rounds: int
) -> None:
    one_wins(store.path, start, rounds, prefix)


def test_of_those_who_delete_one_checkpoint_exactly_one_succeeds(store: Store) -> None:
    ctx = Context(store, actor="planner")
    for number in range(10):
        ctx.checkpoints.create(f"point-{number}")
    one_wins(store.path, delete_checkpoint, 10, "point-")
    assert ctx.checkpoints.list() == []


def test_a_name_and_a_folder_of_that_name_never_come_to_stand_beside_each_other(store: Store) -> None:
    def start(who: int) -> Work:
        ctx = Context(Store.open(store.path, EAGER), actor=f"agent-{who}")

        def work(name: str) -> str:
            try:
                ctx.checkpoints.create(name if who % 2 else f"{name}/inner")
            except (AlreadyExists, InvalidName):
                return "refused"
            return "won"

        return work

    with Crew(CONTENDERS, start) as crew:
        for number in range(20):
            assert crew.round(f"point-{number}").count("won") == 1
    assert len(git(store.path, "tag").splitlines()) == 20


def test_of_those_who_make_one_store_exactly_one_wins(tmp_path: Path) -> None:
    def start(who: int) -> Work:
        def work(name: str) -> str:
            try:
                Store.create(tmp_path / name)
            except AlreadyExists:
                return "refused"
            return "won"

        return work

    with Crew(CONTENDERS, start) as crew:
        for number in range(5):
            outcomes = crew.round(f"store-{number}.git")
            assert outcomes.count("won") == 1
            Context(Store.open(tmp_path / f"store-{number}.git"), actor="planner").put("plan/a.md", "1")
    assert len(list(tmp_path.iterdir())) == 5, "nothing half made is left behind"
