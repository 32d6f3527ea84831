"""What sessions build on: the head, their last checkpoints, the revisions they started on. Can it be read?

Objects are read and hashed again: the commit of each, of head and checkpoint also the root tree, and the checkpoint's
tag. One look serves a whole scan: what many sessions share is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from gitctx.errors import CorruptStore, GitctxError, ObjectMissing
from gitctx.format import messages
from gitctx.format.messages import Tag, decode_commit
from gitctx.format.objects import Kind, make_object
from gitctx.values import Revision

if TYPE_CHECKING:
    from gitctx.store import Store
    from gitctx.values import SessionRecord

_TAGS = "refs/tags/"
_MOST_DOUBTS = 16
"""Looking twice at an object that can't be read starts a git process: no more of them in one scan."""


class Soundness(NamedTuple):
    """What could be read (by name), and in sentences what is damaged and what isn't known."""

    fine: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Mark(NamedTuple):
    """A checkpoint as the scan needs it: its name, commit, the revision it was taken at, when. Its tag can be read."""

    name: str
    commit: str
    revision: Revision
    created_at: datetime


class Fault(NamedTuple):
    """Why something can't be built on; `certain` if it is damage, else it only couldn't be looked at."""

    text: str
    certain: bool


class Ground:
    """The ground of one store, as it is found in one scan."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Fault | None] = {}
        self._doubts = _MOST_DOUBTS
        self._unreadable: dict[str, Fault] = {}

    @cached_property
    def _checkpoints(self) -> tuple[Mapping[str, Mark], Mapping[str, Mark]]:
        """Checkpoints by name, and the last one of each session. Tags that can't be read are in neither."""
        by_name: dict[str, Mark] = {}
        last: dict[str, tuple[datetime, str, Mark]] = {}
        for ref, tag in self._tags():
            revision = Revision(tag.trailers.get(messages.REVISION, (tag.target,))[0])
            mark = Mark(ref.removeprefix(_TAGS), tag.target, revision, tag.tagger.at)
            by_name[mark.name] = mark
            for session in tag.trailers.get(messages.SESSION, ()):
                found = (mark.created_at, tag.trailers.get(messages.ID, ("",))[0], mark)
                last[session] = max(found, last.get(session, found), key=lambda each: each[:2])
        return by_name, {session: mark for session, (_, _, mark) in last.items()}

    def _tags(self) -> Iterator[tuple[str, Tag]]:
        """Every annotated tag; those that are damaged are noted."""
        try:
            refs = [(ref, self._store.repository.read_ref(ref)) for ref in self._store.repository.ref_names(_TAGS)]
        except GitctxError:
            return
        for ref, oid in refs:
            fault = self._looked_at(oid, None, with_tree=False) if oid is not None else None
            if fault is not None:
                self._unreadable[ref.removeprefix(_TAGS)] = fault
            elif oid is not None:
                tag = self._store.repository.read_tag(oid)
                if tag is not None:
                    yield ref, tag

    def last_checkpoint(self, record: SessionRecord) -> Mark | None:
        """The checkpoint that a session made last, as far as it is still there."""
        by_name, last = self._checkpoints
        if record.last_checkpoint is not None and record.last_checkpoint in by_name:
            return by_name[record.last_checkpoint]
        return last.get(record.id)

    def under(self, record: SessionRecord) -> Soundness:
        """How sound the ground of a session is."""
        found = {"the head": self._head_fault}
        mark = self.last_checkpoint(record)
        if mark is not None:
            found[f"the checkpoint {mark.name}"] = self._fault_of(mark.commit)
        elif record.last_checkpoint is not None:
            gone = Fault("it was deleted", certain=False)
            found[f"the checkpoint {record.last_checkpoint}"] = self._unreadable.get(record.last_checkpoint, gone)
        elif self._unreadable:
            name, fault = next(iter(self._unreadable.items()))
            found[f"the checkpoint {name}, perhaps its own"] = fault._replace(certain=False)
        found["the revision it started on"] = self._start_fault(record.start_revision)
        faults = [(name, fault) for name, fault in found.items() if fault is not None]
        return Soundness(
            fine=tuple(name for name, fault in found.items() if fault is None),
            damaged=tuple(f"{name} can't be read: {fault.text}" for name, fault in faults if fault.certain),
            unknown=tuple(f"{name}: {fault.text}" for name, fault in faults if not fault.certain),
        )

    @cached_property
    def _head_fault(self) -> Fault | None:
        try:
            return self._fault_of(self._store.context.head())
        except CorruptStore as error:
            return Fault(error.message, certain=True)
        except GitctxError as error:
            return Fault(error.message, certain=False)

    def _start_fault(self, revision: str) -> Fault | None:
        """A start revision may be gone for good reasons: history was rotated, or it is of another clone."""
        if f"{revision} alone" not in self._known and not self._store.repository.has(revision):
            self._known[f"{revision} alone"] = Fault("it isn't in this store (any more)", certain=False)
        return self._fault_of(revision, with_tree=False)

    def _fault_of(self, oid: str, kind: Kind = "commit", *, with_tree: bool = True) -> Fault | None:
        """Why an object (of a commit also its root tree) can't be read as what it should be; None if it can."""
        place = oid if with_tree else f"{oid} alone"
        if place not in self._known:
            self._known[place] = self._looked_at(oid, kind, with_tree=with_tree and kind == "commit")
        return self._known[place]

    def _looked_at(self, oid: str, kind: Kind | None, *, with_tree: bool) -> Fault | None:
        """Read and hash an object; with `kind` None it may be of any."""
        if self._doubts <= 0:
            return Fault("it wasn't looked at, because so much else couldn't be read", certain=False)
        try:
            found, data = self._store.repository.read(oid)
            if found != (kind or found) or make_object(found, data).oid != oid:
                return Fault(f"the object {oid[:10]} isn't the {kind or 'one'} that it should be", certain=True)
            return self._fault_of(decode_commit(data).tree, "tree") if with_tree else None
        except (ObjectMissing, CorruptStore) as error:
            self._doubts -= 1
            return Fault(error.message, certain=True)
        except GitctxError as error:
            self._doubts -= 1
            return Fault(f"it couldn't be looked at: {error.message}", certain=False)
        except ValueError as error:
            return Fault(str(error), certain=True)
