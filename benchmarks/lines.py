"""The other kind of plot: how a figure grows, as lines on two logarithmic axes; a panel for each thing that grows.

A cost that doesn't grow is a level line; one that grows in proportion rises by a decade per decade.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.axis import Axis, shown
from benchmarks.measure import Row, Section

_COLOURS = ("#1a6b8f", "#c4622d", "#4c8c4a", "#7b5ea7", "#b0477a", "#8a7a1f", "#3d6fd1", "#8a8f98")
_FAINT, _TEXT = "#e3e6ea", "#24292f"
_COLUMNS, _PANEL, _PLOT = 2, (410, 300), (60, 40, 386, 216)
"""Panels in a row; the size of one; left, top, right and bottom of the plot in it."""
_TOP, _LEGEND_STEP = 60, 18


def draw(section: Section) -> str:
    """The SVG of a section whose rows are points."""
    panels: dict[str, dict[str, list[Row]]] = {}
    for row in section.rows:
        if row.point is not None:
            panels.setdefault(row.point.panel, {}).setdefault(row.point.line, []).append(row)
    width = _COLUMNS * _PANEL[0]
    parts: list[str] = []
    y = float(_TOP)
    names = list(panels)
    vertical = [sample.median for lines in panels.values() for rows in lines.values() for sample in rows]
    for start in range(0, len(names), _COLUMNS):
        beside = names[start : start + _COLUMNS]
        for column, name in enumerate(beside):
            parts.append(f'<g transform="translate({column * _PANEL[0]} {y:.0f})">')
            parts += [*_panel(name, panels[name], vertical), "</g>"]
        y += _PANEL[1] + _LEGEND_STEP * max(len(panels[name]) for name in beside)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y:.0f}" viewBox="0 0 {width} {y:.0f}"',
        f' font-family="system-ui, sans-serif" font-size="12" fill="{_TEXT}">',
        f"<title>{escape(section.title)}</title>",
        f'<rect width="{width}" height="{y:.0f}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600">{escape(section.title)}</text>',
        f'<text x="16" y="43">{escape(section.what)} ({escape(section.unit)})</text>',
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _panel(name: str, lines: Mapping[str, Sequence[Row]], vertical: Sequence[float]) -> list[str]:
    """All panels have the same vertical axis, so that they can be compared."""
    left, top, right, bottom = _PLOT
    across = Axis([_x(row) for rows in lines.values() for row in rows], left, right)
    up = Axis(vertical, bottom, top)
    parts = [f'<text x="{left}" y="{top - 14}" font-weight="600">{escape(name)}</text>']
    for tick in up.ticks:
        y = up.place(tick)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{_FAINT}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{shown(tick)}</text>')
    for tick in across.ticks:
        x = across.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{_FAINT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_short(tick)}</text>')
    for number, (line, rows) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(across.place(_x(row)), up.place(row.median)) for row in sorted(rows, key=_x)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        y = bottom + 46 + _LEGEND_STEP * number
        parts.append(
            f'<line x1="{left}" y1="{y - 4}" x2="{left + 22}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(f'<text x="{left + 30}" y="{y}">{escape(line)}</text>')
    return parts


def _x(row: Row) -> float:
    assert row.point is not None
    return row.point.x


def _short(value: float) -> str:
    """1 k, 1 M: what fits below an axis."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
