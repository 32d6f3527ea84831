"""Tests that need the machine for themselves get it, and nobody is kept out for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gitctx_testkit.processes import Child, Talk, children
from gitctx_testkit.room import room


def guest(folder: Path, *, alone: bool) -> Callable[[Talk], None]:
    def run(talk: Talk) -> None:
        talk.say("coming")
        with room(folder, alone=alone):
            talk.say("in")
            talk.hear()

    return run


def arrives(child: Child[None]) -> None:
    assert child.talk.hear() == "coming"


def is_in(child: Child[None]) -> None:
    assert child.talk.hear() == "in"


def test_many_share_the_room_unless_somebody_wants_it_alone(tmp_path: Path) -> None:
    shared, alone = guest(tmp_path, alone=False), guest(tmp_path, alone=True)
    with children(shared, shared) as (first, second):
        for child in (first, second):
            arrives(child)
            is_in(child)
        with children(alone) as (third,):
            arrives(third)
            first.talk.say("go")
            first.result()
            assert not third.talk.heard(), "the second is still in"
            second.talk.say("go")
            is_in(third)
            with children(shared, alone) as later:
                for child in later:
                    arrives(child)
                assert not any(child.talk.heard() for child in later)
                third.talk.say("go")
                for child in later:
                    child.talk.say("go")
                for child in later:
                    is_in(child)
                    child.result()


def test_one_that_was_killed_leaves_the_room(tmp_path: Path) -> None:
    alone = guest(tmp_path, alone=True)
    with children(alone) as (inside,):
        arrives(inside)
        is_in(inside)
        with children(alone) as (waiting,):
            arrives(waiting)
            inside.kill()
            is_in(waiting)
