"""What a rotation would do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gitctx.values.ids import Revision


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a rotation of one branch would do.

    `stands_for` is the newest revision that would be squashed (None: there is nothing to squash), `squashed` and `kept`
    count writes. The base would stand for `counted` writes: those, and what earlier bases stand for that would be
    squashed with them. `since` and `until` are the times of the oldest and newest of these, `actors` says how many of
    them each actor made, most first, as far as that is known. `epoch` is the one that would begin.
    """

    branch: str
    head: Revision
    epoch: int
    stands_for: Revision | None
    squashed: int
    kept: int
    since: datetime | None = None
    until: datetime | None = None
    actors: tuple[tuple[str, int], ...] = ()
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: the head that the branch has now, the `base` commit that stands for what was squashed, and
    the ref under which the old head stays until its grace has ended.

    `changed` is False if there was nothing to squash; then `base` and `kept_under` are None.
    """

    plan: RotationPlan
    changed: bool
    head: Revision
    base: Revision | None = None
    kept_under: str | None = None
