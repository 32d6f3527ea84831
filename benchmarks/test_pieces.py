"""The small pieces that a write is made of: `python -m pytest benchmarks --benchmark-only`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import gitctx
from benchmarks.workload import entries
from gitctx import Context
from gitctx.format import layout, messages
from gitctx.format.objects import Object, make_object, parse_tree, serialise_tree
from gitctx.format.packs import make_pack
from gitctx.repository import Repository
from gitctx.repository.disk import sync_files
from gitctx.store import Store
from gitctx.store.draft import Draft
from gitctx.store.queue import WriterQueue

_AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(gitctx.create(tmp_path / "store.git"))
    yield opened
    assert Context(opened, actor="reader").verify().ok


def fresh_object(number: int) -> Object:
    return make_object("blob", b"%d " % number + b"x" * 200)


@pytest.mark.parametrize("size", [250, 20_000, 100_000])
def test_layout_apply(benchmark: BenchmarkFixture, store: Store, size: int) -> None:
    oid = fresh_object(0).oid
    keys = list(entries(size, folders=1))
    trees = Draft(store.repository)
    root = layout.apply(trees, store.context.view().tree, dict.fromkeys(keys, oid))
    store.repository.put_down(trees.take_reachable(root), durable=False)
    numbers = count()
    benchmark(lambda: layout.apply(Draft(store.repository), root, {keys[0]: fresh_object(next(numbers)).oid}))


@pytest.fixture
def tree(store: Store) -> layout.Tree:
    trees = Draft(store.repository)
    root = layout.apply(trees, store.context.view().tree, dict.fromkeys(entries(200, folders=1), fresh_object(0).oid))
    (inner,) = trees.fresh[root][0].values()
    return trees.fresh[inner.oid][0]


def test_parse_a_tree_of_200(benchmark: BenchmarkFixture, tree: layout.Tree) -> None:
    data = serialise_tree(tree)
    assert benchmark(parse_tree, data)[0] == tree


def test_serialise_a_tree_of_200(benchmark: BenchmarkFixture, tree: layout.Tree) -> None:
    assert benchmark(serialise_tree, tree)


def commit_data() -> bytes:
    trailers = [
        (messages.OP, "put"),
        (messages.ID, "01JD0000000000000000000000"),
        (messages.CHANGE, "5f0c5f0c5f0c5f0c"),
    ]
    return messages.encode_commit(
        tree="1" * 40,
        parents=["2" * 40],
        author=messages.actor_identity("planner", _AT),
        committer=messages.host_identity("laptop", _AT),
        message=messages.build_message("put plan/a.md", "why", trailers),
    )


def test_encode_a_commit(benchmark: BenchmarkFixture) -> None:
    assert benchmark(commit_data)


def test_decode_a_commit(benchmark: BenchmarkFixture) -> None:
    assert benchmark(messages.decode_commit, commit_data()).tree == "1" * 40


def test_a_turn_in_the_queue(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    queue = WriterQueue(tmp_path / "queue")

    def turn() -> bool:
        with queue.turn(1.0) as mine:
            return mine.held

    assert benchmark(turn)


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
def test_swap_a_ref(benchmark: BenchmarkFixture, store: Store, durable: bool) -> None:
    refs, ref = store.repository.refs, "refs/heads/other"
    ids = (f"{number:040x}" for number in count(1))
    held: list[str] = []

    def swap() -> None:
        new = next(ids)
        expected = held[-1] if held else None
        with refs.new_value(new) as value:
            if durable:
                sync_files([value.descriptor])
            refs.swap(ref, value, expected=expected, who="x <x@y>", message="m", at_s=1, durable=durable)
        held.append(new)

    benchmark(swap)
    assert refs.read(ref) == held[-1]
    for place in (ref, f"logs/{ref}"):  # the ids are made up, and the store is verified
        (store.path / place).unlink()


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
@pytest.mark.parametrize("number", [1, 5, 23, 100])
def test_put_objects_down(benchmark: BenchmarkFixture, store: Store, number: int, durable: bool) -> None:
    repository: Repository = store.repository
    numbers = count()

    def put() -> None:
        repository.put_down([fresh_object(next(numbers)) for _ in range(number)], durable=durable)

    benchmark(put)


@pytest.mark.parametrize("number", [4, 100, 400])
def test_encode_a_pack(benchmark: BenchmarkFixture, number: int) -> None:
    objects = [fresh_object(number) for number in range(number)]
    assert benchmark(make_pack, objects)


def test_read_a_ref(benchmark: BenchmarkFixture, store: Store) -> None:
    assert benchmark(store.repository.read_ref, store.context.ref) == store.context.head()


def test_get_a_key(benchmark: BenchmarkFixture, store: Store) -> None:
    context = Context(store, actor="planner")
    context.put("plan/a.md", "first the parser")
    assert benchmark(context.get, "plan/a.md").value == b"first the parser"
