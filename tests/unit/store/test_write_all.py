"""Many writes handed over at once: in their order, each for itself, by few swaps; whatever else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import EntryNotFound, RetriesExhausted, StorageError
from gitctx.store import Store, View
from gitctx.store.request import Planned, Request
from gitctx.values import Written
from gitctx_testkit.git import git


def request(number: int, plan: Callable[[View], Planned] | None = None) -> Request:
    def put(view: View) -> Planned:
        return Planned(changes={f"k/{number:03}": b"%d" % number})

    return Request(op="put", subject=f"put {number}", actor="planner", plan=plan or put)


def subjects(store: Store) -> list[str]:
    return git(store.path, "log", "--reverse", "--format=%s", "context").splitlines()[1:]


@pytest.mark.parametrize("together", [True, False])
def test_each_is_a_commit_in_order_and_sees_those_before_it(store: Store, together: bool) -> None:
    branch = Store.open(store.path, Config(group_commit=together)).context
    swaps = len(store.repository.log_tail("refs/heads/context"))
    counted: list[int] = []

    def count(view: View) -> Planned:
        counted.append(sum(1 for _ in view.etags("k")))
        return Planned()

    outcomes = branch.write_all([*(request(number) for number in range(150)), request(150, count)])
    assert all(isinstance(each, Written) for each in outcomes)
    assert [each.changed for each in outcomes if isinstance(each, Written)] == [True] * 150 + [False]
    assert subjects(store) == [f"put {number}" for number in range(150)]
    assert counted == [150]
    if together:
        assert len(store.repository.log_tail("refs/heads/context")) - swaps == 3
    assert branch.write_all([]) == []


def test_one_that_is_refused_keeps_no_other_from_being_made(store: Store) -> None:
    def refuse(view: View) -> Planned:
        raise EntryNotFound("no")

    first, second, third = store.context.write_all([request(1), request(2, refuse), request(3)])
    assert isinstance(first, Written)
    assert isinstance(second, EntryNotFound)
    assert isinstance(third, Written)
    assert subjects(store) == ["put 1", "put 3"]


def test_when_the_disk_refuses_each_one_says_so_and_later_writes_go_on(store: Store) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    failpoints.activate("objects.before_write", fail)
    try:
        outcomes = store.context.write_all([request(number) for number in range(3)])
    finally:
        failpoints.deactivate()
    assert all(isinstance(each, StorageError) for each in outcomes)
    assert [isinstance(each, Written) for each in store.context.write_all([request(1)])] == [True]


def test_an_interrupt_leaves_the_writer_fit_for_others(store: Store) -> None:
    def interrupt(view: View) -> Planned:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.context.write_all([*(request(number) for number in range(70)), request(70, interrupt), request(71)])
    Context(store, actor="planner").put("after", "1")
    assert subjects(store)[-1] == "put after"
    assert "put 71" not in subjects(store)


def test_other_threads_write_beside_it_and_none_waits_for_ever(store: Store) -> None:
    context = Context(store, actor="coder")
    done: list[str] = []

    def write(name: str) -> None:
        for number in range(20):
            context.put(f"{name}/{number}", "1")
        done.append(name)

    threads = [threading.Thread(target=write, args=(f"thread-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    outcomes = store.context.write_all([request(number) for number in range(100)])
    for thread in threads:
        thread.join(60)
    assert sorted(done) == ["thread-0", "thread-1", "thread-2"]
    assert not any(isinstance(each, RetriesExhausted) for each in outcomes)
    assert [each for each in subjects(store) if "/" not in each] == [f"put {number}" for number in range(100)]
