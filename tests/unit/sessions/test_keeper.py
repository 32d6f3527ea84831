"""Keeping a claim: a passing trouble must not lose it, and nobody but its owner may end it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gitctx.errors import ClaimLost, RetriesExhausted
from gitctx.sessions import Claims
from gitctx.sessions.keeper import Keeper
from gitctx.values import Claim
from gitctx_testkit.children import eventually

NOW = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)


def claim_for(seconds: float) -> Claim:
    return Claim("job", "01C", None, "planner", "", NOW, NOW + timedelta(seconds=seconds))


class Recorded(Claims):
    """Claims that note what is asked of them, and fail as they are told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.renewed: list[Any] = []
        self.released: list[Any] = []

    def renew(self, name: str, **options: Any) -> Claim:
        self.renewed.append(options)
        if self.failures:
            raise self.failures.pop(0)
        return claim_for(0.02)

    def release(self, name: str, **options: Any) -> Any:
        self.released.append(options)


def test_a_write_that_finds_no_room_is_tried_again() -> None:
    claims = Recorded(RetriesExhausted("busy"), RetriesExhausted("busy"))
    keeper = Keeper(claims, claim_for(0.02))
    eventually(lambda: len(claims.renewed) > 3, "it goes on")
    keeper.finish()
    assert claims.renewed[0] == {"ttl_s": 0.02, "only": "01C"}
    assert claims.released == [{"only": "01C"}]


def test_a_lost_claim_is_neither_extended_nor_released() -> None:
    claims = Recorded(ClaimLost("gone"))
    keeper = Keeper(claims, claim_for(0.02))
    eventually(lambda: not keeper._thread.is_alive(), "it gives up")
    with pytest.raises(ClaimLost, match="gone"):
        keeper.finish()
    assert (len(claims.renewed), claims.released) == (1, [])


def test_a_forked_child_does_not_release_the_claim_of_its_parent() -> None:
    claims = Recorded()
    keeper = Keeper(claims, claim_for(60))
    child = os.fork()
    if child == 0:
        keeper.finish()
        os._exit(len(claims.released))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    keeper.finish()
    assert len(claims.released) == 1
