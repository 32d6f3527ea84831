"""The contenders: each keeps every version of every key, with who wrote it and why. One write is one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from benchmarks.workload import Update


class Writer(Protocol):
    """A place that keeps versioned, attributed updates; made (or, if it is there already, opened) in a folder."""

    def fill(self, entries: Mapping[str, bytes]) -> None:
        """Put many entries at once, before anything is measured."""

    def write(self, update: Update) -> None:
        """One acknowledged update of one key: the only thing that is timed."""

    def versions(self) -> int:
        """How many versions history holds beyond the fill: the proof that the work was done."""

    def close(self) -> None:
        """Let go of files and settings."""


OpenWriter = Callable[[Path], Writer]
