"""One kind of plot: a dot per contender on a logarithmic line, so that equal distances are equal ratios.

The bar through a dot reaches from the lowest to the highest round.
"""

from __future__ import annotations

from html import escape

from benchmarks.axis import Axis, shown
from benchmarks.measure import Row, Section

_LEFT, _WIDTH, _RIGHT = 270, 430, 80
_TOP, _STEP, _BOTTOM = 64, 24, 34
_OURS, _OTHERS, _FAINT, _TEXT = "#1a6b8f", "#8a8f98", "#e3e6ea", "#24292f"


def draw(section: Section) -> str:
    """The SVG of a section."""
    axis = Axis([sample for row in section.rows for sample in row.samples], _LEFT, _LEFT + _WIDTH)
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
    for tick in axis.ticks:
        x = axis.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{_FAINT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{shown(tick)}</text>')
    for number, row in enumerate(section.rows):
        parts += _line(row, axis, _TOP + _STEP * number + _STEP // 2)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(row: Row, axis: Axis, y: int) -> list[str]:
    low, middle, high = (axis.place(value) for value in (min(row.samples), row.median, max(row.samples)))
    colour = _OURS if row.name.startswith("gitctx") else _OTHERS
    return [
        f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(row.name)}</text>',
        f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="3" opacity="0.4"/>',
        f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"/>',
        f'<text x="{high + 10:.1f}" y="{y + 4}">{shown(row.median)}</text>',
    ]
