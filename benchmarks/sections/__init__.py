"""One question each: what is measured, against what, and which figures the project promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.measure import Scale, Section
from benchmarks.sections import contention, history, one_writer, reads, start_up, wide_folder

SECTIONS: Mapping[str, Callable[[Path, Scale], Section]] = {
    one_writer.NAME: one_writer.run,
    contention.NAME: contention.run,
    wide_folder.NAME: wide_folder.run,
    reads.NAME: reads.run,
    start_up.NAME: start_up.run,
    history.NAME: history.run,
}
"""By name. Each gets an empty folder to work in."""
