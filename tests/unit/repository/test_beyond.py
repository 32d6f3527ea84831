"""Which of many commits a head reaches, found in one walk."""

from __future__ import annotations

from pathlib import Path

from gitctx.repository import Repository
from gitctx_testkit.git import git

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def _commit(path: Path, text: str, *parents: str) -> str:
    words = [word for parent in parents for word in ("-p", parent)]
    return git(path, "commit-tree", EMPTY_TREE, "-m", text, *words)


def test_what_a_head_reaches_and_what_is_no_commit_here_is_left_out(bare: Path) -> None:
    git(bare, "hash-object", "-t", "tree", "-w", "--stdin")
    root = _commit(bare, "root")
    side = _commit(bare, "side", root)
    head = _commit(bare, "head", root)
    newer = _commit(bare, "newer", head)
    asked = [root, side, head, newer, "1" * 40]
    assert Repository.open(bare).beyond(asked, [head]) == {side, newer}
    assert Repository.open(bare).beyond(asked, [head, side]) == {newer}
    assert Repository.open(bare).beyond([root, head], [head]) == set()
