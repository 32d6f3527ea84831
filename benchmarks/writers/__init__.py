"""The contenders: each keeps every version of every key, with who wrote it and why. One write is one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class TidiesBeside(Protocol):
    """A writer that leaves some of its work to a thread: that belongs to what its writes cost."""

    def finish(self) -> None:
        """Wait until nothing goes on any more."""


class Workplace(Writer, Protocol):
    """A place with all that agents do there, not only single writes."""

    def read(self, key: str) -> bytes:
        """The newest value of a key. Raises LookupError if there is none."""

    def append(self, update: Update) -> None:
        """Add to the end of what a key holds (nothing, at first): a version too."""

    def write_together(self, updates: Sequence[Update]) -> None:
        """All of these updates or none, as one version where a version may hold several keys."""


OpenWriter = Callable[[Path], Writer]
OpenWorkplace = Callable[[Path], Workplace]
