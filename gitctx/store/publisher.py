"""Moving a branch: settling the head to build on, and publishing a commit on it. Steps 2, 6, 7 of a write."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import OutcomeUnknown, StorageError
from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.repository import Repository, SwapUnsettled
from gitctx.repository.translate import from_os
from gitctx.store import rejoin
from gitctx.store.branch import Branch
from gitctx.store.draft import Draft
from gitctx.store.queue import Turn
from gitctx.values import Revision


class Publisher:
    """Moves one branch of a repository, as this host."""

    def __init__(self, branch: Branch, repository: Repository, config: Config) -> None:
        self._branch = branch
        self._repository = repository
        self._config = config
        self._durable = config.durability == "durable"
        self.hostname = socket.gethostname()

    def settle_head(self, turn: Turn) -> Revision:
        """The head to build on: what a forced move of the ref threw off is merged back, and it is on disk if it has
        to be.
        """
        head = self._branch.head()
        note = turn.note()
        if head != note.published or rejoin.moved_by_others(self._repository, self._branch.ref, head):
            lost = rejoin.thrown_off(self._repository, self._branch.ref, head, note.published)
            if lost:
                head = self._rejoin(head, lost, turn)
        if self._durable and head != note.durable:
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
        host = messages.host_identity(self.hostname, now)
        data = messages.encode_commit(tree=root, parents=[head, *lost], author=host, committer=host, message=text)
        commit = make_object("commit", data)
        known = self._repository.read_commit(head).tree
        try:
            self.publish([*trees.reachable(root, known), commit], Revision(commit.oid), head, "rejoin", id)
        except OutcomeUnknown as error:
            raise StorageError(
                f"the disk failed while writes that were thrown off were brought back: {error.message}",
                hint="the write that was asked for hasn't begun: mend the cause and repeat it",
            ) from error
        turn.leave_note(commit.oid, commit.oid if self._durable else turn.note().durable)
        return Revision(commit.oid)

    def put_down(self, objects: Sequence[Object]) -> None:
        """Write objects that the head needs already. Raises DiskFull, StoreReadOnly, StorageError."""
        if not objects:
            return
        try:
            self._repository.put_down(objects, durable=self._durable)
        except OSError as error:
            raise from_os(error, self._repository.path) from error

    def publish(self, objects: Sequence[Object], new: Revision, head: Revision, what: str, id: str) -> None:
        """Put the objects down and swap the ref. Raises RefMoved and RefLocked as outcomes."""
        now = self._config.clock()
        host = messages.host_identity(self.hostname, now)
        failpoints.hit("write.before_objects")
        try:
            self._repository.publish(
                objects,
                self._branch.ref,
                new,
                expected=head,
                who=f"{host.name} <{host.email}>",
                message=f"gitctx: {what}"[:200],
                at_s=int(now.timestamp()),
                durable=self._durable,
            )
        except SwapUnsettled as error:
            raise OutcomeUnknown(f"the disk failed when the write was being published: {error}", id=id) from error
        except OSError as error:
            raise from_os(error, self._repository.path) from error
