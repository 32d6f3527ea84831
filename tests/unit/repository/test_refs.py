"""Reading and swapping refs: never an old value, whoever moved the ref and however fast."""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gitctx.errors import BrokenHistory
from gitctx.repository.refs import RefMoved, Refs
from gitctx_testkit.git import git
from gitctx_testkit.processes import Talk, children

REF = "refs/heads/context"


def oid(number: int) -> str:
    return f"{number:040x}"


def move(refs: Refs, old: int | None, new: int, ref: str = REF) -> None:
    with refs.new_value(oid(new)) as value:
        expected = oid(old) if old is not None else None
        refs.swap(ref, value, expected=expected, who="x <x@y>", message=f"to {new}", at_s=1, durable=False)


def open_files(of: Path) -> list[int]:
    """Descriptors of files below a folder."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(str(of)):
                found.append(int(name))
    return found


@pytest.mark.parametrize("turns", [1_000, pytest.param(10_000, marks=pytest.mark.soak)])
def test_two_processes_that_take_turns_always_see_each_others_last_value(bare: Path, turns: int) -> None:
    """Inode numbers come again at once and clocks tick slowly: only the file that is held open tells them apart."""

    def play(talk: Talk, first: int) -> None:
        refs = Refs(bare)
        for number in range(first, 2 * turns, 2):
            if number:
                assert talk.hear() == number
                assert refs.read(REF) == oid(number)
            move(refs, number or None, number + 1)
            assert refs.read(REF) == oid(number + 1)
            talk.say(number + 1)

    with children(lambda talk: play(talk, 1)) as (other,):
        play(other.talk, 0)
        assert other.talk.hear() == 2 * turns
        other.result()
    assert Refs(bare).read(REF) == oid(2 * turns)


def test_threads_that_share_refs_never_see_an_older_value_than_before(bare: Path) -> None:
    refs, stop = Refs(bare), threading.Event()
    move(refs, None, 1)
    wrong: list[tuple[int, int]] = []

    def look() -> None:
        last = 0
        while not stop.is_set():
            now = int(refs.read(REF) or "0", 16)
            if now < last:
                wrong.append((last, now))
            last = now

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 400):
        move(refs, number, number + 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_every_way_a_ref_can_change_is_noticed(bare: Path) -> None:
    refs = Refs(bare)
    assert refs.read(REF) is None
    move(refs, None, 1)
    assert refs.read(REF) == oid(1)
    blob = git(bare, "hash-object", "-w", "--stdin", stdin="x")
    tree = git(bare, "mktree", stdin="")
    commits = [git(bare, "commit-tree", "-m", f"{number}", tree) for number in range(3)]
    git(bare, "update-ref", REF, commits[0])
    assert refs.read(REF) == commits[0]
    git(bare, "pack-refs", "--all", "--prune")
    assert not (bare / REF).exists()
    assert refs.read(REF) == commits[0]
    git(bare, "update-ref", REF, commits[1])
    assert refs.read(REF) == commits[1]
    (bare / REF).write_text(f"{commits[2]}\n")
    os.utime(bare / REF, (1, 1))
    assert refs.read(REF) == commits[2], "written in place"
    git(bare, "update-ref", "-d", REF)
    assert refs.read(REF) is None
    (bare / REF).mkdir()
    assert refs.read(REF) is None
    (bare / REF).rmdir()
    (bare / REF).write_text("garbage")
    with pytest.raises(BrokenHistory):
        refs.read(REF)
    (bare / REF).write_text(f"{blob}\n")
    assert refs.read(REF) == blob


def test_two_files_stay_open_for_a_branch_the_ref_and_its_log_and_none_for_other_refs(bare: Path) -> None:
    refs = Refs(bare)
    for number in range(50):
        move(refs, number or None, number + 1)
        move(refs, None, number + 1, f"refs/tags/t{number}")
        assert refs.read(REF) == refs.read(f"refs/tags/t{number}") == oid(number + 1)
    kept = open_files(bare)
    assert len(kept) == 2
    assert not any(os.get_inheritable(descriptor) for descriptor in kept)
    del refs
    assert open_files(bare) == []


def test_a_forked_child_and_its_parent_read_on_independently(bare: Path) -> None:
    refs = Refs(bare)
    move(refs, None, 1)
    assert refs.read(REF) == oid(1)

    def child(talk: Talk) -> None:
        assert refs.read(REF) == oid(1)
        move(refs, 1, 2)
        talk.say("moved")
        talk.hear()
        assert refs.read(REF) == oid(3)

    with children(child) as (forked,):
        assert forked.talk.hear() == "moved"
        assert refs.read(REF) == oid(2)
        move(refs, 2, 3)
        forked.talk.say("moved")
        forked.result()
    assert refs.read(REF) == oid(3)


def test_a_ref_is_read_with_one_free_descriptor(bare: Path) -> None:
    def run(_: Talk) -> None:
        refs = Refs(bare)
        move(refs, None, 1)
        refs.read(REF)
        move(Refs(bare), 1, 2)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with suppress(OSError):
            while True:
                os.dup(0)
        assert refs.read(REF) == oid(2), "the file that was open before made room"

    with children(run) as (child,):
        child.result()


def test_a_swap_that_expects_another_value_changes_nothing(bare: Path) -> None:
    refs = Refs(bare)
    move(refs, None, 1)
    for expected in (None, 2):
        with pytest.raises(RefMoved) as caught:
            move(refs, expected, 3)
        assert caught.value.actual == oid(1)
    assert refs.read(REF) == oid(1)
    assert len((bare / "logs" / REF).read_bytes().splitlines()) == 1
    assert os.listdir(bare / "gitctx" / "locks") == []
    assert not (bare / f"{REF}.lock").exists()
