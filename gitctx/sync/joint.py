"""Bringing a remote's head into a branch: forward where it is only ahead, else by one merge commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gitctx.errors import FormatUnsupported, StoresApart
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.format.strategies import LAST_WRITE_WINS, MERGE, Strategy
from gitctx.repository import Repository
from gitctx.store import Store
from gitctx.store.advance import Step
from gitctx.store.draft import Draft
from gitctx.store.host import hostname
from gitctx.store.identity import CONTEXT
from gitctx.store.merging import Merge, Merged, Side
from gitctx.store.origins import Origin, find_origins
from gitctx.store.rewriting import Rewriting
from gitctx.store.rotated import ROTATING, keep_old_head, make_base
from gitctx.sync.crossing import Crossing, find_crossing
from gitctx.values import Revision

OP = "sync"
_NAMED = 40
_DEEPEST_BASE = 8
"""Bases that have several bases of their own are merged for them, so deep at most."""


class Author(NamedTuple):
    """Who makes the merge commit."""

    actor: str
    session: str | None


class Joint:
    """One branch and one head that a remote has for it. `step` is what `Branch.advance` asks for."""

    def __init__(
        self,
        store: Store,
        branch: str,
        remote: str,
        theirs: str,
        *,
        author: Author,
        strategy: str | Strategy | None,
        apart: bool,
        met: str | None,
    ) -> None:
        self._store = store
        self._repository = store.repository
        self._branch = branch
        self._remote = remote
        self._author = author
        self._strategy: str | Strategy | None = strategy if branch == CONTEXT else MERGE
        self._apart = apart
        self._met = met
        self._origins: dict[tuple[str, str | None], Origin] = {}
        self._steps: dict[str, tuple[Step | None, Merged | None]] = {}
        self.theirs = theirs

    def step(self, head: Revision) -> Step | None:
        """Where the branch goes from a head. Raises StoresApart, FormatUnsupported."""
        if head not in self._steps:
            self._steps = {head: self._decide(head)}
        return self._steps[head][0]

    def merged_into(self, head: str) -> Merged | None:
        """What was decided when this head was left behind by a merge; None if it needed none."""
        return self._steps.get(head, (None, None))[1]

    @property
    def last(self) -> tuple[Step | None, Merged | None]:
        """The step decided last, and if it is a merge, what was decided in it."""
        return next(iter(self._steps.values()), (None, None))

    def _decide(self, head: Revision) -> tuple[Step | None, Merged | None]:
        if self._repository.is_ancestor(self.theirs, head):
            return None, None
        if self._repository.is_ancestor(head, self.theirs):
            return Step(Revision(self.theirs), (), f"sync from {self._remote}"), None
        bases = merge_bases(self._repository, head, self.theirs)
        if not bases:
            self._check_unrelated(head)
            crossing = find_crossing(self._repository, head, self.theirs, self._met)
            if crossing is not None:
                return self._cross(head, crossing)
        return self._merge(head, bases)

    def _cross(self, head: Revision, crossing: Crossing) -> tuple[Step | None, Merged | None]:
        """One side was rotated: what only the other one has is made anew on it."""
        what = f"sync with {self._remote}, {ROTATING}{crossing.epoch}"
        if crossing.older == head:
            keep_old_head(self._store, self._branch, crossing.epoch, head)
        if not crossing.writes:
            if crossing.newer == head:
                return None, None
            return Step(Revision(crossing.newer), (), what), None
        stand_ins = [self._stand_in(oid, crossing.epoch) for oid in crossing.below if oid not in crossing.standing]
        made = {**crossing.standing, **stand_ins_by(crossing, stand_ins)}
        writing = Rewriting(self._repository, made)
        writing.add(crossing.writes)
        draft = Draft(self._repository)
        base = self._base_tree(draft, crossing.below, 0) if crossing.below else None
        hidden = {crossing.older: tuple(crossing.below), crossing.newer: tuple(made.values())}
        local, published = (
            Side(self._repository.read_commit(tip).tree, self._finder(tip, hidden[tip], self._origins))
            for tip in (head, self.theirs)
        )
        merged = Merge(draft, base, local, published, strategy=self._strategy).run()
        objects = [*stand_ins, *writing.objects]
        commit = self._commit([crossing.newer, writing.made[crossing.older]], merged)
        return Step(
            Revision(commit.oid), [*objects, *merged.blobs, *draft.take_reachable(merged.root), commit], what
        ), merged

    def join_again(self, head: Revision) -> Step | None:
        """One commit with both histories, for a remote that takes no rewritten one: content as it is here."""
        if self._repository.is_ancestor(self.theirs, head):
            return None
        commit = self._commit([head, self.theirs], Merged(self._repository.read_commit(head).tree))
        return Step(Revision(commit.oid), [commit], f"join with {self._remote} again")

    def _stand_in(self, revision: str, epoch: int) -> Object:
        """A base for what is below a write that crosses over, and that nothing on the other side stands for."""
        return make_base(
            self._store,
            tree=self._repository.read_commit(revision).tree,
            stands_for=revision,
            epoch=epoch,
            subject=f"base of {self._branch}",
            message="What was written here and away from the store that was rotated begins on this.",
            actor=self._author.actor,
            session=self._author.session,
        )

    def _check_unrelated(self, head: str) -> None:
        """Two histories without a common commit: of one store (rotated, or forced), or of two that began apart?"""
        ours, theirs = root_stores(self._repository, head), root_stores(self._repository, self.theirs)
        if not theirs:
            raise StoresApart(
                f"what '{self._remote}' has as its branch {self._branch} wasn't made by gitctx",
                hint="use a remote of its own for the store: `gitctx remote remove`, then `gitctx remote add`",
                details={"remote": self._remote},
            )
        newer = [store.format for store in theirs if store.format != str(messages.FORMAT)]
        if newer:
            raise FormatUnsupported(
                f"the store at '{self._remote}' has format {newer[0]}, and this gitctx reads format {messages.FORMAT}",
                hint="upgrade gitctx: pip install --upgrade gitctx-store",
                details={"format": newer[0], "supported": messages.FORMAT},
            )
        mine, other = {store.id for store in ours}, {store.id for store in theirs}
        if not self._apart and not mine & other:
            raise StoresApart(
                f"'{self._remote}' holds another store ({', '.join(sorted(other))}), which began apart from this one"
                f" ({', '.join(sorted(mine)) or 'unnamed'})",
                hint="nothing was changed; to merge the two by key: gitctx sync --merge-apart; to use theirs instead:"
                " move this store away and run `gitctx init`",
                details={"remote": self._remote, "store_ids": sorted(mine), "their_store_ids": sorted(other)},
            )

    def _merge(self, head: Revision, bases: Sequence[str]) -> tuple[Step, Merged]:
        draft = Draft(self._repository)
        merged = self._merged(draft, head, self.theirs, bases, self._strategy, 0)
        commit = self._commit([head, self.theirs], merged)
        objects = [*merged.blobs, *draft.take_reachable(merged.root), commit]
        return Step(Revision(commit.oid), objects, f"sync with {self._remote}"), merged

    def _merged(
        self,
        draft: Draft,
        head: str,
        other: str,
        bases: Sequence[str],
        strategy: str | Strategy | None,
        depth: int,
    ) -> Merged:
        base = self._base_tree(draft, bases, depth) if bases else None
        local, published = (
            Side(self._repository.read_commit(tip).tree, self._finder(tip, (hidden,), {} if depth else self._origins))
            for tip, hidden in ((head, other), (other, head))
        )
        return Merge(draft, base, local, published, strategy=strategy).run()

    def _base_tree(self, draft: Draft, bases: Sequence[str], depth: int) -> str:
        """The content that both sides had in common. Where histories crossed there are several best common ancestors:
        then what they come to when merged themselves.
        """
        tree = self._repository.read_commit(bases[0]).tree
        if len(bases) == 1 or depth >= _DEEPEST_BASE:
            return tree
        one, other = sorted(bases)[:2]
        below = merge_bases(self._repository, one, other)
        return self._merged(draft, one, other, below, LAST_WRITE_WINS, depth + 1).root

    def _finder(
        self, head: str, hidden: Sequence[str], known: dict[tuple[str, str | None], Origin]
    ) -> Callable[[Iterable[str]], Mapping[str, Origin]]:
        """Finds origins, and remembers them by key and etag: a head that only moved on needs no second walk."""

        def find(keys: Iterable[str]) -> Mapping[str, Origin]:
            tree = self._repository.read_commit(head).tree
            etags = {key: _etag(self._repository, tree, key) for key in keys}
            unknown = [key for key, etag in etags.items() if (key, etag) not in known]
            if unknown:
                for key, origin in find_origins(self._repository, head, hidden, unknown).items():
                    known[key, etags[key]] = origin
            return {key: known[key, etag] for key, etag in etags.items()}

        return find

    def _commit(self, parents: Sequence[str], merged: Merged) -> Object:
        config = self._store.config
        now = config.clock()
        trailers = [(messages.OP, OP)]
        if self._author.session is not None:
            trailers.append((messages.SESSION, self._author.session))
        trailers.append((messages.ID, new_ulid(now, config.rng)))
        trailers += [(messages.SUPERSEDES, etag) for etag in merged.superseded]
        return make_object(
            "commit",
            messages.encode_commit(
                tree=merged.root,
                parents=parents,
                author=messages.actor_identity(self._author.actor, now),
                committer=messages.host_identity(hostname(), now),
                message=messages.build_message(f"sync with {self._remote}", _told(merged), trailers),
            ),
        )


def stand_ins_by(crossing: Crossing, stand_ins: Sequence[Object]) -> Mapping[str, str]:
    """Which stand-in stands for which revision."""
    missing = [oid for oid in crossing.below if oid not in crossing.standing]
    return {oid: item.oid for oid, item in zip(missing, stand_ins, strict=True)}


class RootStore(NamedTuple):
    """What the root commit of a history says of the store that it began: its id and format."""

    id: str
    format: str


def root_stores(repository: Repository, head: str) -> Sequence[RootStore]:
    """The stores that a history began in: one, unless stores that began apart were merged. Empty if it wasn't made by
    gitctx. Raises GitFailed.
    """
    _, output, _ = repository.git("rev-list", "--max-parents=0", head)
    found = []
    for oid in output.decode("ascii").split():
        commit = repository.read_commit(oid)
        store_id, format = commit.trailer(messages.STORE), commit.trailer(messages.FORMAT_TRAILER)
        if store_id is not None and format is not None:
            found.append(RootStore(store_id, format))
    return found


def merge_bases(repository: Repository, one: str, other: str) -> Sequence[str]:
    """All best common ancestors of two commits, neither of them an ancestor of the other. Raises ObjectMissing.

    From both commits the way to a best one leads through commits that only that side has. So it is among the parents
    of those that one side alone has, and of those that the other has; what others of these reach isn't best.
    """
    sides = repository.only(one, other), repository.only(other, one)
    edges = [{parent for parents in side.values() for parent in parents if parent not in side} for side in sides]
    common = sorted(edges[0] & edges[1])
    return [base for base in common if not any(each != base and repository.is_ancestor(base, each) for each in common)]


def _etag(repository: Repository, tree: str, key: str) -> str | None:
    entry = layout.find(repository, tree, key).entry
    return entry.oid if entry is not None else None


def _told(merged: Merged) -> str:
    """What the commit says of keys that both sides had changed."""
    parts = []
    lines = [
        f"{each.key}: {each.strategy}, {each.kept[:10]} after {each.lost[:10]}"
        + (f" (superseded {each.superseded[:10]})" if each.superseded else "")
        for each in merged.settled
    ]
    if lines:
        parts.append("Both sides had changed:\n" + "\n".join(_some(lines)))
    if merged.moved:
        moved = [f"{each.key} -> {each.moved_to}" for each in merged.moved]
        parts.append("Moved aside, because an entry and a folder had one name:\n" + "\n".join(_some(moved)))
    if merged.opened:
        opened = [f"{each.key}: {each.id}" for each in merged.opened]
        parts.append("Left open (see `gitctx conflict list`):\n" + "\n".join(_some(opened)))
    return "\n\n".join(parts)


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _NAMED
    return [*lines[:_NAMED], *([f"and {more} more"] if more > 0 else [])]
