"""Writing: one request becomes one commit, tried again while races are lost. See docs/technical/architecture.md."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from gitctx.config import Config
from gitctx.errors import IdReused, LockTimeout, RetriesExhausted
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.repository import RefLocked, RefMoved, Repository
from gitctx.store.branch import Branch
from gitctx.store.draft import Draft
from gitctx.store.ids import IdIndex
from gitctx.store.publisher import Publisher
from gitctx.store.queue import Turn, WriterQueue
from gitctx.store.request import Planned, Request
from gitctx.store.view import View
from gitctx.values import EntryEtag, Etag, Revision, WriteId, Written

_KEEP_AGE_S = 600.0


class Writer:
    """The writer of one branch. Safe in threads and across processes."""

    def __init__(self, branch: Branch, repository: Repository, config: Config) -> None:
        self.branch = branch
        self.repository = repository
        self.config = config
        self.publisher = Publisher(branch, repository, config)
        self.ids = IdIndex(repository, branch.name)
        self._queue = WriterQueue(repository.path / "gitctx" / "queue" / branch.name)
        self._swept = False

    def write(self, request: Request) -> Written:
        """See `Branch.write`."""
        with self.turn() as turn:
            if turn.held and not self._swept:
                self._swept = True
                self.repository.refs.sweep()
                self.repository.clear_stale_keeps(time.time() - _KEEP_AGE_S)
            return _Attempt(self, request).run(turn)

    def turn(self) -> AbstractContextManager[Turn]:
        """A place in the writer queue."""
        return self._queue.turn(self.config.queue_patience_s)


class _Attempt:
    """One write on its way through lost races and held locks."""

    def __init__(self, writer: Writer, request: Request) -> None:
        self._branch = writer.branch
        self._publisher = writer.publisher
        self._ids = writer.ids
        self._request = request
        self._config = writer.config
        self._repository = writer.repository
        self._deadline = self._config.monotonic() + self._config.retry.deadline_s
        self._delays = self._config.retry.delays(self._config.rng)
        self._retries = 0
        self._id = request.id or new_ulid(self._config.clock(), self._config.rng)

    def run(self, turn: Turn) -> Written:
        while True:
            try:
                return self._once(turn)
            except RefMoved:
                self._retries += 1
                self._pause(
                    RetriesExhausted(
                        f"the branch {self._branch.name} moved {self._retries} times while this was being written",
                        hint="nothing was written; try again, or pass a more patient retry policy",
                        details={"retries": self._retries},
                    )
                )
            except RefLocked as outcome:
                if not self._repository.refs.clear_stale_lock(outcome.lock, alone=turn.alone):
                    self._pause(
                        LockTimeout(
                            f"{outcome.lock} was held by another program until the deadline",
                            hint="nothing was written; try again (a lock that a killed git left is cleared after 10 s)",
                            details={"lock": str(outcome.lock)},
                        )
                    )

    def _pause(self, when_spent: Exception) -> None:
        delay = next(self._delays, None)
        if delay is None or self._config.monotonic() + delay > self._deadline:
            raise when_spent
        self._config.sleep(delay)

    def _once(self, turn: Turn) -> Written:
        branch, request = self._branch, self._request
        head = self._publisher.settle_head(turn)
        if request.id is not None:
            earlier = self._earlier(head)
            if earlier is not None:
                return earlier
        view = branch.view(head)
        planned = request.plan(view)
        trees = Draft(self._repository)
        blobs = {key: make_object("blob", data) for key, data in planned.changes.items() if data is not None}
        etags: dict[str, str | None] = {key: None for key, data in planned.changes.items() if data is None}
        etags.update({key: item.oid for key, item in blobs.items()})
        etags.update(planned.etags)
        root = layout.apply(trees, view.tree, etags)
        entries = tuple(
            EntryEtag(key, _etag(etags[key]) if key in etags else view.etag(key))
            for key in planned.entries or sorted(etags)
        )
        new_blobs = {item.oid: item for key, item in blobs.items() if self._is_needed(item, view.etag(key))}
        if root == view.tree and not request.always:
            self._publisher.put_down(list(new_blobs.values()))
            self._make_durable(turn, head)
            return Written(head, head, WriteId(self._id), False, self._retries, (), entries)
        commit = self._commit(root, head, planned)
        objects = [*new_blobs.values(), *trees.reachable(root, view.tree), commit]
        revision = Revision(commit.oid)
        self._publisher.publish(objects, revision, head, request.subject, self._id)
        for oid, (tree, _) in trees.fresh.items():
            self._repository.remember_tree(oid, tree)
        branch.remember(View(self._repository, revision, root))
        durable = self._config.durability == "durable"
        turn.leave_note(revision, revision if durable else turn.note().durable)
        return Written(revision, revision, WriteId(self._id), True, self._retries, planned.superseded, entries)

    def _is_needed(self, blob: Object, before: Etag | None) -> bool:
        """Whether a blob has to be written: also when the entry has it already, but its object is torn."""
        return blob.oid != before or not self._repository.reads(blob.oid)

    def _make_durable(self, turn: Turn, head: Revision) -> None:
        """Nothing to write, but what is acknowledged has to be on disk: `settle_head` saw to that, so it may be
        noted.
        """
        if self._config.durability == "durable":
            turn.leave_note(head, head)

    def _commit(self, root: str, head: Revision, planned: Planned) -> Object:
        request, now = self._request, self._config.clock()
        trailers = [(messages.OP, request.op)]
        if request.session is not None:
            trailers.append((messages.SESSION, request.session))
        trailers.append((messages.ID, self._id))
        if request.digest:
            trailers.append((messages.CHANGE, request.digest))
        if self._retries:
            trailers.append((messages.RETRIES, str(self._retries)))
        trailers += [(messages.SUPERSEDES, etag) for etag in planned.superseded]
        trailers += request.trailers
        data = messages.encode_commit(
            tree=root,
            parents=[head],
            author=messages.actor_identity(request.actor, now),
            committer=messages.host_identity(self._publisher.hostname, now),
            message=messages.build_message(request.subject, request.message, trailers),
        )
        return make_object("commit", data)

    def _earlier(self, head: Revision) -> Written | None:
        """What this id did before, if it is in the head's history. Raises IdReused if that was another change."""
        assert self._request.id is not None
        revision = self._ids.find(self._request.id, head)
        if revision is None:
            return None
        commit = self._repository.read_commit(revision)
        if (
            commit.trailer(messages.CHANGE) != (self._request.digest or None)
            or commit.trailer(messages.OP) != self._request.op
        ):
            raise IdReused(
                f"the id {self._request.id} belongs to another write: {commit.subject} ({revision[:10]})",
                hint="use a new id for a new change; repeat an id only to repeat the very same call",
                details={"id": self._request.id, "revision": revision},
            )
        entries: tuple[EntryEtag, ...] = ()
        if commit.parents:
            changes = self._branch.view(commit.parents[0]).changes_to(self._branch.view(revision))
            entries = tuple(EntryEtag(change.key, change.after) for change in changes)
        superseded = tuple(Etag(etag) for etag in commit.trailers.get(messages.SUPERSEDES, ()))
        retries = int(commit.trailer(messages.RETRIES) or 0)
        return Written(Revision(revision), head, WriteId(self._id), True, retries, superseded, entries)


def _etag(oid: str | None) -> Etag | None:
    return Etag(oid) if oid is not None else None
