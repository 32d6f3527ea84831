"""`python -m benchmarks`: measure, print, save."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.machine import facts
from benchmarks.measure import Scale, Section
from benchmarks.report import header, save, table
from benchmarks.sections import NAMES, measure

_PROJECT = Path(__file__).resolve().parent.parent
RECORD = _PROJECT / "benchmarks" / "results"
"""Where a whole run goes: what the docs show."""
SCRATCH = _PROJECT / "build" / "benchmarks"
"""Where a quick or partial run goes."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure gitctx beside what one would pick instead. Set TMPDIR to measure another file system.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: some minutes, rougher figures")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, metavar="DIR", help="where JSON and plots go")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    scale: Scale = "quick" if chosen.quick else "full"
    out: Path = chosen.out or (SCRATCH if chosen.quick or chosen.only else RECORD)
    sections: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="gitctx-bench-") as temporary:
        machine = facts(Path(temporary))
        print(header(machine), flush=True)
        for name in chosen.only or NAMES:
            started = time.monotonic()
            folder = Path(temporary) / name  # emptied at the end: ext4 is slow to make files where many were deleted
            folder.mkdir()
            section = measure(name, folder, scale)
            sections.append(section)
            print(f"\n{table(section)}\n  [{time.monotonic() - started:.0f} s]", flush=True)
    path = save(out, machine, scale, sections)
    broken = [f"{section.name}: {check.text}" for section in sections for check in section.checks if not check.kept]
    print(
        "\n" + "\n".join(["promises not kept:", *(f"  {each}" for each in broken)] if broken else ["all promises kept"])
    )
    print(f"saved: {path}")


if __name__ == "__main__":
    main()
