"""Packs on disk: what a failed or killed writer leaves, and readers that live through many packs."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.repository.compaction import Candidate, Compactor, choose
from gitctx.repository.packs import by_name, clear_leftovers
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children, die

RELAXED = Config(durability="relaxed")


@pytest.fixture(autouse=True)
def _points_off() -> Iterator[None]:
    yield
    failpoints.deactivate()


def folder(store: Store) -> Path:
    return store.path / "objects" / "pack"


def clear(store: Store, before_s: float) -> None:
    clear_leftovers(str(store.path / "objects"), before_s)


@pytest.mark.parametrize(
    "point", ["pack.before_index", "pack.before_names", "pack.between_names", "pack.after_index", "write.before_swap"]
)
def test_what_a_killed_writer_leaves_is_cleared_when_it_is_old_and_not_before(store: Store, point: str) -> None:
    Context(store, actor="planner").put("plan/a.md", "1")
    complete = set(by_name(str(folder(store))))

    def victim(_: Talk) -> None:
        failpoints.activate(point, die)
        Context(Store.open(store.path, RELAXED), actor="victim").put("plan/a.md", "2")

    with children(victim) as (child,):
        child.wait_killed()
    left = sorted(os.listdir(folder(store)))
    assert any(name.endswith(".keep") for name in left)
    clear(store, time.time() - 600)
    assert sorted(os.listdir(folder(store))) == left
    clear(store, time.time() + 1)
    found = by_name(str(folder(store)))
    assert set(map(frozenset, found.values())) == {frozenset({"pack", "idx"})}
    assert complete <= set(found)
    assert not [name for name in os.listdir(folder(store)) if name.startswith("tmp")]
    assert_sound(store.path)


def test_what_is_not_ours_to_clear_stays(store: Store) -> None:
    Context(store, actor="planner").put("plan/a.md", "1")
    base = next(iter(by_name(str(folder(store)))))
    for name, content in (
        (f"{base}.keep", b"the user's own reason\n"),
        (f"pack-{'1' * 40}.pack", b"PACK of somebody who lost its index"),
        ("tmp_pack_aBc123", b"git is writing"),
        ("tmp_idx_aBc123", b"git is writing"),
        ("notes.txt", b""),
    ):
        (folder(store) / name).write_bytes(content)
    before = sorted(os.listdir(folder(store)))
    clear(store, time.time() + 1)
    assert sorted(os.listdir(folder(store))) == before


def test_a_pack_that_vanishes_in_the_middle_of_a_write_is_written_again(store: Store) -> None:
    """The writer was stopped for so long that its keep was cleared, and a repack dropped what nothing reached."""
    ctx = Context(store, actor="planner")
    ctx.put("plan/a.md", "0")
    for number, point in enumerate(["write.before_swap", "swap.after_lock", "write.after_swap"]):

        def tidy() -> None:
            failpoints.deactivate()
            clear(store, time.time() + 1)
            git(store.path, "repack", "-adq", check=False)
            for path in folder(store).glob("*.keep"):
                path.unlink()

        failpoints.activate(point, tidy)
        ctx.put("plan/a.md", f"value {number}")
        assert Context(Store.open(store.path), actor="reader").get("plan/a.md").text() == f"value {number}"
        assert_sound(store.path)


def test_a_file_system_without_hard_links_will_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for durability in ("durable", "relaxed"):
        ctx = Context(Store.open(store.path, Config(durability=durability)), actor="planner")
        ctx.put("plan/a.md", durability)
        ctx.checkpoints.create(durability)
    assert set(map(frozenset, by_name(str(folder(store))).values())) == {frozenset({"pack", "idx"})}
    assert_sound(store.path)


def test_a_publication_of_nothing_new_moves_the_ref_only(store: Store) -> None:
    head = store.context.head()
    before = sorted(os.listdir(folder(store)))
    store.repository.publish(
        [], "refs/tags/mark", head, expected=None, who="x <x@y>", message="m", at_s=1, durable=True
    )
    assert store.repository.read_ref("refs/tags/mark") == head
    assert sorted(os.listdir(folder(store))) == before


def test_the_lowest_level_that_has_enough_packs_is_merged() -> None:
    def packs(number: int, objects: int, size: int = 1_000) -> list[Candidate]:
        return [Candidate(f"{objects}-{each}", size, 1_072 + 28 * objects) for each in range(number)]

    assert choose(packs(31, 4) + packs(31, 128) + packs(31, 4_096)) == []
    assert choose(packs(32, 4) + packs(40, 128)) == packs(32, 4)
    assert choose(packs(31, 127) + packs(40, 128)) == packs(40, 128)
    assert choose(packs(31, 4) + packs(33, 131_071)) == packs(33, 131_071)
    assert choose(packs(99, 131_072)) == []
    assert len(choose(packs(1_000, 4))) == 128
    assert choose(packs(40, 4, 1 << 24)) == [], "four of them are as much as a merge takes"


def test_a_long_lived_reader_stays_fast_and_small_beside_a_writer_whose_packs_come_and_go(store: Store) -> None:
    """libgit2 keeps every pack it ever saw, and looks through all of them."""
    rounds = 900

    def reader(talk: Talk) -> None:
        gc.collect()
        inherited = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (inherited + 200, inherited + 200))
        ctx = Context(Store.open(store.path), actor="reader")
        while (number := talk.hear()) is not None:
            assert ctx.get("plan/a.md").text() == f"value {number}"
            open_files = len(os.listdir("/proc/self/fd")) - inherited
            mapped = Path("/proc/self/maps").read_text().count("/objects/pack/")
            talk.say((open_files, mapped))
        for back in range(1, rounds, 100):
            assert ctx.get("plan/a.md", at=f"head~{back}").text() == f"value {rounds - 1 - back}"

    seen = []
    ctx = Context(Store.open(store.path, RELAXED), actor="planner")
    with children(reader) as (child,):
        for number in range(rounds):
            ctx.put("plan/a.md", f"value {number}")
            ctx.store.repository.compact_if_due()
            ctx.store.repository.finish_compaction()
            if number % 3 == 0:
                child.talk.say(number)
                seen.append(child.talk.hear())
        child.talk.say(None)
        child.result()
    assert len(by_name(str(folder(store)))) < 100
    files, maps = zip(*seen, strict=True)
    assert max(files) < 120
    assert max(maps) < 400, "packs of long ago are still mapped"


def test_an_open_pygit2_handle_and_git_read_on_while_packs_are_merged_under_them(store: Store) -> None:
    import pygit2

    ctx = Context(Store.open(store.path, RELAXED), actor="planner")
    ctx.store.repository.compact_if_due = lambda: None  # type: ignore[method-assign]
    handle = pygit2.Repository(str(store.path))
    revisions = []
    for number in range(150):
        revisions.append(ctx.put("plan/a.md", f"value {number}").revision)
        if number % 10 == 0:
            assert handle[revisions[-1]].id == pygit2.Oid(hex=revisions[-1])
        if number % 40 == 39:
            Compactor(str(store.path)).run()
            assert git(store.path, "show", "context:plan/a.md") == f"value {number}"
            for revision in revisions:
                assert handle[revision].tree["plan/a.md"].data.startswith(b"value ")
    assert len(by_name(str(folder(store)))) < 50
    assert_sound(store.path)
