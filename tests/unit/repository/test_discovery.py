"""Finding the project around a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pygit2
import pytest

from gitctx.repository.discovery import default_store, git_dir_around, read_project_config, remotes_of_project


def test_the_git_dir_is_found_from_inside_and_none_outside(tmp_path: Path) -> None:
    assert git_dir_around(tmp_path) is None
    assert git_dir_around(tmp_path / "missing") is None
    pygit2.init_repository(str(tmp_path / "project"))
    inside = tmp_path / "project" / "src"
    inside.mkdir()
    assert git_dir_around(inside) == tmp_path / "project" / ".git"


@pytest.mark.parametrize("text", ["[core\nx", "[core]\nrepositoryformatversion = 9\n"])
def test_a_project_that_cannot_be_opened_is_found_all_the_same(tmp_path: Path, text: str) -> None:
    pygit2.init_repository(str(tmp_path))
    (tmp_path / ".git" / "config").write_text(text)
    assert git_dir_around(tmp_path) == tmp_path / ".git"


@pytest.mark.parametrize("look", [git_dir_around, default_store, read_project_config, remotes_of_project])
def test_looking_where_no_project_is_may_go_on_for_ever(tmp_path: Path, look: object) -> None:
    """pygit2 has a call that loses a reference to None each time: when there are none left, Python aborts."""
    assert callable(look)
    before = sys.getrefcount(None)
    for _ in range(500):
        look(tmp_path)
    assert sys.getrefcount(None) > before - 250
