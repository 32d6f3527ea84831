"""A store whose writes wait for no disk: nothing here is about power loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.store import Store
from gitctx.store.verify import verify


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh store, sound when the test ends."""
    made = Store.create(tmp_path / "store.git", Config(durability="relaxed"))
    yield made
    assert verify(Store.open(made.path), full=True).problems == ()
