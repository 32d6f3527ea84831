"""How a key is settled that changed on both sides since the base: pure functions from three sides to one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitctx.errors import ConfigInvalid
from gitctx.format.merge_rules import NO_RULES, MergeRules

LAST_WRITE_WINS = "last-write-wins"
MERGE = "merge"
FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Sides:
    """The three sides of a conflict, `ours` the later one. `None` is an absent entry.

    `rules` is what the store's settings declare about JSON values at this key.
    """

    key: str
    base: bytes | None
    ours: bytes | None
    theirs: bytes | None
    rules: MergeRules = NO_RULES


@dataclass(frozen=True, slots=True)
class Settled:
    """The value to write (None removes the entry); `superseded` says whether theirs, or a change in it, gave way."""

    value: bytes | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The strategy leaves the conflict to the caller."""


Strategy = Callable[[Sides], Settled | Unsettled]


def last_write_wins(sides: Sides) -> Settled | Unsettled:
    """The value that is being written stands; the other one stays in history and is named as superseded."""
    return Settled(sides.ours, superseded=sides.theirs is not None)


def merge(sides: Sides) -> Settled | Unsettled:
    """The changes of both sides since the base: of JSON by key, of text by lines. Where both changed the same, ours
    stands, and so it does where the values can't be merged; then `superseded` is true.
    """
    base, ours, theirs = sides.base, sides.ours, sides.theirs
    if theirs in (base, ours):
        return Settled(ours, superseded=False)
    if ours == base:
        return Settled(theirs, superseded=False)
    if ours is None or theirs is None:
        return last_write_wins(sides)
    from gitctx.format.merging import merged

    found = merged(base, ours, theirs, sides.rules)
    return last_write_wins(sides) if found is None else Settled(found[0], superseded=found[1])


def fail(sides: Sides) -> Settled | Unsettled:
    """Nothing is settled: the caller gets a MergeConflict."""
    return Unsettled()


STRATEGIES: Mapping[str, Strategy] = {LAST_WRITE_WINS: last_write_wins, MERGE: merge, FAIL: fail}


def strategy_named(name: str) -> Strategy:
    """The strategy of that name. Raises ConfigInvalid, listing those there are."""
    try:
        return STRATEGIES[name]
    except KeyError:
        raise ConfigInvalid(
            f"there is no strategy {name!r}", hint=f"use one of {', '.join(sorted(STRATEGIES))}"
        ) from None
