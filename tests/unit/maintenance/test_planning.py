"""Which steps are due, and which packs they take."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitctx.maintenance import thresholds as at
from gitctx.maintenance.look import Look
from gitctx.maintenance.planning import STEPS, due, merged, next_slice
from gitctx.repository.repacking import PackFiles

NOW = 1_700_000_000.0


def pack(name: object, objects: int, size: int | None = None, touched_at: float = NOW) -> PackFiles:
    return PackFiles(str(name), size if size is not None else objects * 100, objects, touched_at, frozenset())


NOTHING = Look(
    now_s=NOW,
    fresh=(),
    settled=(),
    unreachable=(),
    loose_objects=0,
    loose_refs=0,
    old_logs=(),
    log_bytes=0,
    locks=(),
    leftovers=(),
    stamps={"made": NOW, "graph_objects": 0.0},
)
MANY = tuple(pack(number, 4) for number in range(at.FRESH_PACKS))


def names(seen: Look, *, full: bool = False, own: bool = True) -> list[str]:
    return [name for name, _ in due(seen, full=full, own=own)]


@pytest.mark.parametrize("own", [True, False])
def test_a_store_that_was_made_now_needs_nothing(own: bool) -> None:
    assert names(NOTHING, own=own) == []


@pytest.mark.parametrize(
    ("seen", "steps"),
    [
        ({"locks": ("gc.pid",)}, ["locks"]),
        ({"leftovers": ("objects/pack/tmp_pack_x",)}, ["leftovers"]),
        ({"old_logs": ("refs/heads/context",), "log_bytes": at.REFLOG_BYTES}, ["reflogs"]),
        ({"old_logs": ("refs/heads/context",), "log_bytes": at.REFLOG_BYTES - 1}, []),
        ({"loose_refs": at.LOOSE_REFS}, ["refs"]),
        ({"loose_refs": at.LOOSE_REFS - 1}, []),
        ({"fresh": MANY}, ["deltas"]),
        ({"fresh": MANY[1:]}, []),
        ({"fresh": (pack("a", at.FRESH_OBJECTS),)}, ["deltas", "commit_graph"]),
        ({"fresh": (pack("a", 10, at.FRESH_BYTES),)}, ["deltas"]),
        ({"loose_objects": at.LOOSE_OBJECTS}, ["deltas"]),
        ({"settled": (pack("a", 100), pack("b", 100))}, ["merge"]),
        ({"settled": (pack("a", 100), pack("b", 200))}, []),
    ],
)
def test_a_step_is_due_from_its_threshold_on(seen: dict[str, object], steps: list[str]) -> None:
    assert names(replace(NOTHING, **seen)) == steps  # type: ignore[arg-type]


def test_unreachable_objects_are_looked_for_once_a_week_and_by_itself_not_in_a_large_store() -> None:
    week_ago = {"made": NOW - at.RECLAIM_EVERY_S}
    small, large = pack("a", 10), pack("a", 10, at.RECLAIM_BYTES + 1)
    assert names(replace(NOTHING, settled=(small,), stamps=week_ago)) == ["unreachable"]
    assert names(replace(NOTHING, settled=(small,), stamps={"made": 0.0, "unreachable": NOW - 1})) == []
    known = {"made": 0.0, "bytes": float(at.RECLAIM_BYTES)}
    assert names(replace(NOTHING, settled=(large,), stamps=known)) == []
    assert names(replace(NOTHING, settled=(large,), stamps=known), own=False) == ["unreachable"]
    grown = pack("a", 10, 2 * at.RECLAIM_BYTES)
    assert names(replace(NOTHING, settled=(grown,), stamps=known)) == ["unreachable"]


def test_full_does_what_could_wait_in_order() -> None:
    seen = replace(NOTHING, locks=("x",), leftovers=("x",), old_logs=("x",), loose_refs=1, fresh=MANY[:1])
    found = names(seen, full=True, own=False)
    assert found == ["locks", "leftovers", "reflogs", "refs", "deltas", "unreachable"]
    assert found == [name for name in STEPS if name in found]


def test_a_slice_takes_the_oldest_and_at_least_one() -> None:
    packs = [pack(number, 1, at.SLICE_BYTES // 4, NOW - number) for number in range(9)]
    assert [each.name for each in next_slice(packs)] == ["8", "7", "6", "5"]
    assert next_slice([pack("huge", 1, 9 * at.SLICE_BYTES)]) == [pack("huge", 1, 9 * at.SLICE_BYTES)]
    assert next_slice([]) == []


@given(st.lists(st.integers(1, 10_000), max_size=30))
def test_after_a_merge_each_pack_is_twice_all_smaller_ones_together(sizes: list[int]) -> None:
    packs = [pack(number, size) for number, size in enumerate(sizes)]
    chosen = merged(packs, None)
    assert len(chosen) != 1
    left = sorted([each.objects for each in packs if each not in chosen] + [sum(each.objects for each in chosen)])
    left = [size for size in left if size]
    assert all(larger >= at.PACK_FACTOR * smaller for smaller, larger in pairwise(left))
    assert len(left) <= 15


def test_by_itself_a_merge_is_bounded() -> None:
    packs = [pack(number, 100, at.MERGE_SLICE_BYTES // 3) for number in range(8)]
    assert len(merged(packs, None)) == 8
    assert len(merged(packs, at.MERGE_SLICE_BYTES)) == 3
