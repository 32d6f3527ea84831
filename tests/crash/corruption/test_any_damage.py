"""Damage at random: whatever files it hits, the store is sound afterwards and the report doesn't leave anything out."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.errors import NotAStore, RecoveryImpossible
from gitctx.recovery import Recovery
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.audit import assert_sound, ids_in_history
from gitctx_testkit.corruption_base import RELAXED, Base, content_of
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.damage import blank, contents, cut, empty, flip, unlink
from gitctx_testkit.git import git, make_loose

KINDS: tuple[Callable[[Path], None], ...] = (empty, flip, cut, blank, unlink)
SHAPES: tuple[Callable[[Path], object], ...] = (
    lambda store: None,
    make_loose,
    lambda store: git(store, "repack", "-adq"),
    lambda store: (git(store, "repack", "-adq", "--write-midx"), git(store, "commit-graph", "write", "--reachable")),
    lambda store: git(store, "pack-refs", "--all"),
)


def damage_at_random(store: Path, rng: random.Random) -> list[str]:
    """What was done to which files."""
    rng.choice(SHAPES)(store)
    files = sorted(Path(folder, name) for folder, _, names in os.walk(store) for name in names)
    done = []
    for path in rng.sample(files, rng.randint(1, 4)):
        how = rng.choice(KINDS)
        if path.exists() and path.stat().st_size:
            how(path)
            done.append(f"{how.__name__} {path.relative_to(store)}")
    return done


def check(base: Base, store: Path, rng: random.Random) -> None:
    done = damage_at_random(store, rng)
    before = contents(store)
    try:
        scan = Recovery(store, RELAXED).scan(full=True)
        assert contents(store) == before, done
        Recovery(store, RELAXED).apply(full=True)
    except (RecoveryImpossible, NotAStore):
        return
    found = content_of(store)
    told = {each.key for each in (*scan.lost, *scan.stale, *scan.resurrected)}
    for key in base.content.keys() | found.keys():
        if found.get(key) != base.content.get(key):
            folders = {f"{key[: at + 1]}" for at, letter in enumerate(key) if letter == "/"} | {"/"}
            assert key in told or folders & told or _is_claim(key), (done, key)
    assert Recovery(store, RELAXED).scan(full=True).damage == (), done
    assert_sound(store)
    assert max(Counter(ids_in_history(store)).values()) == 1, done
    Context(Store.open(store, RELAXED), actor="coder-1").put("after.md", "1")
    assert verify(Store.open(store), full=True).problems == (), done


def _is_claim(key: str) -> bool:
    return key.startswith(".gitctx/claims/")


@pytest.mark.parametrize("seeds", few_or_many(12, 2000))
def test_after_any_damage_the_store_is_sound_and_the_report_is_complete(
    base: Base, copy: Callable[[], Path], seeds: int
) -> None:
    for seed in range(seeds):
        check(base, copy(), random.Random(seed))
