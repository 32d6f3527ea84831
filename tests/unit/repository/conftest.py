"""A bare repository that keeps reflogs, for the tests of its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitctx_testkit.git import git


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", str(tmp_path / "bare.git"))
    git(tmp_path / "bare.git", "config", "core.logAllRefUpdates", "always")
    return tmp_path / "bare.git"
