"""A logarithmic axis: equal distances are equal ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Axis:
    """An axis over the values, from one round number to another, drawn from `start` to `end` (pixels)."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.ticks = _round_numbers(min(values), max(values))
        self._start, self._length = start, end - start
        self._low, self._high = math.log(self.ticks[0]), math.log(self.ticks[-1])

    def place(self, value: float) -> float:
        """Where a value is."""
        return self._start + self._length * (math.log(value) - self._low) / (self._high - self._low)


def _round_numbers(least: float, most: float) -> list[float]:
    """Fewer than ten of them (or one per decade) around the values."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 2)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        marks = [factor * 10.0**decade for decade in decades for factor in factors]
        first = max(index for index, mark in enumerate(marks) if mark <= least)
        last = min(index for index, mark in enumerate(marks) if mark >= most)
        chosen = marks[first : max(last, first + 1) + 1]
        if len(chosen) < 10:
            break
    return chosen


def shown(value: float) -> str:
    """Three figures at least, without exponents."""
    return f"{value:,.0f}" if value >= 20 else f"{value:.3g}"
