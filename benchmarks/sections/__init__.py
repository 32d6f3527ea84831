"""One question each: what is measured, against what, and which figures the project promises."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from benchmarks.measure import Scale, Section

NAMES = (
    "one-writer",
    "threads",
    "contention",
    "batch",
    "agents",
    "reads",
    "seen",
    "sync",
    "watch",
    "wide-folder",
    "cost-curve",
    "history",
    "rotation",
    "size",
    "recovery",
    "memory",
    "sessions",
    "start-up",
)


def measure(name: str, folder: Path, scale: Scale) -> Section:
    """Measure one section, in an empty folder. It is imported only now: processes that one starts need no other."""
    section: Section = import_module(f"benchmarks.sections.{name.replace('-', '_')}").run(folder, scale)
    return section
