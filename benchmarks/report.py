"""A run as tables to read, as JSON to compare with, and as plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import chart, lines
from benchmarks.measure import Check, Scale, Section

Facts = Mapping[str, str | int | float]


def header(facts: Facts) -> str:
    """The machine's facts, a few to a line."""
    words = [f"{name} {value}" for name, value in facts.items()]
    return "\n".join("  ".join(words[start : start + 5]) for start in range(0, len(words), 5))


def table(section: Section) -> str:
    """A section as text: a line per row with median, extremes and ratio, then the promised figures."""
    names = list(dict.fromkeys(name for row in section.rows for name in row.details))
    cells = [["", f"median {section.unit}", "min", "max", "ratio", *names]]
    for row in section.rows:
        figures = [row.median, min(row.samples), max(row.samples)]
        cells.append(
            [
                row.name,
                *map(_number, figures),
                f"{section.ratio(row):.2f}",
                *(_number(row.details[name]) if name in row.details else "" for name in names),
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    shown = [
        line[0].ljust(widths[0])
        + "".join("  " + cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in cells
    ]
    title = f"{section.title}: {section.what}; ratio to {section.reference}"
    notes = [f"  ({note})" for note in section.notes]
    return "\n".join([title, *("  " + line.rstrip() for line in shown), *map(_check, section.checks), *notes])


def _check(check: Check) -> str:
    kept = f"   {_limit(check)}: {'yes' if check.kept else 'NO'}" if check.promised else ""
    aim = f"   aim {check.aim:g}: {'reached' if check.aim_reached else 'not yet'}" if check.aim is not None else ""
    return f"  = {check.text}: {_number(check.value)}{kept}{aim}"


def _limit(check: Check) -> str:
    if check.at_least is not None:
        return f"at least {check.at_least:.3g}"
    return f"at most {check.at_most:.3g}" if check.at_most is not None else ""


def _number(value: float) -> str:
    """Three figures, without exponents."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def promises(sections: Sequence[Section]) -> str:
    """What is promised and what this run found, as a Markdown page."""
    text = [
        "# Promises and what the last run found",
        "",
        "Written by the run itself; [how it is measured](../../docs/technical/speed.md). A figure without a limit is",
        "measured and not promised.",
        "",
        "| section | figure | limit | aim | found | kept |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for section in sections:
        for check in section.checks:
            kept = ("yes" if check.kept else "**no**") if check.promised else ""
            aim = f"{check.aim:g}" if check.aim is not None else ""
            text.append(
                f"| `{section.name}` | {check.text} | {_limit(check)} | {aim} | {_number(check.value)} | {kept} |"
            )
    return "\n".join(text) + "\n"


def save(folder: Path, facts: Facts, scale: Scale, sections: Sequence[Section]) -> Path:
    """Write `latest.json`, `latest.txt`, `promises.md` and a plot per section; the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        drawn = lines.draw(section) if any(row.point for row in section.rows) else chart.draw(section)
        (folder / f"{section.name}.svg").write_text(drawn, encoding="utf-8")
    (folder / "promises.md").write_text(promises(sections), encoding="utf-8")
    text = "\n\n".join([header(facts), *map(table, sections)])
    (folder / "latest.txt").write_text(text + "\n", encoding="utf-8")
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "scale": scale,
        "machine": dict(facts),
        "sections": [_as_json(section) for section in sections],
    }
    path = folder / "latest.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _as_json(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "what": section.what,
        "unit": section.unit,
        "reference": section.reference,
        "rows": [
            {
                "name": row.name,
                "median": _rounded(row.median),
                "ratio": _rounded(section.ratio(row)),
                "samples": [_rounded(sample) for sample in row.samples],
                **{name: _rounded(value) for name, value in row.details.items()},
                **(row.point._asdict() if row.point else {}),
            }
            for row in section.rows
        ],
        "checks": [
            {
                "text": check.text,
                "value": _rounded(check.value),
                "at_least": check.at_least,
                "at_most": check.at_most,
                "aim": check.aim,
                "kept": check.kept,
                "aim_reached": check.aim_reached,
            }
            for check in section.checks
        ],
        "notes": list(section.notes),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
