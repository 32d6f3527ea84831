"""The common ground of two heads is what git says it is, whatever the histories look like."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gitctx.store import Store
from gitctx.sync.joint import merge_bases
from gitctx_testkit.git import git

COMMITS = 25


def crossed_history(store: Store, seed: int) -> list[str]:
    """Commits of a branch and merge graph, the oldest first."""
    rng = random.Random(seed)
    head = store.context.head()
    tree = store.repository.read_commit(head).tree
    made: list[str] = [head]
    for number in range(COMMITS):
        near = made[-6:]
        parents = rng.sample(near, min(len(near), rng.choice([1, 1, 2, 2, 3])))
        words = [word for parent in parents for word in ("-p", parent)]
        made.append(git(store.path, "commit-tree", "-m", str(number), *words, tree))
    return made


@pytest.mark.parametrize("seed", range(4))
def test_all_best_common_ancestors_are_found_in_crossed_histories(store: Store, seed: int) -> None:
    history = crossed_history(store, seed)
    repository = store.repository
    several = 0
    for one in history[-8:]:
        for other in history[-8:]:
            if repository.is_ancestor(one, other) or repository.is_ancestor(other, one):
                continue
            expected = git(store.path, "merge-base", "--all", one, other, check=False).split()
            assert sorted(merge_bases(repository, one, other)) == sorted(expected)
            several += len(expected) > 1
    assert several > 0


def test_histories_without_a_common_commit_have_no_base(store: Store, tmp_path: Path) -> None:
    apart = git(store.path, "commit-tree", "-m", "apart", store.repository.read_commit(store.context.head()).tree)
    assert merge_bases(store.repository, store.context.head(), apart) == []
