"""What an exchange with a remote did, and what it left open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gitctx.values.ids import Etag, Revision


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote of the store. `namespace` is where its refs live there: `refs/` on a remote of its own, else
    `refs/gitctx/`; "" as long as that isn't known because the remote hasn't answered yet.
    """

    name: str
    url: str
    namespace: str


@dataclass(frozen=True, slots=True)
class KeySettled:
    """A key that both sides had changed since they last met.

    `kept` and `lost` are the revisions of the later and the earlier write; `superseded` is the etag of the earlier one
    if its value isn't in the result, else None.
    """

    key: str
    strategy: str
    kept: Revision
    lost: Revision
    superseded: Etag | None


@dataclass(frozen=True, slots=True)
class KeyMoved:
    """An entry that moved aside, because the other side had made a folder of its name, or an entry of its folder's."""

    key: str
    moved_to: str


@dataclass(frozen=True, slots=True)
class ConflictSide:
    """One side of a conflict that is open; `etag` None is a removal."""

    etag: Etag | None
    revision: Revision
    actor: str
    session: str | None
    written_at: datetime


@dataclass(frozen=True, slots=True)
class OpenConflict:
    """A conflict for somebody to decide: the earlier write stands at the key, the later one waits."""

    id: str
    key: str
    base: Etag | None
    standing: ConflictSide
    waiting: ConflictSide


@dataclass(frozen=True, slots=True)
class BranchExchanged:
    """What became of one branch.

    `received` and `sent` count commits. `merged` is the merge commit that was needed, else None. `forced_back` is the
    revision that the remote had before and has thrown away, else None. `refused` is why the remote didn't take our
    head, "" if it did. `up_to_date` says whether both sides have the same head now.
    """

    branch: str
    head: Revision
    received: int = 0
    sent: int = 0
    merged: Revision | None = None
    forced_back: Revision | None = None
    refused: str = ""
    up_to_date: bool = True
    rejoined: bool = False
    """The remote takes no rewritten history, so what was rotated here was joined with what it has."""
    settled: tuple[KeySettled, ...] = ()
    moved: tuple[KeyMoved, ...] = ()
    opened: tuple[OpenConflict, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointsExchanged:
    """What became of the checkpoints, by name.

    `renamed` maps the name that a checkpoint of ours had to the one it got because the remote has another one of that
    name; `refused` maps a name to the remote's reason; `gone` were deleted on the remote, and are kept here.
    """

    received: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The report of one exchange. `rounds` counts the pushes that were tried: more than one means lost races."""

    remote: str
    branches: tuple[BranchExchanged, ...]
    checkpoints: CheckpointsExchanged
    rounds: int
    took_s: float

    @property
    def changed(self) -> bool:
        """Whether anything was received, sent, or changed here."""
        moved = any(each.received or each.sent or each.merged for each in self.branches)
        tags = self.checkpoints
        return moved or bool(tags.received or tags.sent or tags.deleted or tags.renamed)

    @property
    def complete(self) -> bool:
        """Whether both sides agree now: nothing was refused, no race was left lost."""
        return all(each.up_to_date for each in self.branches) and not self.checkpoints.refused

    def branch(self, name: str) -> BranchExchanged:
        """What became of one branch. Raises KeyError."""
        for each in self.branches:
            if each.branch == name:
                return each
        raise KeyError(name)
