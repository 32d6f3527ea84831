"""Every test of this folder holds with group commit on and off; `make soak` runs both, `make test` the default."""

from __future__ import annotations

import pytest

from gitctx.store.writer import Writer


@pytest.fixture(autouse=True, params=["together", pytest.param("alone", marks=pytest.mark.soak)])
def grouping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether writes that wait are published together; `alone` overrules every Config."""
    if request.param == "alone":
        monkeypatch.setattr(Writer, "groups", property(lambda _: False))
    return str(request.param)
