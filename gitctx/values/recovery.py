"""What a look for damage found, what can be restored, and what a recovery did."""

from __future__ import annotations

from dataclasses import dataclass

from gitctx.values.findings import Finding
from gitctx.values.ids import Revision


@dataclass(frozen=True, slots=True)
class Missed:
    """Something that can't be given back as it was: a whole revision (`key` is None), or what a revision had at a key
    (`revision` is None where nobody can tell which one).
    """

    branch: str
    revision: Revision | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Rung:
    """One candidate for a head: where it came from, and what was found about it."""

    branch: str
    source: str
    revision: Revision
    verdict: str


@dataclass(frozen=True, slots=True)
class RecoveryScan:
    """What is damaged, and what a recovery would make of it.

    `best` is the revision of the context that would be built on (None: nothing holds together) and `source` says what
    named it. `lost` can't be read any more; at the keys of `stale` an older value stands in; those of `resurrected`
    come back although they were removed, or perhaps were. `tried` are the candidates, in the order of the ladder.
    """

    healthy: bool
    damage: tuple[Finding, ...]
    best: Revision | None
    source: str | None
    lost: tuple[Missed, ...] = ()
    stale: tuple[Missed, ...] = ()
    resurrected: tuple[Missed, ...] = ()
    tried: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did. `revision` is its commit on the context; `rescue` are the refs that keep the old heads, as
    far as they could be read; `quarantine` is the folder to which broken files were moved (None: there were none).
    """

    id: str
    changed: bool
    revision: Revision | None
    scan: RecoveryScan
    rescue: tuple[str, ...] = ()
    quarantine: str | None = None
