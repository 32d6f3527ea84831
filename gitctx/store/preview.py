"""What a write would do, without doing it: a store whose context plans each write against the head and stops there."""

from __future__ import annotations

import copy

from gitctx.format import layout
from gitctx.format.documents import new_ulid
from gitctx.format.objects import blob_id
from gitctx.store.branch import Branch
from gitctx.store.draft import Draft
from gitctx.store.request import Request
from gitctx.store.store import Store
from gitctx.values import EntryEtag, Etag, WriteId, Written


def previewing(store: Store) -> Store:
    """The same store, but nothing is written to its context: see `PreviewBranch.write`."""
    twin = copy.copy(store)
    twin.context = PreviewBranch(store.repository, store.context.name, store.config)
    return twin


class PreviewBranch(Branch):
    """A branch that is read as ever and never written to."""

    def write(self, request: Request) -> Written:
        """The acknowledgement that this write would get if nobody was faster; `revision` and `head` are today's head.

        Raises what the write would raise before it reaches the disk. Earlier writes of the same id aren't looked for.
        """
        view = self.view()
        planned = request.plan(view)
        etags: dict[str, str | None] = {
            key: blob_id(data) if data is not None else None for key, data in planned.changes.items()
        }
        etags.update(planned.etags)
        root = layout.apply(Draft(self._repository), view.tree, etags)
        entries = tuple(
            EntryEtag(key, _etag(etags[key]) if key in etags else view.etag(key))
            for key in planned.entries or sorted(etags)
        )
        id = request.id or new_ulid(self._config.clock(), self._config.rng)
        changed = root != view.tree or request.always
        return Written(view.revision, view.revision, WriteId(id), changed, 0, planned.superseded, entries)


def _etag(oid: str | None) -> Etag | None:
    return Etag(oid) if oid is not None else None
