"""One kind of plot: a dot per contender on a logarithmic line, so that equal distances are equal ratios.

The bar through a dot reaches from the lowest to the highest round.
"""

from __future__ import annotations

import math
from html import escape

from benchmarks.measure import Row, Section

_LEFT, _WIDTH, _RIGHT = 270, 430, 80
_TOP, _STEP, _BOTTOM = 64, 24, 34
_OURS, _OTHERS, _FAINT, _TEXT = "#1a6b8f", "#8a8f98", "#e3e6ea", "#24292f"


def draw(section: Section) -> str:
    """The SVG of a section."""
    axis = _Axis([sample for row in section.rows for sample in row.samples])
    height = _TOP + _STEP * len(section.rows) + _BOTTOM
    width = _LEFT + _WIDTH + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"',
        f' font-family="system-ui, sans-serif" font-size="12" fill="{_TEXT}">',
        f"<title>{escape(section.title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600">{escape(section.title)}</text>',
        f'<text x="16" y="43">{escape(section.what)} ({escape(section.unit)})</text>',
    ]
    bottom = height - _BOTTOM
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{_FAINT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_shown(tick)}</text>')
    for number, row in enumerate(section.rows):
        parts += _line(row, axis, _TOP + _STEP * number + _STEP // 2)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(row: Row, axis: _Axis, y: int) -> list[str]:
    low, middle, high = (axis.place(value) for value in (min(row.samples), row.median, max(row.samples)))
    colour = _OURS if row.name.startswith("gitctx") else _OTHERS
    return [
        f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(row.name)}</text>',
        f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="3" opacity="0.4"/>',
        f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"/>',
        f'<text x="{high + 10:.1f}" y="{y + 4}">{_shown(row.median)}</text>',
    ]


class _Axis:
    """A logarithmic axis over the values, from one round number to another."""

    def __init__(self, values: list[float]) -> None:
        self._steps = self._chosen(min(values), max(values))
        self._low, self._high = math.log(self._steps[0]), math.log(self._steps[-1])

    @staticmethod
    def _chosen(least: float, most: float) -> list[float]:
        decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 2)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            marks = [factor * 10.0**decade for decade in decades for factor in factors]
            first = max(index for index, mark in enumerate(marks) if mark <= least)
            last = min(index for index, mark in enumerate(marks) if mark >= most)
            chosen = marks[first : max(last, first + 1) + 1]
            if len(chosen) < 10:
                break
        return chosen

    def ticks(self) -> list[float]:
        """The round numbers."""
        return self._steps

    def place(self, value: float) -> float:
        """Where a value is."""
        return _LEFT + _WIDTH * (math.log(value) - self._low) / (self._high - self._low)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.3g}"
