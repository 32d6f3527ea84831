"""Measuring things side by side: rounds in which each contender has its turn, and what they add up to.

The machine's speed drifts while a benchmark runs. So contenders take turns in short rounds, each round starts with
another one, and a ratio is the median of the ratios within the rounds.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Scale = Literal["full", "quick", "tiny"]
"""How much is measured: for the record, for a look (some minutes in all), or just enough to see that it runs."""


class Point(NamedTuple):
    """Where a row is in a line plot: the panel (its horizontal axis), the line, and how far along the axis."""

    panel: str
    line: str
    x: float


@dataclass(frozen=True, slots=True)
class Row:
    """One contender's result: a sample per round, and further figures by a name that says their unit."""

    name: str
    samples: tuple[float, ...]
    details: Mapping[str, float] = field(default_factory=dict)
    point: Point | None = None

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    def ratio_to(self, other: Row) -> float:
        """How many times the other's figure this one is: the median over the rounds."""
        if len(self.samples) != len(other.samples):
            return self.median / other.median
        return statistics.median(mine / theirs for mine, theirs in zip(self.samples, other.samples, strict=True))


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that the project promises, and whether this run kept it.

    `aim` is what we want it to be in the end: at least that where the limit is a least, at most where it is a most.
    """

    text: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the figure is within its limits."""
        enough = self.at_least is None or self.value >= self.at_least
        return enough and (self.at_most is None or self.value <= self.at_most)

    @property
    def promised(self) -> bool:
        """Whether there are limits at all."""
        return self.at_least is not None or self.at_most is not None

    @property
    def aim_reached(self) -> bool | None:
        """Whether the figure is as we want it; None without an aim."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.at_most is not None else self.value >= self.aim


@dataclass(frozen=True, slots=True)
class Section:
    """What one question's measuring gave. Ratios are to the row named `reference`."""

    name: str
    title: str
    what: str
    unit: str
    rows: Sequence[Row]
    reference: str
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()

    def row(self, name: str) -> Row:
        """The row of that name. Raises StopIteration if there is none."""
        return next(row for row in self.rows if row.name == name)

    def ratio(self, row: Row) -> float:
        """A row's ratio to the reference."""
        return row.ratio_to(self.row(self.reference))


def interleave(contenders: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, tuple[float, ...]]:
    """A sample per round of each contender (whatever figure it returns), each round starting with another.

    Garbage is collected before each turn, and what is left is set aside, so that nobody pays for others' objects.
    """
    names = list(contenders)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            gc.freeze()
            samples[name].append(contenders[name]())
    gc.unfreeze()
    return {name: tuple(found) for name, found in samples.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values don't exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
