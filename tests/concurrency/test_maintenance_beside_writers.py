"""git's own housekeeping runs in a loop beside the writers, and a plain git client pushes to the same branch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.maintenance.maintenance import Maintenance
from gitctx.repository.compaction import Compactor
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, assert_written_once
from gitctx_testkit.git import clean_environment, git
from gitctx_testkit.maintained import everything_is_due
from gitctx_testkit.processes import Talk, children

PATIENT = Config(durability="relaxed", retry=RetryPolicy(deadline_s=60.0))
DURABLE = Config(retry=RetryPolicy(deadline_s=60.0))
FASTER = (b"lock", b"File exists", b"could not find pack", b"cannot be accessed")
HOUSEKEEPING = {
    "pack-refs": ["pack-refs", "--all", "--prune"],
    "repack -ad": ["repack", "-adq"],
    "repack --geometric": ["repack", "-dq", "--geometric=2", "--write-midx"],
    "gc": ["gc", "--quiet", "--prune=1.hour.ago"],
}


def loop_until_told(path: Path, commands: list[list[str]]) -> Callable[[Talk], int]:
    """One maintainer, as git wants it: one command after the other."""

    def run(talk: Talk) -> int:
        rounds = 0
        while not talk.heard():
            arguments = commands[rounds % len(commands)]
            done = subprocess.run(
                ["git", f"--git-dir={path}", *arguments], env=clean_environment(), capture_output=True, timeout=120
            )
            # A round may find that another writer, or a merge of packs, was faster; it must not find the store broken.
            assert done.returncode == 0 or any(text in done.stderr for text in FASTER), done.stderr
            rounds += 1
        return rounds

    return run


def write_many(path: Path, who: int, count: int) -> Callable[[Talk], list[str]]:
    def run(_: Talk) -> list[str]:
        ctx = Context(Store.open(path, DURABLE if who == 0 else PATIENT), actor=f"agent-{who}")
        ids = []
        for number in range(count):
            if number % 7 == 3:
                with ctx.batch() as batch:
                    for part in range(30):
                        batch.put(f"agent-{who}/{part}.md", f"{who} {number} {part}")
                assert batch.written is not None
                ids.append(str(batch.written.id))
            else:
                ids.append(str(ctx.put(f"shared/{number % 5}.md", f"{who} {number}").id))
            Compactor(str(path)).run()
            ids.append(str(ctx.update("counter.json", lambda value: (value or 0) + 1).id))
            if number % 10 == 0:
                ctx.checkpoints.create(f"agent-{who}/{number}")
        return ids

    return run


def push_plainly(path: Path, clone: Path, count: int) -> Callable[[Talk], list[str]]:
    """A person with plain git: commit, pull --rebase, push, until the push is accepted."""

    def run(_: Talk) -> list[str]:
        git(clone.parent, "clone", "-q", f"file://{path}", clone.name)  # by links it fails beside any repack
        pushed = []
        for number in range(count):
            (clone / "people").mkdir(exist_ok=True)
            (clone / "people" / f"{number}.md").write_text(f"by hand {number}")
            git(clone, "add", ".")
            git(clone, "commit", "-q", "-m", f"by hand {number}")
            for _attempt in range(500):
                git(clone, "pull", "-q", "--rebase")
                done = subprocess.run(
                    ["git", "push", "-q"], cwd=clone, env=clean_environment(), capture_output=True, timeout=120
                )
                if done.returncode == 0:
                    break
            else:
                raise AssertionError(f"the push was never accepted: {done.stderr!r}")
            pushed.append(f"by hand {number}")
        return pushed

    return run


def maintain_until_told(path: Path, *, full: bool) -> Callable[[Talk], int]:
    """A maintainer of ours, for which everything is always due."""

    def run(talk: Talk) -> int:
        rounds = 0
        with everything_is_due():
            while not talk.heard():
                done = Maintenance(Store.open(path, PATIENT)).run(full=full and rounds % 3 == 2)
                rounds += any(each.state == "done" for each in done.steps)
        return rounds

    return run


def check(store: Store, maintain: list[Callable[[Talk], int]], *, writers: int, writes: int, pushes: int) -> None:
    with children(*maintain) as maintainers:
        with children(*(write_many(store.path, who, writes) for who in range(writers))) as writing:
            with children(push_plainly(store.path, store.path.parent / "clone", pushes)) as (person,):
                pushed = person.result(600)
            acknowledged = [id for child in writing for id in child.result(600)]
        rounds = []
        for each in maintainers:
            with suppress(BrokenPipeError):  # its result says why
                each.talk.say("stop")
            rounds.append(each.result())
    assert all(rounds), "the housekeeping never ran"
    assert_written_once(store.path, acknowledged)
    subjects = git(store.path, "log", "--format=%s", "context").splitlines()
    assert [subjects.count(subject) for subject in pushed] == [1] * len(pushed)
    reader = Context(Store.open(store.path), actor="reader")
    assert reader.get("counter.json").json() == writers * writes
    assert [reader.get(f"people/{number}.md").text() for number in range(pushes)] == pushed
    assert len(reader.checkpoints.list()) == writers * len(range(0, writes, 10))


@pytest.mark.parametrize("what", HOUSEKEEPING)
def test_housekeeping_beside_writers_takes_nothing_away(store: Store, what: str) -> None:
    check(store, [loop_until_told(store.path, [HOUSEKEEPING[what]])], writers=3, writes=25, pushes=3)


def test_a_person_with_plain_git_and_gitctx_writers_lose_nothing_to_each_other(store: Store) -> None:
    check(store, [], writers=3, writes=40, pushes=10)


@pytest.mark.soak
def test_all_housekeeping_for_long_takes_nothing_away(store: Store) -> None:
    one_maintainer = list(HOUSEKEEPING.values())
    loops = [loop_until_told(store.path, each) for each in (one_maintainer, [HOUSEKEEPING["pack-refs"]])]
    check(store, loops, writers=8, writes=800, pushes=60)


def test_maintenance_beside_eight_writers_takes_nothing_away(store: Store) -> None:
    check(store, [maintain_until_told(store.path, full=True)], writers=8, writes=12, pushes=3)
    assert_sound(store.path)


def test_two_maintainers_and_a_git_by_hand_take_nothing_away(store: Store) -> None:
    ours = [maintain_until_told(store.path, full=True) for _ in range(2)]
    by_hand = loop_until_told(store.path, [HOUSEKEEPING["repack -ad"]])
    check(store, [*ours, by_hand], writers=3, writes=20, pushes=2)
    assert_sound(store.path)


@pytest.mark.soak
def test_maintenance_for_long_takes_nothing_away(store: Store) -> None:
    check(store, [maintain_until_told(store.path, full=True)] * 2, writers=8, writes=800, pushes=60)
    assert_sound(store.path)
