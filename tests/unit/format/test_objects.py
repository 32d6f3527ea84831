"""Objects as bytes: what we write is what git reads, by git's own strict checks."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitctx.format.objects import (
    BLOB,
    TREE,
    Node,
    blob_id,
    make_object,
    parse_tree,
    serialise_tree,
)
from gitctx_testkit.git import clean_environment, git

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def git_bytes(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["git", *arguments], cwd=folder, env=clean_environment(), input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    return tmp_path / "bare.git"


@pytest.mark.parametrize("data", [b"", b"\0", b"a\r\nb", b"\xff\xfe", b"blob 3\0abc"])
def test_an_etag_is_the_blob_id_that_git_gives(data: bytes, bare: Path) -> None:
    assert blob_id(data) == git_bytes(bare, "hash-object", "--stdin", stdin=data).decode().strip()


def test_names_sort_as_git_sorts_them_with_folders_beside_files(bare: Path) -> None:
    blob, tree = git(bare, "hash-object", "-w", "--stdin", stdin="x"), git(bare, "mktree", stdin="")
    names = {
        "a": TREE,
        "a.b": BLOB,
        "a-b": BLOB,
        "a0": BLOB,
        "a b": BLOB,
        "A": BLOB,
        "\u00e9": BLOB,
        "\U0001f600": BLOB,
    }
    nodes = {name: Node(mode, tree if mode == TREE else blob) for name, mode in names.items()}
    rows = "".join(
        f"{'040000 tree' if node.is_tree else '100644 blob'} {node.oid}\t{name}\0" for name, node in nodes.items()
    )
    theirs = git(bare, "mktree", "-z", stdin=rows)
    assert make_object("tree", serialise_tree(nodes)).oid == theirs
    assert parse_tree(git_bytes(bare, "cat-file", "tree", theirs))[0] == nodes


def test_a_name_that_is_no_text_survives_reading_and_writing() -> None:
    raw = b"100644 caf\xe9\0" + b"\1" * 20
    assert serialise_tree(parse_tree(raw)[0]) == raw


@pytest.mark.parametrize("cut", [1, 7, 9, 12, 29, 33, 58])
def test_a_torn_tree_is_an_error_and_no_shorter_folder(cut: int) -> None:
    raw = serialise_tree({"ab": Node(BLOB, "1" * 40), "cd": Node(TREE, "2" * 40)})
    assert len(parse_tree(raw)[0]) == 2
    with pytest.raises(ValueError, match=r"isn't an entry"):
        parse_tree(raw[:cut])
