"""What a base stands for, in numbers: writes that are squashed, and what the bases among them stood for.

It is in the base's trailers, so that the next rotation can count on, and anyone can add up with plain git:

    Gitctx-Squashed: 1203
    Gitctx-Squashed-Time: 2026-01-01T08:00:00Z 2026-02-01T17:30:11Z
    Gitctx-Squashed-By: 1100 planner          (of the 40 who made most)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gitctx.format import messages
from gitctx.format.documents import format_time, parse_time
from gitctx.format.messages import Commit
from gitctx.repository import Repository
from gitctx.store.rotated import bases_in, is_taken_back, original_of

_NAMED_ACTORS = 40
_LATEST_S = 253402300799
"""The last second of the year 9999: what is later, no clock meant."""


@dataclass(slots=True)
class Count:
    """So many writes, when, and how many by whom; `anew` are those that no base counted before."""

    anew: int = 0
    total: int = 0
    since: datetime | None = None
    until: datetime | None = None
    actors: Counter[str] = field(default_factory=Counter)

    def add_writes(self, actors: Sequence[str], since_s: int, until_s: int) -> None:
        """Count writes of which no base has counted any: who made each, and the span of time in Unix seconds."""
        self.anew += len(actors)
        self.total += len(actors)
        self.actors.update(actors)
        self._stretch(*(datetime.fromtimestamp(min(at_s, _LATEST_S), UTC) for at_s in (since_s, until_s)))

    def add_base(self, base: Commit) -> None:
        """Count what a base stands for, as far as its trailers tell."""
        self.total += _number(base.trailer(messages.SQUASHED))
        for text in base.trailers.get(messages.SQUASHED_BY, ()):
            count, _, actor = text.partition(" ")
            self.actors[actor] += _number(count)
        try:
            since, _, until = (base.trailer(messages.SQUASHED_TIME) or "").partition(" ")
            self._stretch(parse_time(since), parse_time(until))
        except ValueError:
            return

    def _stretch(self, since: datetime, until: datetime) -> None:
        self.since = since if self.since is None else min(self.since, since)
        self.until = until if self.until is None else max(self.until, until)


def count(repository: Repository, head: str) -> Count:
    """Count a history; what an undo brought back, once. Raises GitFailed, ObjectMissing."""
    counted = Count()
    not_writes: set[str] = set()
    for oid, commit in bases_in(repository, head):
        not_writes.add(oid)
        if is_taken_back(repository, commit, head):
            not_writes |= _twins(repository, head)
        else:
            counted.add_base(commit)
    _, output, _ = repository.git("log", "--no-show-signature", "--format=%H %at %an", head)
    lines = output.decode("utf-8", "replace").split("\n")
    found = [line.split(" ", 2) for line in lines if line and line[:40] not in not_writes]
    if found:
        times = [_number(at) for _, at, _ in found]
        counted.add_writes([actor for _, _, actor in found], min(times), max(times))
    return counted


def _twins(repository: Repository, head: str) -> set[str]:
    """The commits of a history that were made anew of others in it."""
    found = {oid: original_of(commit) for oid, commit in repository.walk(head)}
    return {oid for oid, original in found.items() if original in found}


def trailers_of(
    counted: int, since: datetime | None, until: datetime | None, actors: Sequence[tuple[str, int]]
) -> list[tuple[str, str]]:
    """The trailers by which a base says what it stands for."""
    found = [(messages.SQUASHED, str(counted))]
    if since is not None and until is not None:
        found.append((messages.SQUASHED_TIME, f"{format_time(since)} {format_time(until)}"))
    return found + [(messages.SQUASHED_BY, f"{number} {actor}") for actor, number in actors[:_NAMED_ACTORS]]


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0
