"""Strategies: the loser is named only if there is one, and an unknown name is no silent default."""

from __future__ import annotations

import pytest

from gitctx.errors import ConfigInvalid
from gitctx.format.strategies import FAIL, LAST_WRITE_WINS, STRATEGIES, Settled, Sides, Unsettled, strategy_named


def test_the_last_write_stands_and_names_what_it_superseded() -> None:
    settle = strategy_named(LAST_WRITE_WINS)
    assert settle(Sides("k", b"0", b"ours", b"theirs")) == Settled(b"ours", superseded=True)


def test_a_removal_that_loses_leaves_nothing_to_name() -> None:
    assert strategy_named(LAST_WRITE_WINS)(Sides("k", b"0", b"ours", None)) == Settled(b"ours", superseded=False)


def test_a_removal_that_wins_names_the_value_it_removed() -> None:
    assert strategy_named(LAST_WRITE_WINS)(Sides("k", b"0", None, b"theirs")) == Settled(None, superseded=True)


def test_fail_settles_nothing_whatever_the_sides() -> None:
    for sides in (Sides("k", None, b"", b""), Sides("k", b"0", None, b"1"), Sides("k", b"0", b"1", None)):
        assert strategy_named(FAIL)(sides) == Unsettled()


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        strategy_named("newest")
    assert all(name in caught.value.hint for name in STRATEGIES)
