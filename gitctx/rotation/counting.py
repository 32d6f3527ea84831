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

    def add(self, actor: str, at: datetime) -> None:
        """Count a write."""
        self.anew += 1
        self.total += 1
        self.actors[actor] += 1
        self._stretch(at, at)

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
    for line in output.decode("utf-8", "replace").split("\n"):
        oid, _, rest = line.partition(" ")
        at, _, actor = rest.partition(" ")
        if oid and oid not in not_writes:
            counted.add(actor, datetime.fromtimestamp(min(_number(at), _LATEST_S), UTC))
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
