"""How a key is settled that changed on both sides since the base: pure functions from three sides to one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitctx.errors import ConfigInvalid

LAST_WRITE_WINS = "last-write-wins"
FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Sides:
    """The three sides of a conflict. `None` is an absent entry."""

    key: str
    base: bytes | None
    ours: bytes | None
    theirs: bytes | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The value to write (None removes the entry); `superseded` says whether the value of the other side lost."""

    value: bytes | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The strategy leaves the conflict to the caller."""


Strategy = Callable[[Sides], Settled | Unsettled]


def last_write_wins(sides: Sides) -> Settled | Unsettled:
    """The value that is being written stands; the other one stays in history and is named as superseded."""
    return Settled(sides.ours, superseded=sides.theirs is not None)


def fail(sides: Sides) -> Settled | Unsettled:
    """Nothing is settled: the caller gets a MergeConflict."""
    return Unsettled()


STRATEGIES: Mapping[str, Strategy] = {LAST_WRITE_WINS: last_write_wins, FAIL: fail}


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises ConfigInvalid, listing those there are."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise ConfigInvalid(
            f"there is no strategy {name!r}", hint=f"use one of {', '.join(sorted(STRATEGIES))}"
        ) from None
