"""Conflicts that the strategy `fail` left open at an exchange: listing them, and deciding one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gitctx.errors import ConflictNotFound, InvalidInput, PreconditionFailed
from gitctx.format.conflicts import CONFLICTS_PREFIX, about_key, decode_conflict, waiting_key
from gitctx.format.documents import to_bytes
from gitctx.format.keys import check_message, check_write_id
from gitctx.format.objects import blob_id
from gitctx.store.edits import Edit, Put, PutEtag, Remove, digest_of, plan_edits
from gitctx.store.request import Planned, Request
from gitctx.values import Json, OpenConflict

if TYPE_CHECKING:
    from gitctx.store import Store, View
    from gitctx.sync.joint import Author
    from gitctx.values import Written

Decide = Callable[["View", OpenConflict], "list[Edit]"]


class Conflicts:
    """The open conflicts of a store, as one actor decides them."""

    def __init__(self, store: Store, author: Author) -> None:
        self._store = store
        self._author = author

    def list(self) -> Sequence[OpenConflict]:
        """All of them, sorted by key. Raises CorruptStore for an entry that can't be read."""
        view = self._store.context.view()
        found = [
            decode_conflict(view.blob(etag)) for key, etag in view.etags(CONFLICTS_PREFIX) if key.endswith(".json")
        ]
        return sorted(found, key=lambda each: (each.key, each.id))

    def count(self) -> int:
        """How many there are, read or not."""
        return sum(1 for key, _ in self._store.context.view().etags(CONFLICTS_PREFIX) if key.endswith(".json"))

    def get(self, what: str) -> OpenConflict:
        """One by its id, or by its key if no other is about that. Raises ConflictNotFound, InvalidInput."""
        return self._find(self._store.context.view(), what)

    def waiting_value(self, conflict: OpenConflict) -> bytes | None:
        """The bytes that wait; None if it is a removal that waits."""
        return self._store.context.view().value(waiting_key(conflict.id))

    def keep(self, what: str, *, message: str = "", id: str | None = None) -> Written:
        """End a conflict (named by its id, or by its key): what the key holds now stays. Raises ConflictNotFound,
        InvalidInput, and what `Branch.write` raises.
        """
        return self._resolve(what, "keep", lambda view, conflict: [], message, id)

    def take(self, what: str, *, message: str = "", id: str | None = None) -> Written:
        """End a conflict: what waits is put in the place of what stands. Raises PreconditionFailed if the key has
        changed since the conflict came up, and what `keep` raises.
        """
        return self._resolve(what, "take", _take, message, id)

    def put(self, what: str, value: Json | bytes | str, *, message: str = "", id: str | None = None) -> Written:
        """End a conflict: this value is put at the key. Raises EntryTooLarge, and what `keep` raises."""
        data = to_bytes(value)
        return self._resolve(what, "put", lambda view, conflict: [Put(conflict.key, data)], message, id, data)

    def _resolve(self, what: str, how: str, decide: Decide, message: str, id: str | None, data: bytes = b"") -> Written:
        def plan(view: View) -> Planned:
            conflict = self._find(view, what)
            edits = [*decide(view, conflict), Remove(about_key(conflict.id))]
            edits.append(Remove(waiting_key(conflict.id), missing_ok=True))
            return plan_edits(view, edits, bases={}, strategy=None)

        return self._store.context.write(
            Request(
                op="resolve",
                subject=f"resolve {what}",
                actor=self._author.actor,
                plan=plan,
                message=check_message(message),
                session=self._author.session,
                id=check_write_id(id) if id is not None else None,
                digest=digest_of("resolve", [], what=what, how=how, value=blob_id(data)),
                weight=len(data),
            )
        )

    def _find(self, view: View, what: str) -> OpenConflict:
        data = view.value(about_key(what)) if what else None
        if data is not None:
            return decode_conflict(data)
        found = [each for each in self.list() if each.key == what]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(
                f"there are {len(found)} open conflicts about '{what}': {', '.join(each.id for each in found)}",
                hint="name one of them by its id",
            )
        raise ConflictNotFound(
            f"there is no open conflict {what!r}", hint="`gitctx conflict list` shows those there are"
        )


def _take(view: View, conflict: OpenConflict) -> list[Edit]:
    now = view.etag(conflict.key)
    if now != conflict.standing.etag:
        raise PreconditionFailed(
            f"'{conflict.key}' has changed since the conflict {conflict.id} came up",
            hint="look at it again; then keep what is there (--standing), or give the value that is right",
            details={"key": conflict.key, "etag": now, "if_match": conflict.standing.etag},
        )
    waiting = view.etag(waiting_key(conflict.id))
    if waiting is None:
        return [Remove(conflict.key, missing_ok=True)]
    return [PutEtag(conflict.key, waiting)]
