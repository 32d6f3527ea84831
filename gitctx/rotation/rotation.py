"""Rotating a store: planning it, doing it, taking it back, and letting go of old heads when their grace has ended."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from gitctx import failpoints
from gitctx.errors import AlreadyExists, InvalidInput, RetriesExhausted, RevisionNotFound
from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.objects import Object, make_object
from gitctx.repository import Repository
from gitctx.repository.remotes import TRACKING
from gitctx.repository.translate import translated
from gitctx.rotation.acting import Acting, RotatedMeanwhileError
from gitctx.rotation.planning import Cut, Keep, find_cut, plan_of
from gitctx.rotation.policy import branches_due, branches_of, grace_of, put_aside
from gitctx.rotation.recording import record_base
from gitctx.store import Branch, Store
from gitctx.store.advance import Step
from gitctx.store.host import hostname
from gitctx.store.rotated import ROTATED, UNDONE, bases_in, epoch_of, mark_taken_back, rotated_heads
from gitctx.values import Revision, Rotated, RotationPlan

KEEP_WRITES = 50
_TIMES = 5


class Rotation:
    """Rotation of a store, as one actor (perhaps in a session) does it."""

    def __init__(self, store: Store, *, actor: str, session: str | None = None) -> None:
        self._store = store
        self._repository: Repository = store.repository
        self._actor = actor
        self._session = session

    def plan(
        self, *, keep: int | None = None, keep_since: datetime | None = None, keep_bytes: int | None = None
    ) -> RotationPlan:
        """What `apply` would do to the context. Kept are the newest `keep` writes, those made since `keep_since`, and
        as many as fit into `keep_bytes` on disk, whichever is most; without any of these the newest 50. Changes
        nothing. Raises InvalidInput, GitFailed.
        """
        return self._planned(self._store.context, _kept(keep, keep_since, keep_bytes))[0]

    def apply(
        self,
        *,
        keep: int | None = None,
        keep_since: datetime | None = None,
        keep_bytes: int | None = None,
        archive: Path | None = None,
    ) -> Sequence[Rotated]:
        """Squash what `plan` says, in the context and in the records of sessions; what became of each branch.

        Writers go on meanwhile. The old heads stay for the grace that the setting
        `maintenance.grace_s` names. With `archive` all that goes is written to that file
        before, as a git bundle that was checked. Of several who rotate at once one wins; the others find nothing left
        to do. Raises InvalidInput, AlreadyExists (the archive), GitFailed, DiskFull, and what `Branch.advance` raises.
        """
        wanted = _kept(keep, keep_since, keep_bytes)
        if archive is not None:
            self._write_archive(archive)
        done = [self._rotate(branch, wanted) for branch in branches_of(self._store)]
        self.finish()
        return done

    def apply_if_due(self) -> Sequence[Rotated]:
        """Rotate as the store's settings say (`rotation.auto`, `keep_writes`, `keep_days`): each branch whose history
        is more than twice what is kept. Nothing younger than ten minutes is squashed. What was rotated. Raises what
        `apply` raises.
        """
        done = [self._rotate(branch, keep) for branch, keep in branches_due(self._store)]
        if done:
            self.finish()
        return [each for each in done if each.changed]

    def _rotate(self, branch: Branch, keep: Keep) -> Rotated:
        for _ in range(_TIMES):
            plan, cut = self._planned(branch, keep)
            if cut.below is None or plan.squashed == 0:
                return Rotated(plan, False, plan.head)
            try:
                return Acting(self._store, branch, plan, cut, actor=self._actor, session=self._session).act()
            except RotatedMeanwhileError:
                continue
        raise RetriesExhausted(
            f"the branch {branch.name} was rotated by others, again and again", hint="nothing was changed; look again"
        )

    def _planned(self, branch: Branch, keep: Keep) -> tuple[RotationPlan, Cut]:
        head = branch.head()
        cut = find_cut(self._repository, head, keep)
        return plan_of(self._repository, branch.name, head, epoch_of(self._repository, head) + 1, cut), cut

    # -- afterwards ---------------------------------------------------------------------------------------------------

    def undo(self) -> Sequence[Rotated]:
        """Bring back what the last rotation squashed, as long as its grace lasts, also after new writes: one commit
        joins the old history and the new one. What became of each branch. Raises RevisionNotFound if there is nothing
        to bring back, and what `Branch.advance` raises.
        """
        done = [each for each in (self._undo(branch) for branch in branches_of(self._store)) if each is not None]
        if not done:
            raise RevisionNotFound(
                "there is no rotation whose grace lasts", hint="`git for-each-ref refs/gitctx/rotated` lists old heads"
            )
        return done

    def finish(self) -> int:
        """Do what rotations leave for later: record what bases stand for, and let go of old heads whose grace has ended
        (their objects are the maintenance's). How many old heads went. Killed on the way, the next call goes on. Raises
        GitFailed, DiskFull, StorageError.
        """
        gone, grace = 0, grace_of(self._store)
        for branch in branches_of(self._store):
            heads = dict(sorted(rotated_heads(self._repository, branch.name).items()))
            bases = self._bases(branch, heads)
            for epoch, head in heads.items():
                base = bases.get(epoch)
                if base is not None and branch is self._store.context:
                    record_base(self._store, base)
                ref = f"{ROTATED}{epoch}/{branch.name}"
                if self._store.config.clock() - self._kept_since(ref, base) > grace:
                    failpoints.hit("rotate.before_forgetting")
                    # The reflogs first: they would pin it, and lines that name it would be taken for a forced move.
                    for log in (branch.ref, *self._tracking(branch)):
                        self._repository.forget_log(log, head)
                    self._repository.delete_ref(ref, expected=head)
                    gone += 1
            self._forget_undone(branch)
        return gone

    def _kept_since(self, ref: str, base: str | None) -> datetime:
        """When an old head was put aside; where its reflog doesn't tell, when the base that replaced it was made."""
        since = put_aside(self._store, ref)
        if since is not None:
            return since
        return self._repository.read_commit(base).committer.at if base is not None else self._store.config.clock()

    def _forget_undone(self, branch: Branch) -> None:
        """Forget that a rotation was taken back, once that was rotated away itself and its grace has ended."""
        tips = (branch.head(), *rotated_heads(self._repository, branch.name).values())
        for ref in self._repository.ref_names(UNDONE):
            oid = self._repository.read_ref(ref) if ref.endswith(f"/{branch.name}") else None
            if oid is not None and not any(self._repository.is_ancestor(oid, tip) for tip in tips):
                self._repository.delete_ref(ref, expected=oid)

    def _tracking(self, branch: Branch) -> Sequence[str]:
        """The refs that remember what remotes have of a branch."""
        refs = self._repository.ref_names(TRACKING)
        return [ref for ref in refs if ref.endswith(f"/heads/{branch.name}")]

    def _bases(self, branch: Branch, heads: Mapping[int, str]) -> Mapping[int, str]:
        """The base commit that began each of some epochs: a root of the head that came after."""
        found: dict[int, str] = {}
        for tip in (*heads.values(), branch.head()):
            for oid, base in bases_in(self._repository, tip):
                epoch = base.trailer(messages.EPOCH)
                # One without a number only stands in for a revision of another machine.
                if epoch is not None and epoch.isdecimal() and base.trailer(messages.SQUASHED) is not None:
                    found[int(epoch)] = oid
        return found

    def _undo(self, branch: Branch) -> Rotated | None:
        now = branch.head()
        heads = rotated_heads(self._repository, branch.name)
        left = [epoch for epoch, old in heads.items() if not self._repository.is_ancestor(old, now)]
        if not left:
            return None
        epoch = max(left)
        old = heads[epoch]

        def step(head: Revision) -> Step | None:
            if self._repository.is_ancestor(old, head):
                return None
            commit = self._joint(branch, head, old, epoch)
            return Step(Revision(commit.oid), [commit], f"take back the rotation to epoch {epoch}")

        mark_taken_back(self._store, branch.name, old)  # before: once it is there twice, the log has to know
        head = branch.advance(step)
        _, count, _ = self._repository.git("rev-list", "--count", old)
        plan = RotationPlan(branch.name, head, epoch, Revision(old), 0, int(count))
        return Rotated(plan, True, head, None, f"{ROTATED}{epoch}/{branch.name}")

    def _joint(self, branch: Branch, head: str, old: str, epoch: int) -> Object:
        config = self._store.config
        now = config.clock()
        trailers = [(messages.OP, "rotate-undo")]
        if self._session is not None:
            trailers.append((messages.SESSION, self._session))
        trailers.append((messages.ID, new_ulid(now, config.rng)))
        text = messages.build_message(
            f"take back the rotation of {branch.name} to epoch {epoch}",
            "This commit joins the history that was squashed and what was written since.",
            trailers,
        )
        data = messages.encode_commit(
            tree=self._repository.read_commit(head).tree,
            parents=[head, old],
            author=messages.actor_identity(self._actor, now),
            committer=messages.host_identity(hostname(), now),
            message=text,
        )
        return make_object("commit", data)

    def _write_archive(self, path: Path) -> None:
        """All that there is now, as a git bundle; complete and checked before it has its name."""
        if path.exists():
            raise AlreadyExists(f"{path} exists already", hint="choose another name for the archive")
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        try:
            refs = [branch.ref for branch in branches_of(self._store)]
            self._repository.git("bundle", "create", "-q", str(temporary.absolute()), *refs)
            self._repository.git("bundle", "verify", "-q", str(temporary.absolute()))
            with translated(path.parent):
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
                os.rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _kept(writes: int | None, since: datetime | None, size: int | None) -> Keep:
    if (writes is not None and writes < 1) or (size is not None and size < 1):
        raise InvalidInput("a rotation keeps at least one write", hint="give a number of 1 or more")
    if writes is None and since is None and size is None:
        writes = KEEP_WRITES
    return Keep(writes, since, size)
