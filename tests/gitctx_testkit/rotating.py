"""Stores that are rotated: writes to fill them, time that passes at once, and what git says afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gitctx.context import Context
from gitctx.format.settings import DEFAULT_GRACE_S
from gitctx.values import Written
from gitctx_testkit.git import git

GRACE = timedelta(seconds=DEFAULT_GRACE_S)


class Calendar:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by


def fill(ctx: Context, count: int, *, start: int = 0, keys: int = 7) -> list[Written]:
    """So many writes, one after the other, in turn to each of some keys."""
    return [
        ctx.put(f"plan/{number % keys}.md", f"text {number}", message=f"write {number}")
        for number in range(start, start + count)
    ]


def let_grace_end(ctx: Context, calendar: Calendar) -> None:
    """Two weeks and a day later: old heads go, and git throws away what nothing reaches any more."""
    calendar.go_on(GRACE + timedelta(days=1))
    ctx.rotation.finish()
    collect(ctx.store.path)


def collect(path: Path) -> None:
    """Have git throw away what nothing reaches any more, at once; what reflogs name stays."""
    never = ("-c", "gc.reflogExpire=never", "-c", "gc.reflogExpireUnreachable=never")
    git(path, *never, "gc", "-q", "--prune=now")


def has(path: Path, oid: str) -> bool:
    """Whether git finds an object."""
    return git(path, "cat-file", "--batch-check", stdin=oid).endswith("missing") is False


def revisions(path: Path, start: str = "refs/heads/context") -> list[str]:
    """The commits of a history, newest first."""
    return git(path, "rev-list", "--topo-order", start).splitlines()


def originals(path: Path, start: str = "refs/heads/context") -> list[str]:
    """What each commit of a history says it was made of, newest first; the ids of those that say nothing."""
    log = git(path, "log", "--format=%H %(trailers:key=Gitctx-Revision,valueonly,separator=%x2C)", start)
    return [line.split(" ")[1].split(",")[-1] or line.split(" ")[0] for line in log.splitlines()]


def counted(path: Path, start: str = "refs/heads/context") -> int:
    """How many writes the bases of a history say they stand for."""
    found = git(path, "log", "--max-parents=0", "--format=%(trailers:key=Gitctx-Squashed,valueonly)", start)
    return sum(int(line) for line in found.split())


def ids_of(done: Sequence[Written]) -> list[str]:
    """The ids of some writes."""
    return [str(written.id) for written in done]
