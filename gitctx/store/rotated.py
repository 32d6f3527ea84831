"""What rotations left behind: old heads in their grace time, the bases that stand for them, and original revisions.

    refs/gitctx/rotated/<epoch>/<branch>   the head that the rotation to that epoch replaced, until its grace has ended
    refs/gitctx/undone/<epoch>/<branch>    the same head, once that rotation was taken back
    refs/gitctx/base/<epoch>               per key that lived then, the last write before that base (context only)

A kept write is a new commit with the same content, whose trailer `Gitctx-Revision` names the original.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.repository.translate import translated
from gitctx.store.host import hostname

if TYPE_CHECKING:
    from gitctx.format.messages import Commit
    from gitctx.repository import Repository
    from gitctx.store.store import Store

ROTATED = "refs/gitctx/rotated/"
BASES = "refs/gitctx/base/"
UNDONE = "refs/gitctx/undone/"
OP = "rotate"
ROTATING = "by rotation to epoch "
"""What a line in the reflog of a branch says, if it moved to another history."""
_NAMES_CONTENT = ("restore", "checkpoint")


def original_of(commit: Commit) -> str | None:
    """The revision that a commit was made anew of (by a rotation, or a recovery); None if it is its own."""
    named = commit.trailers.get(messages.REVISION, ())
    if commit.trailer(messages.OP) in _NAMES_CONTENT:
        named = named[1:]  # the first one is where its content is from
    return named[0] if named else None


def is_base(commit: Commit) -> bool:
    """Whether a commit is a base: where history begins since a rotation."""
    return not commit.parents and commit.trailer(messages.OP) == OP


def rotated_heads(repository: Repository, branch: str) -> Mapping[int, str]:
    """The old heads of a branch that are in their grace time, by the epoch that began when they were replaced."""
    found: dict[int, str] = {}
    for ref in repository.ref_names(ROTATED):
        epoch, _, name = ref.removeprefix(ROTATED).partition("/")
        oid = repository.read_ref(ref) if name == branch and epoch.isdecimal() else None
        if oid is not None:
            found[int(epoch)] = oid
    return found


def mark_taken_back(store: Store, branch: str, head: str) -> None:
    """Remember that a history that was squashed is there again, because its head was joined. Raises GitFailed."""
    marker = f"{UNDONE}{epoch_of(store.repository, head) + 1}/{branch}"
    if store.repository.read_ref(marker) != head:
        store.repository.git("update-ref", marker, head)


def was_taken_back(repository: Repository, head: str) -> bool:
    """Whether a rotation was taken back in a head's history: then what it made anew is there beside the originals."""
    undone = [repository.read_ref(ref) for ref in repository.ref_names(UNDONE)]
    return any(oid is not None and repository.is_ancestor(oid, head) for oid in undone)


def bases_in(repository: Repository, head: str) -> list[tuple[str, Commit]]:
    """The bases that a history begins with. Raises GitFailed, ObjectMissing."""
    return [(oid, commit) for oid, commit in _roots(repository, head) if is_base(commit)]


def is_taken_back(repository: Repository, base: Commit, head: str) -> bool:
    """Whether a history also has what a base of it stands for."""
    stands_for = base.trailer(messages.REVISION)
    return stands_for is not None and repository.is_ancestor(stands_for, head)


def epoch_of(repository: Repository, head: str) -> int:
    """The epoch that a history is in: the highest that a root of it names. Raises GitFailed."""
    named = [commit.trailer(messages.EPOCH) for _, commit in _roots(repository, head)]
    return max([int(epoch) for epoch in named if epoch is not None and epoch.isdecimal()], default=0)


def _roots(repository: Repository, head: str) -> list[tuple[str, Commit]]:
    _, output, _ = repository.git("rev-list", "--max-parents=0", head)
    return [(oid, repository.read_commit(oid)) for oid in output.decode("ascii").split()]


def make_base(
    store: Store,
    *,
    tree: str,
    stands_for: str,
    epoch: int,
    subject: str,
    message: str,
    actor: str,
    session: str | None,
    more: Sequence[tuple[str, str]] = (),
) -> Object:
    """A commit without parents that stands for a revision and all before it; with more trailers of its own."""
    config = store.config
    now = config.clock()
    trailers = [(messages.OP, OP)]
    if session is not None:
        trailers.append((messages.SESSION, session))
    trailers += [
        (messages.FORMAT_TRAILER, str(messages.FORMAT)),
        (messages.STORE, store.identity.store_id),
        (messages.EPOCH, str(epoch)),
        (messages.ID, new_ulid(now, config.rng)),
        (messages.REVISION, stands_for),
        *more,
    ]
    data = messages.encode_commit(
        tree=tree,
        parents=[],
        author=messages.actor_identity(actor, now),
        committer=messages.host_identity(hostname(), now),
        message=messages.build_message(subject, message, trailers),
    )
    return make_object("commit", data)


def keep_old_head(store: Store, branch: str, epoch: int, head: str) -> str:
    """Keep a head that is about to be replaced by a rotation, if the branch is still there (else it won't be); the ref
    that does: of the next epoch that is free, where this one's is needed (two machines rotated to it). Raises RefMoved
    if somebody else is at it, RefLocked, and what `Repository.publish` raises.
    """
    ref, config = f"{ROTATED}{epoch}/{branch}", store.config
    known = store.repository.read_ref(ref)
    # Looked at after `known`: who else rotates names a later head only once the branch is there.
    if known == head or store.repository.read_ref(f"refs/heads/{branch}") != head:
        return ref
    if known is not None and not store.repository.is_ancestor(known, head):
        return keep_old_head(store, branch, epoch + 1, head)
    host = messages.host_identity(hostname(), config.clock())
    with translated(store.path):
        store.repository.publish(
            [],
            ref,
            head,
            expected=known,
            who=f"{host.name} <{host.email}>",
            message=f"gitctx: rotate {branch}",
            at_s=int(config.clock().timestamp()),
            durable=config.durability == "durable",
        )
    return ref


class Originals:
    """Which revision stands for which original one, in the history of a head. Looked up once for each head."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._head: str | None = None
        self._by_original: dict[str, str] = {}

    def standing_for(self, prefix: str, head: str) -> Sequence[str]:
        """The revisions in a head's history that stand for the originals whose ids begin like that."""
        self._look(head)
        if len(prefix) == 40:
            found = self._by_original.get(prefix)
            return [found] if found is not None else []
        return [revision for original, revision in self._by_original.items() if original.startswith(prefix)]

    def _look(self, head: str) -> None:
        if head == self._head:
            return
        found: dict[str, str] = {}
        for revision, commit in self._repository.walk(head):
            original = original_of(commit)
            if original is not None:
                found[original] = revision
        self._by_original, self._head = found, head
