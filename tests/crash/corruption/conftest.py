"""One store, made once; each case damages a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx_testkit.corruption_base import Base, build


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The store."""
    return build(tmp_path_factory.mktemp("base") / "store.git")


@pytest.fixture
def copy(base: Base, tmp_path: Path) -> Callable[[], Path]:
    """Copies of the store."""
    made: list[Path] = []

    def new() -> Path:
        target = tmp_path / f"store-{len(made)}.git"
        shutil.copytree(base.path, target)
        made.append(target)
        return target

    return new
