"""One branch of a store and the writer that moves it: each write is one commit, compare-and-swapped on the ref.

The steps are those of docs/technical/architecture.md, "A write".
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import (
    BrokenHistory,
    IdReused,
    LockTimeout,
    OutcomeUnknown,
    RetriesExhausted,
    StorageError,
)
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.repository import RefLocked, RefMoved, Repository, SwapUnsettled
from gitctx.repository.translate import from_os
from gitctx.store import rejoin
from gitctx.store.draft import Draft
from gitctx.store.ids import IdIndex
from gitctx.store.queue import Turn, WriterQueue
from gitctx.store.view import View
from gitctx.values import EntryEtag, Etag, Revision, WriteId, Written


@dataclass(frozen=True, slots=True)
class Planned:
    """What a write does to the head it was planned on: key -> bytes to put, or None to remove.

    `etags` puts bytes that the store holds already, by their id; `entries` are the keys to report, in order (all that
    are touched, if empty); `superseded` the etags that lost a conflict.
    """

    changes: Mapping[str, bytes | None] = field(default_factory=dict)
    etags: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[str, ...] = ()
    superseded: tuple[Etag, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One write to be made.

    `plan` is called with the head's content, anew after every lost race; it decides or raises (then nothing is
    written). `digest` tells two changes with one id apart. With `always`, a commit is made even if the content stays
    the same.
    """

    op: str
    subject: str
    actor: str
    plan: Callable[[View], Planned]
    message: str = ""
    session: str | None = None
    id: str | None = None
    digest: str = ""
    trailers: tuple[tuple[str, str], ...] = ()
    always: bool = False


class Branch:
    """A branch with its writer queue. Safe in threads and across processes."""

    def __init__(self, repository: Repository, name: str, config: Config) -> None:
        self.name = name
        self.ref = f"refs/heads/{name}"
        self._repository = repository
        self._config = config
        self._queue = WriterQueue(repository.path / "gitctx" / "queue" / name)
        self._ids = IdIndex(repository, name)
        self._hostname = socket.gethostname()
        self._swept = False
        self._view: View | None = None

    # -- reading ------------------------------------------------------------------------------------------------------

    def head(self) -> Revision:
        """The revision that the branch points at now. Raises BrokenHistory if there is none."""
        value = self._repository.read_ref(self.ref)
        if value is None:
            raise BrokenHistory(
                f"the branch {self.name} is gone from {self._repository.path}",
                hint=f"its last values are in {self._repository.path}/logs/{self.ref}",
            )
        return Revision(value)

    def view(self, revision: str | None = None) -> View:
        """The content at a revision (None: at the head)."""
        wanted = revision if revision is not None else self.head()
        known = self._view
        if known is not None and known.revision == wanted:
            return known
        view = View(self._repository, Revision(wanted), self._repository.read_commit(wanted).tree)
        if revision is None:
            self._view = view
        return view

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, request: Request) -> Written:
        """Make one write, trying again when a race is lost.

        Returns when it is acknowledged: in `durable` mode it is on disk then. Raises what `plan` raises,
        RetriesExhausted, LockTimeout, DiskFull, StoreReadOnly and StorageError (nothing was written), OutcomeUnknown
        (repeat with its id).
        """
        attempt = _Attempt(self, request)
        with self._queue.turn(min(self._config.queue_patience_s, self._config.retry.deadline_s)) as turn:
            if not self._swept:
                self._swept = True
                self._repository.refs.sweep()
                if turn.held:
                    self._repository.clear_stale_keeps(time.time() - 600)
            return attempt.run(turn)

    # The parts of a write; `_Attempt` puts them in order.

    def settle_head(self, turn: Turn) -> Revision:
        """The head to build on: what a forced move of the ref threw off is merged back, and it is on disk if it has
        to be.
        """
        head = self.head()
        note = turn.note()
        if head != note.published:
            lost = rejoin.thrown_off(self._repository, self.ref, head, note.published)
            if lost:
                head = self._rejoin(head, lost, turn)
        if self._config.durability == "durable" and head != note.durable:
            self._repository.sync_everything()
        return head

    def _rejoin(self, head: Revision, lost: Sequence[str], turn: Turn) -> Revision:
        now = self._config.clock()
        trees = Draft(self._repository)
        root, superseded = rejoin.join(self._repository, trees, head, lost)
        id = new_ulid(now, self._config.rng)
        trailers = [(messages.OP, "rejoin"), (messages.ID, id)]
        trailers += [(messages.SUPERSEDES, etag) for etag in superseded]
        text = messages.build_message(
            f"rejoin {len(lost)} heads" if len(lost) > 1 else "rejoin a head",
            "The branch was moved away from acknowledged writes; this commit brings them back.",
            trailers,
        )
        host = messages.host_identity(self._hostname, now)
        data = messages.encode_commit(tree=root, parents=[head, *lost], author=host, committer=host, message=text)
        commit = make_object("commit", data)
        known = self._repository.read_commit(head).tree
        self.publish([*trees.reachable(root, known), commit], Revision(commit.oid), head, "rejoin", id)
        turn.leave_note(commit.oid, commit.oid if self._config.durability == "durable" else turn.note().durable)
        return Revision(commit.oid)

    def publish(self, objects: Sequence[Object], new: Revision, head: Revision, what: str, id: str) -> None:
        """Put the objects down, check that they are there, swap the ref. Raises RefMoved and RefLocked as outcomes."""
        config, repository = self._config, self._repository
        durable = config.durability == "durable"
        now = config.clock()
        host = messages.host_identity(self._hostname, now)
        failpoints.hit("write.before_objects")
        try:
            with ExitStack() as stack:
                stack.enter_context(repository.written(objects, durable=durable))
                failpoints.hit("write.before_swap")
                missing = next((item.oid for item in objects if not repository.has(item.oid)), None)
                if missing is not None:
                    raise StorageError(
                        f"the object {missing} vanished while it was being written",
                        hint="is something pruning the store without grace? `git gc --prune=now` must not run on it",
                    )
                repository.refs.swap(
                    self.ref,
                    new,
                    expected=head,
                    who=f"{host.name} <{host.email}>",
                    message=f"gitctx: {what}"[:200],
                    at_s=int(now.timestamp()),
                    durable=durable,
                )
                failpoints.hit("write.after_swap")
        except SwapUnsettled as error:
            raise OutcomeUnknown(f"the disk failed when the write was being published: {error}", id=id) from error
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise from_os(error, repository.path) from error


class _Attempt:
    """One write on its way through lost races and held locks."""

    def __init__(self, branch: Branch, request: Request) -> None:
        self._branch = branch
        self._request = request
        self._config = branch._config
        self._repository = branch._repository
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
                if not self._repository.refs.clear_stale_lock(outcome.lock, alone=turn.held):
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
        head = branch.settle_head(turn)
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
        if root == view.tree and not request.always:
            self._make_durable(turn, head)
            return Written(head, head, WriteId(self._id), False, self._retries, (), entries)
        commit = self._commit(root, head, planned)
        before = {key: view.etag(key) for key in blobs}
        new_blobs = {item.oid: item for key, item in blobs.items() if before[key] != item.oid}
        objects = [*new_blobs.values(), *trees.reachable(root, view.tree), commit]
        revision = Revision(commit.oid)
        branch.publish(objects, revision, head, request.subject, self._id)
        for oid, (tree, _) in trees.fresh.items():
            self._repository.remember_tree(oid, tree)
        branch._view = View(self._repository, revision, root)
        durable = self._config.durability == "durable"
        turn.leave_note(revision, revision if durable else turn.note().durable)
        return Written(revision, revision, WriteId(self._id), True, self._retries, planned.superseded, entries)

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
            committer=messages.host_identity(self._branch._hostname, now),
            message=messages.build_message(request.subject, request.message, trailers),
        )
        return make_object("commit", data)

    def _earlier(self, head: Revision) -> Written | None:
        """What this id did before, if it is in the head's history. Raises IdReused if that was another change."""
        assert self._request.id is not None
        revision = self._branch._ids.find(self._request.id, head)
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
