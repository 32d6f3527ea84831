"""Moving a branch: settling the head to build on, and publishing a commit on it. Steps 2, 6, 7 of a write."""

from __future__ import annotations

from collections.abc import Sequence

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import StorageError
from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.repository import Repository, SwapUnsettled
from gitctx.repository.translate import from_os
from gitctx.store import rejoin
from gitctx.store.branch import Branch
from gitctx.store.chain import Chain
from gitctx.store.draft import Draft
from gitctx.store.host import hostname
from gitctx.store.ids import IdIndex
from gitctx.store.queue import Turn
from gitctx.values import Revision


class Publisher:
    """Moves one branch of a repository, as this host."""

    def __init__(self, branch: Branch, repository: Repository, config: Config) -> None:
        self._branch = branch
        self._repository = repository
        self._config = config
        self._hostname = hostname()

    def settle_head(self, turn: Turn) -> Revision:
        """The head to build on: what a forced move of the ref threw off is merged back."""
        head = self._branch.head()
        published = turn.note().published
        if head != published or rejoin.moved_by_others(self._repository, self._branch.ref, head):
            lost = rejoin.thrown_off(self._repository, self._branch.ref, head, published)
            if lost:
                head = self._rejoin(head, lost, turn)
        return head

    def chain(self, ids: IdIndex, head: Revision) -> Chain:
        """A chain to build on a head."""
        return Chain(self._branch, self._repository, self._config, ids, self._hostname, head)

    def publish(self, turn: Turn, chain: Chain, *, durable: bool) -> None:
        """Make a chain the head; durable: what it is built on, its objects, then the ref are on disk.

        Raises RefMoved and RefLocked as outcomes, SwapUnsettled (perhaps it was made); DiskFull, StoreReadOnly and
        StorageError (it wasn't).
        """
        if durable and chain.start != turn.note().durable:
            self._repository.sync_everything()
        objects = list(chain.objects.values())
        if chain.commits:
            more = f" and {chain.commits - 1} more" if chain.commits > 1 else ""
            self._swap(objects, chain.head, chain.start, chain.subject + more, durable=durable)
            chain.published()
        elif objects:
            self._put_down(objects, durable=durable)
        turn.leave_note(chain.head, chain.head if durable else turn.note().durable)

    def move(
        self, turn: Turn, objects: Sequence[Object], new: Revision, head: Revision, what: str, *, durable: bool
    ) -> None:
        """Move the branch from its head to a revision that the objects complete; what it is built on is made durable.

        Raises RefMoved and RefLocked as outcomes (nothing changed), SwapUnsettled, DiskFull, StoreReadOnly,
        StorageError.
        """
        if durable and (not objects or head != turn.note().durable):
            self._repository.sync_everything()
        self._swap(objects, new, head, what, durable=durable)
        turn.leave_note(new, new if durable else turn.note().durable)

    def _rejoin(self, head: Revision, lost: Sequence[str], turn: Turn) -> Revision:
        now = self._config.clock()
        trees = Draft(self._repository)
        root, superseded = rejoin.join(self._repository, trees, head, lost)
        trailers = [(messages.OP, "rejoin"), (messages.ID, new_ulid(now, self._config.rng))]
        trailers += [(messages.SUPERSEDES, etag) for etag in superseded]
        text = messages.build_message(
            f"rejoin {len(lost)} heads" if len(lost) > 1 else "rejoin a head",
            "The branch was moved away from acknowledged writes; this commit brings them back.",
            trailers,
        )
        host = messages.host_identity(self._hostname, now)
        data = messages.encode_commit(tree=root, parents=[head, *lost], author=host, committer=host, message=text)
        commit = make_object("commit", data)
        durable = self._config.durability == "durable"
        try:
            objects = [*trees.take_reachable(root), commit]
            self.move(turn, objects, Revision(commit.oid), head, "rejoin", durable=durable)
        except SwapUnsettled as error:
            raise StorageError(
                f"the disk failed while writes that were thrown off were brought back: {error}",
                hint="the write that was asked for hasn't begun: mend the cause and repeat it",
            ) from error
        return Revision(commit.oid)

    def _put_down(self, objects: Sequence[Object], *, durable: bool) -> None:
        """Write objects that the head needs already."""
        try:
            self._repository.put_down(objects, durable=durable)
        except OSError as error:
            raise from_os(error, self._repository.path) from error

    def _swap(self, objects: Sequence[Object], new: Revision, head: Revision, what: str, *, durable: bool) -> None:
        now = self._config.clock()
        host = messages.host_identity(self._hostname, now)
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
                durable=durable,
            )
        except OSError as error:
            raise from_os(error, self._repository.path) from error
