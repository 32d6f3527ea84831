"""One exchange with one remote: fetch, merge by key, push with a lease, and again if somebody was faster.

The update of the remote's ref is the compare-and-swap. Branches and each checkpoint are pushed by themselves, so that
one refused ref blocks nothing. Local writers are never held up: the network is only used without the writer's turn.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gitctx import failpoints
from gitctx.errors import LockTimeout, RemoteError, RemoteRejected, RemoteUnreachable
from gitctx.format.strategies import Strategy
from gitctx.repository import descriptors
from gitctx.repository.network import Network, Push, Refusal
from gitctx.repository.remotes import OWN, SHARED, Remotes, fetch_refspecs, tracking
from gitctx.sessions import Sessions
from gitctx.store import Branch, Store
from gitctx.store.advance import Step
from gitctx.store.identity import CONTEXT, SESSIONS
from gitctx.store.rotated import epoch_of, mark_taken_back
from gitctx.sync.agreed import Agreed
from gitctx.sync.joint import Author, Joint, root_stores
from gitctx.sync.tags import FASTER, Tags
from gitctx.values import BranchExchanged, Exchanged, Remote, Revision

AT_ONCE = 100
"""So many refs are pushed by one command; each of them by its own compare-and-swap."""
_LOCK_LOOK_EVERY_S = 0.05
_LOCK_AGE_S = 1.0
"""Git holds a lock on a ref for milliseconds."""
_HOOK_DECLINED = "pre-receive hook declined"


@dataclass
class _Branch:
    """A branch on its way through an exchange."""

    branch: Branch
    ref: str
    report: BranchExchanged
    theirs: str | None = None
    joined: Revision | None = None
    must_join: bool = False
    """The remote takes no rewritten history: what was rotated here has to be joined with what it has."""
    joint: Joint | None = None
    pushed: Push | None = None
    """What was pushed and isn't known to have gone through."""

    @property
    def agreed(self) -> str:
        """Its name among what both sides agreed on."""
        return f"heads/{self.branch.name}"


class Exchange:
    """One exchange of a store with one remote.

    `strategy` settles the keys of the context that both sides changed (None: as the settings say). `apart` merges a
    store that began apart instead of refusing it. `only_context` leaves sessions and checkpoints for another time.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote,
        network: Network,
        author: Author,
        *,
        deadline_s: float,
        strategy: str | Strategy | None = None,
        apart: bool = False,
        only_context: bool = False,
        sessions: Sessions,
        project_urls: Sequence[str] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self._store = store
        self._repository = store.repository
        self._remote = remote
        self._network = network
        self._author = author
        self._deadline_s = deadline_s
        self._strategy = strategy
        self._apart = apart
        self._only_context = only_context
        self._sessions = sessions
        self._project_urls = project_urls
        self._stop = stop or threading.Event()
        self._rounds = 0

    def run(self) -> Exchanged:
        """Do it. Raises RemoteUnreachable, RemoteAuthFailed, StoresApart, FormatUnsupported, LockTimeout, and what
        `Branch.advance` raises.

        A cut connection leaves nothing half done: what went through is found out by the next exchange.
        """
        config = self._store.config
        started = config.monotonic()
        deadline = started + self._deadline_s
        with self._alone(deadline), self._locks_cleared():
            self._find_place()
            if not self._only_context:
                self._sessions.tell_beats(actor=self._author.actor)
            branches = [self._begin(branch) for branch in self._branches()]
            agreed = Agreed(self._repository, self._remote.name)
            tags = Tags(self._store, self._remote.name, self._remote.namespace, agreed)
            failed = False
            while True:
                began = config.monotonic()
                pushes = self._take_in(branches, tags, agreed)
                if not pushes:
                    break
                self._rounds += 1
                try:
                    raced = self._push(branches, tags, agreed, pushes)
                except RemoteUnreachable:
                    if failed or self._stop.is_set() or config.monotonic() > deadline:
                        raise
                    failed = True
                    continue  # perhaps all of it went through: what the remote has now tells
                if not raced:
                    break
                # Whoever lost most goes first: others that lost the same race leave it the time for a round.
                longest = (config.monotonic() - began) / self._rounds
                pause = config.rng.uniform(0, longest)
                if config.monotonic() + pause > deadline or self._stop.is_set():
                    break
                config.sleep(pause)
            self._repository.tell_growth()
        reports = tuple(replace(each.report, head=each.branch.head()) for each in branches)
        return Exchanged(
            self._remote.name, reports, tags.report(), self._rounds, round(config.monotonic() - started, 6)
        )

    # -- where, and who with ------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        """One exchange at a time with a remote, from this store."""
        folder = self._repository.path / "gitctx" / "sync"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._remote.name}.lock"
        descriptor = descriptors.hold(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if self._store.config.monotonic() > deadline or self._stop.is_set():
                        raise LockTimeout(
                            f"another exchange with '{self._remote.name}' is still going on",
                            hint="nothing was changed; it takes along what is here, or run it again",
                        ) from None
                    self._store.config.sleep(_LOCK_LOOK_EVERY_S)
            yield
        finally:
            descriptors.close(descriptor)

    @contextmanager
    def _locks_cleared(self) -> Iterator[None]:
        """Neither a git that was killed in an earlier exchange holds this one up, nor one of this one a later one."""
        remotes = Remotes(self._repository)
        remotes.clear_locks(self._remote.name, older_than_s=_LOCK_AGE_S)
        try:
            yield
        except RemoteError:
            remotes.clear_locks(self._remote.name, older_than_s=0.0)
            raise

    def _find_place(self) -> None:
        """Find out where the store's refs are on the remote, or decide where they will be."""
        if self._remote.namespace:
            return
        there = self._network.refs(self._remote.name)
        namespace = namespace_in(there)
        if namespace is None:
            shared = bool(there) or self._remote.url in self._project_urls
            namespace = SHARED if shared else OWN
        self._remote = Remotes(self._repository).place(self._remote.name, namespace)

    def _branches(self) -> list[Branch]:
        return [self._store.context] if self._only_context else [self._store.context, self._store.sessions]

    def _begin(self, branch: Branch) -> _Branch:
        ref = f"{self._remote.namespace}heads/{branch.name}"
        return _Branch(branch, ref, BranchExchanged(branch.name, branch.head()))

    # -- receiving ----------------------------------------------------------------------------------------------------

    def _take_in(self, branches: Sequence[_Branch], tags: Tags, agreed: Agreed) -> list[Push]:
        """Fetch, bring what came into the branches, and say what is to be pushed."""
        failpoints.hit("exchange.before_fetch")
        self._network.fetch(
            self._remote.name, fetch_refspecs(self._remote.name, self._remote.namespace), prune=not self._only_context
        )
        failpoints.hit("exchange.after_fetch")
        for each in branches:
            each.theirs = self._repository.read_ref(f"{tracking(self._remote.name)}heads/{each.branch.name}")
            self._notice_gone_through(each)
            self._notice_forced_back(each, agreed)
            if each.theirs is not None:
                self._bring_in(each, agreed.get(each.agreed))
                agreed.set(each.agreed, each.theirs)
        failpoints.hit("exchange.after_merge")
        pushes = [push for each in branches for push in self._own(each)]
        if not self._only_context:
            anew = any(each.report.forced_back is not None for each in branches if each.branch.name == CONTEXT)
            pushes += tags.settle(self._fetched_tags(), remote_is_anew=anew)
        # Of branches it can wait until the push is through: the sooner that comes, the fewer are faster.
        agreed.save("tags/" if pushes else "")
        return pushes

    def _fetched_tags(self) -> dict[str, str]:
        prefix = f"{tracking(self._remote.name)}tags/"
        found = {
            name.removeprefix(prefix): self._repository.read_ref(name) for name in self._repository.ref_names(prefix)
        }
        return {name: oid for name, oid in found.items() if oid is not None}

    def _notice_forced_back(self, each: _Branch, agreed: Agreed) -> None:
        """Whether the remote has thrown off what it once had."""
        known = agreed.get(each.agreed)
        if known is None or known == each.theirs:
            return
        if each.theirs is None or not (
            self._repository.is_ancestor(known, each.theirs)
            or epoch_of(self._repository, each.theirs) > epoch_of(self._repository, known)
        ):
            each.report = replace(each.report, forced_back=Revision(known))

    def _notice_gone_through(self, each: _Branch) -> None:
        """Whether the remote has what an earlier round pushed, although its answer was lost, or git asked twice and
        got the answer to the second time.
        """
        pushed, each.pushed = each.pushed, None
        if pushed is None or pushed.oid is None or each.theirs is None:
            return
        if self._repository.is_ancestor(pushed.oid, each.theirs):
            self._count_sent(each, pushed)

    def _bring_in(self, each: _Branch, met: str | None) -> None:
        theirs = each.theirs
        assert theirs is not None
        if each.joint is None or each.joint.theirs != theirs:
            each.joint = Joint(
                self._store,
                each.branch.name,
                self._remote.name,
                theirs,
                author=self._author,
                strategy=self._strategy,
                apart=self._apart,
                met=met,
            )
        joint = each.joint
        before: list[Revision] = []

        def step_from(head: Revision) -> Step | None:
            before[:] = [head]
            return joint.step(head)

        head = each.joined = each.branch.advance(step_from)
        if each.must_join:
            each.joined = each.branch.advance(joint.join_again)
            each.report = replace(each.report, rejoined=True)
            mark_taken_back(self._store, each.branch.name, theirs)
            Remotes(self._repository).note_no_rotation(self._remote.name)
            each.must_join = False
        if head == before[0]:
            return
        if each.branch.name == SESSIONS:
            self._sessions.note_heard(before[0], head)
        arrived, roots = self._arrived(before[0], theirs)
        if roots and each.branch.name == CONTEXT:
            self._adopt_identity(head)
        merged = joint.merged_into(before[0])
        report = replace(each.report, received=each.report.received + arrived)
        if merged is not None:
            report = replace(
                report,
                merged=head,
                settled=(*report.settled, *merged.settled),
                moved=(*report.moved, *merged.moved),
                opened=(*report.opened, *merged.opened),
            )
        each.report = report

    def _arrived(self, head: str, theirs: str) -> tuple[int, bool]:
        """How many commits a remote's head brings, and whether a root commit is among them."""
        found = self._repository.only(theirs, head)
        return len(found), not all(found.values())

    def _adopt_identity(self, head: str) -> None:
        """A store that began apart has come in: go by the id that everybody sees who follows first parents."""
        stores = {store.id for store in root_stores(self._repository, head)}
        oldest = min(stores, default=None)
        if oldest is not None and oldest != self._store.identity.store_id:
            self._repository.set_config("gitctx.store", oldest)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _own(self, each: _Branch) -> list[Push]:
        head = each.branch.head()
        if each.theirs is not None and not self._repository.is_ancestor(each.theirs, head):
            assert each.joined is not None
            head = each.joined  # somebody moved the branch back by force: that isn't passed on
        if head == each.theirs:
            return []
        return [Push(head, each.ref, each.theirs)]

    def _push(self, branches: Sequence[_Branch], tags: Tags, agreed: Agreed, pushes: Sequence[Push]) -> bool:
        """Push; whether somebody was faster with one of them."""
        raced = False
        for each in branches:
            each.pushed = next((push for push in pushes if push.ref == each.ref), None)
        for start in range(0, len(pushes), AT_ONCE):
            chunk = pushes[start : start + AT_ONCE]
            failpoints.hit("exchange.before_push")
            answers = self._network.push(self._remote.name, chunk)
            failpoints.hit("exchange.after_push")
            if len(chunk) > 1 and all(_declined(refusal) for refusal in answers.values()):
                # The server judges all that comes at once: one by one, only what it refuses is refused.
                alone = [self._network.push(self._remote.name, [push]) for push in chunk]
                answers = {ref: answer for answer_of in alone for ref, answer in answer_of.items()}
            for push in chunk:
                refusal = answers[push.ref]
                raced = raced or (refusal is not None and refusal.raced)
                self._note(branches, tags, agreed, push, refusal)
        agreed.save()
        return raced

    def _note(
        self, branches: Sequence[_Branch], tags: Tags, agreed: Agreed, push: Push, refusal: Refusal | None
    ) -> None:
        raced = refusal is not None and refusal.raced
        each = next((each for each in branches if each.ref == push.ref), None)
        if each is None:
            tags.pushed(push, FASTER if raced else refusal.reason if refusal is not None else None)
            return
        if refusal is not None:
            rewritten = push.oid is not None and each.theirs is not None
            if rewritten and "non-fast-forward" in refusal.reason and refusal.by_remote:
                each.must_join = not self._repository.is_ancestor(str(each.theirs), str(push.oid))
            reason = FASTER if raced else refusal.reason
            each.report = replace(each.report, refused=reason, up_to_date=False)
            return
        assert push.oid is not None
        each.pushed = None
        self._count_sent(each, push)
        each.theirs = push.oid
        agreed.set(each.agreed, push.oid)

    def _count_sent(self, each: _Branch, push: Push) -> None:
        assert push.oid is not None
        count = self._count(push.oid, push.expected)
        each.report = replace(each.report, sent=each.report.sent + count, refused="", up_to_date=True)

    def _count(self, head: str, known: str | None) -> int:
        if known is not None and self._repository.has(known):
            return len(self._repository.only(head, known))
        _, output, _ = self._repository.git("rev-list", "--count", head)
        return int(output)


def namespace_in(refs: Mapping[str, str]) -> str | None:
    """Where a remote with these refs has a store; None if it has none."""
    if f"{SHARED}heads/{CONTEXT}" in refs:
        return SHARED
    heads = {name for name in refs if name.startswith(f"{OWN}heads/")}
    if f"{OWN}heads/{CONTEXT}" not in heads:
        return None
    # A project may have a branch of that name; a remote of the store's own may have refused the sessions.
    return OWN if f"{OWN}heads/{SESSIONS}" in heads or len(heads) == 1 else None


def rejected(remote: str, report: Exchanged) -> RemoteError | None:
    """The error that says what a remote refused; None if it took everything."""
    refused = {each.branch: each.refused for each in report.branches if each.refused}
    if not refused:
        return None
    return RemoteRejected(
        f"'{remote}' refused {', '.join(f'{name} ({reason})' for name, reason in refused.items())}",
        hint="everything is kept here; what the remote has was taken in",
        details={"remote": remote, "refused": refused},
    )


def _declined(refusal: Refusal | None) -> bool:
    return refusal is not None and _HOOK_DECLINED in refusal.reason
