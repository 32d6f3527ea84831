"""Writes built on a head, one commit each, one upon the other: what is published together. Steps 3 to 5 of a write."""

from __future__ import annotations

from gitctx.config import Config
from gitctx.errors import IdReused
from gitctx.format import layout, messages
from gitctx.format.keys import SETTINGS_KEY
from gitctx.format.objects import Object, make_object
from gitctx.repository import Repository
from gitctx.store import withdrawal
from gitctx.store.branch import Branch
from gitctx.store.draft import Draft
from gitctx.store.ids import IdIndex
from gitctx.store.pending import Pending
from gitctx.store.request import Planned
from gitctx.values import EntryEtag, Etag, Revision, WriteId, Written


class Chain:
    """Commits in the making on top of a branch's head. Nothing of it is written before it is published."""

    def __init__(
        self, branch: Branch, repository: Repository, config: Config, ids: IdIndex, hostname: str, head: Revision
    ) -> None:
        self._branch = branch
        self._repository = repository
        self._config = config
        self._ids = ids
        self._hostname = hostname
        self._draft = Draft(repository)
        self._view = branch.view(head).through(self._draft)
        self._own_ids: set[str] = set()
        self.start = head
        self.objects: dict[str, Object] = {}
        self.commits = 0
        self.subject = ""
        self.weight = 0

    @property
    def head(self) -> Revision:
        """The revision that the next write is built on: the last commit, or where the chain began."""
        return self._view.revision

    def has_id(self, id: str) -> bool:
        """Whether a commit of this chain carries the id."""
        return id in self._own_ids

    def add(self, pending: Pending) -> Written:
        """Plan a write on the chain's head and build its commit. Its acknowledgement, good once the chain is published.

        Raises what `plan` raises, Withdrawn, IdReused and InvalidKey; then the chain stays as it was.
        """
        request, view = pending.request, self._view
        if pending.look_since is not None or request.id is not None:
            earlier = self._earlier(pending)
            if earlier is not None:
                return earlier
        if pending.may_be_withdrawn():
            raise withdrawal.withdrawn()
        planned = request.plan(view)
        etags: dict[str, str | None] = {}
        new_blobs: dict[str, Object] = {}
        for key, data in planned.changes.items():
            if data is None:
                etags[key] = None
                continue
            blob = make_object("blob", data)
            etags[key] = blob.oid
            if self._is_needed(blob, view.etag(key)):
                new_blobs[blob.oid] = blob
        etags.update(planned.etags)
        root = layout.apply(self._draft, view.tree, etags)
        entries = tuple(
            [
                EntryEtag(key, _etag(etags[key]) if key in etags else view.etag(key))
                for key in planned.entries or sorted(etags)
            ]
        )
        if root == view.tree and not request.always:
            self.objects.update(new_blobs)
            return Written(view.revision, view.revision, WriteId(pending.id), False, pending.retries, (), entries)
        commit = self._commit(pending, root, planned)
        self.objects.update(new_blobs)
        for item in self._draft.take_reachable(root):
            self.objects[item.oid] = item
        self.objects[commit.oid] = commit
        for blob in new_blobs.values():
            self._draft.keep_blob(blob)
            self.weight += len(blob.data)
        revision = Revision(commit.oid)
        self._view = view.after(revision, root, settings_stay=SETTINGS_KEY not in etags)
        self._own_ids.add(pending.id)
        self.commits += 1
        self.subject = self.subject or request.subject
        return Written(revision, revision, WriteId(pending.id), True, pending.retries, planned.superseded, entries)

    def published(self) -> None:
        """Remember what readers and the next writer will ask for."""
        for oid, (tree, _) in self._draft.fresh.items():
            self._repository.remember_tree(oid, tree)
        self._branch.remember(self._view.through(self._repository))

    def _is_needed(self, blob: Object, before: Etag | None) -> bool:
        """Whether a blob has to be written: also when the entry has it already, but its object is torn."""
        return blob.oid != before or not self._draft.reads(blob.oid)

    def _commit(self, pending: Pending, root: str, planned: Planned) -> Object:
        request, now = pending.request, self._config.clock()
        trailers = [(messages.OP, request.op)]
        if request.session is not None:
            trailers.append((messages.SESSION, request.session))
        trailers.append((messages.ID, pending.id))
        if request.digest:
            trailers.append((messages.CHANGE, request.digest))
        if pending.retries:
            trailers.append((messages.RETRIES, str(pending.retries)))
        trailers += [(messages.SUPERSEDES, etag) for etag in planned.superseded]
        trailers += request.trailers
        data = messages.encode_commit(
            tree=root,
            parents=[self.head],
            author=messages.actor_identity(request.actor, now),
            committer=messages.host_identity(self._hostname, now),
            message=messages.build_message(request.subject, request.message, trailers),
        )
        return make_object("commit", data)

    def _earlier(self, pending: Pending) -> Written | None:
        """What this id did before, if it is in the head's history. Raises IdReused if that was another change."""
        request = pending.request
        if request.id is not None:
            revision = self._ids.find(request.id, self.start)
        else:
            assert pending.look_since is not None
            revision = self._ids.find_since(pending.id, self.start, pending.look_since)
        if revision is None:
            return None
        commit = self._repository.read_commit(revision)
        if commit.trailer(messages.CHANGE) != (request.digest or None) or commit.trailer(messages.OP) != request.op:
            raise IdReused(
                f"the id {pending.id} belongs to another write: {commit.subject} ({revision[:10]})",
                hint="use a new id for a new change; repeat an id only to repeat the very same call",
                details={"id": pending.id, "revision": revision},
            )
        entries: tuple[EntryEtag, ...] = ()
        if commit.parents:
            changes = self._branch.view(commit.parents[0]).changes_to(self._branch.view(revision))
            entries = tuple(EntryEtag(change.key, change.after) for change in changes)
        superseded = tuple(Etag(etag) for etag in commit.trailers.get(messages.SUPERSEDES, ()))
        retries = int(commit.trailer(messages.RETRIES) or 0)
        return Written(Revision(revision), self.start, WriteId(pending.id), True, retries, superseded, entries)


def _etag(oid: str | None) -> Etag | None:
    return Etag(oid) if oid is not None else None
