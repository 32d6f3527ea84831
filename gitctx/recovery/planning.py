"""What becomes of a branch: the revision to build on, the content to write, and what can't be given back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gitctx.config import Config
from gitctx.errors import CorruptStore
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid, to_canonical_json
from gitctx.format.keys import CLAIMS_PREFIX
from gitctx.format.objects import Object, make_object
from gitctx.format.records import decode_claim, encode_claim
from gitctx.recovery.judging import Deep, Judge
from gitctx.recovery.ladder import Choice, Ladder
from gitctx.recovery.names import Line, Names
from gitctx.recovery.replay import Hole, Replay
from gitctx.recovery.shadow import Shadow
from gitctx.recovery.subjects import Named, named_keys
from gitctx.store import rejoin
from gitctx.store.draft import Draft
from gitctx.store.identity import CONTEXT
from gitctx.values import Finding, Missed, Revision, Rung

_LOG_LINES = 400


@dataclass(slots=True)
class BranchPlan:
    """One branch. `start` is what the recovery's commit is built on (in the shadow, among `objects`, if it is new),
    `also` further parents, `tree` its content. `kept` is what the old head held, as far as it can be read.
    """

    branch: str
    value: str | None
    broken: bool
    damaged: bool
    best: str | None
    source: str | None
    start: str = ""
    also: list[str] = field(default_factory=list)
    tree: str = ""
    kept: str = ""
    superseded: list[str] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    lost: list[Missed] = field(default_factory=list)
    stale: list[Missed] = field(default_factory=list)
    resurrected: list[Missed] = field(default_factory=list)
    tried: list[Rung] = field(default_factory=list)
    old: str | None = None
    unsure: bool = False
    """Whether there are lost revisions of which nobody knows what they changed."""

    @property
    def ref(self) -> str:
        """The branch's ref."""
        return f"refs/heads/{self.branch}"


class Planner:
    """Makes the plans of a store's branches."""

    def __init__(self, shadow: Shadow, names: Names, judge: Judge, *, config: Config, store_id: str | None) -> None:
        self._shadow = shadow
        self._names = names
        self._judge = judge
        self._now = config.clock()
        self._rng = config.rng
        self._store_id = store_id

    def plan(self, branch: str, note: str | None) -> BranchPlan:
        """The plan of one branch. Raises NeedsDeep."""
        ladder = Ladder(branch, self._names, note, self._judge, self._shadow)
        fault = ladder.ref_fault()
        choice = ladder.choose()
        ref = f"refs/heads/{branch}"
        value = self._names.value(ref)
        plan = BranchPlan(branch, value, ref in self._names.broken, choice.damaged, choice.base, choice.source)
        plan.tried = [Rung(branch, each.source, Revision(each.oid), verdict) for each, verdict in choice.tried]
        plan.old = value or (choice.gone[0] if choice.gone else choice.newest)
        if fault is not None:
            plan.findings.append(Finding("ref", ref, f"{ref} {fault}"))
        if choice.newest is not None and choice.newest != choice.base:
            plan.findings.append(Finding("history", choice.newest, f"{choice.newest} needs objects that can't be read"))
        if choice.base is None and choice.newest is None and branch == CONTEXT:
            return plan
        self._settle_start(plan, choice)
        self._name_gone(plan, choice)
        self._rejoin(plan, note)
        self._renew_claims(plan)
        return plan

    # -- history ------------------------------------------------------------------------------------------------------

    def _settle_start(self, plan: BranchPlan, choice: Choice) -> None:
        whole = choice.newest is not None and self._judge.is_whole(choice.newest)
        if choice.newest is not None and not whole and isinstance(self._judge, Deep):
            self._replay(plan, choice, self._judge)
        elif choice.base is not None and not choice.content_only:
            plan.start = plan.kept = choice.base
            plan.tree = self._shadow.repository.read_commit(plan.start).tree
        else:
            plan.start = plan.kept = self._new_root(plan)
            content = choice.base
            plan.tree = self._shadow.repository.read_commit(content or plan.start).tree

    def _replay(self, plan: BranchPlan, choice: Choice, deep: Deep) -> None:
        assert choice.newest is not None
        readable = deep.history(choice.newest)
        lacks_past = any(deep.commits[each].parents and not deep.parents_of(each) for each in readable)
        attach = choice.base if choice.base is not None and not choice.content_only else None
        if lacks_past and attach is None:
            attach = self._new_root(plan)
        replay = Replay(self._shadow, deep, attach or "")
        plan.start = plan.kept = replay.run(choice.newest)
        plan.tree = replay.trees[plan.start]
        plan.objects.update(replay.objects)
        if attach is None or not deep.is_commit(attach):
            plan.best, plan.source = choice.newest, choice.newest_source
        plan.lost += [Missed(plan.branch, Revision(oid), None) for oid in replay.missing]
        _Report(plan, self._shadow, deep, replay, self._names.logs.get(plan.ref, ())).write(readable, choice.newest)
        holes = replay.holes[choice.newest]
        if holes:
            self._make_canonical(plan, holes)
            self._keep_without_stand_ins(plan)

    def _make_canonical(self, plan: BranchPlan, holes: Iterable[Hole]) -> None:
        """Where something fell out of a folder, that folder may have to be laid out otherwise."""
        draft = Draft(self._shadow.repository)
        emptied = {hole.path.rstrip("/"): None for hole in holes if hole.instead is None and hole.path}
        root = layout.apply(draft, plan.tree, emptied)
        if root != plan.tree:
            self._take(plan, draft, root)

    def _keep_without_stand_ins(self, plan: BranchPlan) -> None:
        """What the old head still held, without what stands in for the rest: a commit of its own."""
        draft = Draft(self._shadow.repository)
        keys = {each.key for each in (*plan.stale, *plan.resurrected) if each.key is not None}
        there = {key: None for key in keys if layout.find(draft, plan.tree, key).entry is not None}
        if not there:
            return
        root = layout.apply(draft, plan.tree, there)
        host = messages.Identity("gitctx", f"gitctx@{messages.EMAIL_DOMAIN}", self._now)
        trailers = [(messages.OP, "rescue"), (messages.ID, new_ulid(self._now, self._rng))]
        text = messages.build_message("rescue", "What could still be read of the old head.", trailers)
        data = messages.encode_commit(tree=root, parents=[plan.start], author=host, committer=host, message=text)
        commit = make_object("commit", data)
        fresh = [*draft.take_reachable(root), commit]
        self._shadow.put_down(fresh)
        plan.objects.update((item.oid, item) for item in fresh)
        plan.kept = commit.oid

    def _new_root(self, plan: BranchPlan) -> str:
        """A root commit for a branch whose own is lost: it says which store this is."""
        who = messages.Identity("gitctx", f"gitctx@{messages.EMAIL_DOMAIN}", self._now)
        trailers = [
            (messages.OP, "init"),
            (messages.FORMAT_TRAILER, str(messages.FORMAT)),
            (messages.STORE, self._store_id or new_ulid(self._now, self._rng)),
            (messages.EPOCH, "0"),
            (messages.ID, new_ulid(self._now, self._rng)),
        ]
        tree = make_object("tree", b"")
        text = messages.build_message(f"init {plan.branch}", "The history before was lost.", trailers)
        commit = make_object(
            "commit", messages.encode_commit(tree=tree.oid, parents=[], author=who, committer=who, message=text)
        )
        self._shadow.put_down([tree, commit])
        plan.objects.update({tree.oid: tree, commit.oid: commit})
        return commit.oid

    def _name_gone(self, plan: BranchPlan, choice: Choice) -> None:
        """Tell what revisions that can't be read had changed, by what their lines in the reflog say."""
        lines = {line.new: line for line in self._names.logs.get(plan.ref, ())}
        for oid in reversed(choice.gone):
            plan.lost.append(Missed(plan.branch, Revision(oid), None))
            named = named_keys(lines[oid].message) if oid in lines else Named(exact=False)
            plan.unsure = plan.unsure or not named.exact
            for key in sorted(named.put | named.either):
                there = layout.find(self._shadow.repository, plan.tree, key).entry is not None
                (plan.stale if there else plan.lost).append(Missed(plan.branch, Revision(oid), key))
            for key in sorted(named.removed | named.either):
                if layout.find(self._shadow.repository, plan.tree, key).entry is not None:
                    plan.resurrected.append(Missed(plan.branch, Revision(oid), key))

    # -- content ------------------------------------------------------------------------------------------------------

    def _rejoin(self, plan: BranchPlan, note: str | None) -> None:
        """Bring back by key what a forced move threw off."""
        if not self._may_be_thrown_off(plan, note):
            return
        log = self._shadow.path / "logs" / plan.ref
        log.write_bytes(b"".join(line.raw() for line in self._names.logs.get(plan.ref, ())[-_LOG_LINES:]))
        repository = self._shadow.repository
        known = note if note is not None and self._judge.is_commit(note) else None
        found = rejoin.thrown_off(repository, plan.ref, plan.start, known)
        plan.also = [oid for oid in found if oid not in plan.objects and self._judge.is_whole(oid)]
        if not plan.also:
            return
        for oid in plan.also:
            text = f"{plan.ref} was at {oid} and was moved away from it by force"
            plan.findings.append(Finding("thrown_off", oid, text))
        draft = Draft(repository)
        root, plan.superseded = rejoin.join(repository, draft, plan.start, plan.also)
        self._take(plan, draft, root)

    def _may_be_thrown_off(self, plan: BranchPlan, note: str | None) -> bool:
        """Whether something was a head once that isn't in the history of the start."""
        lines = self._names.logs.get(plan.ref, ())[-_LOG_LINES:]
        once = {oid for oid in (note, *(line.old for line in lines)) if oid is not None and self._judge.is_commit(oid)}
        return bool(once) and (plan.start in plan.objects or not once <= self._judge.ancestors(plan.start))

    def _renew_claims(self, plan: BranchPlan) -> None:
        """Claims that come back hold for their full time again: what ended or extended them may be what is lost."""
        if plan.branch != CONTEXT:
            return
        touched = [each.key for each in (*plan.stale, *plan.resurrected) if each.key is not None]
        everything = plan.unsure
        draft = Draft(self._shadow.repository)
        found = layout.find(draft, plan.tree, CLAIMS_PREFIX.rstrip("/"))
        changes: dict[str, str | None] = {}
        for key, node in layout.walk(draft, found.folder, CLAIMS_PREFIX) if found.folder else ():
            if everything or key in touched:
                blob = self._renewed(key, node.oid)
                if blob is not None:
                    changes[key] = blob.oid
                    plan.objects[blob.oid] = blob
        if changes:
            self._shadow.put_down([plan.objects[oid] for oid in changes.values() if oid])
            self._take(plan, draft, layout.apply(draft, plan.tree, changes))

    def _renewed(self, key: str, oid: str) -> Object | None:
        data = self._shadow.repository.read_blob(oid)
        try:
            claim = decode_claim(key.removeprefix(CLAIMS_PREFIX), data)
            expires_at = max(claim.expires_at, self._now + (claim.expires_at - claim.claimed_at))
            renewed = encode_claim(replace(claim, expires_at=expires_at))
        except (CorruptStore, OverflowError):
            return None
        return make_object("blob", to_canonical_json({**json.loads(data), **json.loads(renewed)}))

    def _take(self, plan: BranchPlan, draft: Draft, root: str) -> None:
        """Make a drafted tree the plan's content."""
        fresh = draft.take_reachable(root)
        self._shadow.put_down(fresh)
        plan.objects.update((item.oid, item) for item in fresh)
        plan.tree = root


class _Report:
    """Which revisions and keys a replay couldn't give back."""

    def __init__(self, plan: BranchPlan, shadow: Shadow, deep: Deep, replay: Replay, log: Iterable[Line]) -> None:
        self._plan = plan
        self._shadow = shadow
        self._deep = deep
        self._replay = replay
        self._origins: dict[tuple[str, str], str] = {}
        self._changed: dict[str, dict[str, Named]] = {}
        self._messages = {line.new: line.message for line in log}

    def write(self, readable: Sequence[str], newest: str) -> None:
        """Fill the plan's lists; `readable` are the revisions, each after its parents."""
        for oid in readable:
            holes = self._replay.holes.get(oid, ())
            for hole in holes:
                self._origins.setdefault((hole.path, hole.oid), oid)
            if holes:
                self._follow_folders(oid, holes)
        now = {(hole.path, hole.oid) for hole in self._replay.holes[newest]}
        for (path, oid), revision in self._origins.items():
            if (path, oid) not in now:
                self._plan.lost.append(self._missed(revision, path or "/"))
        for hole in self._replay.holes[newest]:
            revision = self._origins[hole.path, hole.oid]
            if hole.path.endswith("/") or not hole.path:
                self._tell_folder(hole, revision, self._changed[newest][hole.path])
            else:
                (self._plan.stale if hole.instead else self._plan.lost).append(self._missed(revision, hole.path))

    def _missed(self, revision: str, key: str) -> Missed:
        return Missed(self._plan.branch, Revision(revision), key)

    def _follow_folders(self, oid: str, holes: Iterable[Hole]) -> None:
        """What was changed in unreadable folders since they were last readable, by what subjects say."""
        before: dict[str, Named] = {}
        known: set[tuple[str, str]] = set()
        for parent in self._deep.parents_of(oid):
            before.update(self._changed.get(parent, {}))
            known |= {(hole.path, hole.oid) for hole in self._replay.holes.get(parent, ())}
        mine: dict[str, Named] = {}
        for hole in holes:
            if hole.path and not hole.path.endswith("/"):
                continue
            named = Named()
            if hole.path in before:
                named.add(before[hole.path])
            for skipped in reversed(self._deep.skipped(oid)):
                named.add(named_keys(self._messages.get(skipped, "")))
            if (hole.path, hole.oid) not in known:
                named.add(named_keys(self._shadow.repository.read_commit(oid).subject))
            mine[hole.path] = named
        self._changed[oid] = mine

    def _tell_folder(self, hole: Hole, revision: str, named: Named) -> None:
        there = set()
        if hole.instead is not None:
            there = {key for key, _ in layout.walk(self._shadow.repository, (hole.instead,), hole.path)}
        below = [
            {key for key in keys if key.startswith(hole.path)} for keys in (named.put, named.removed, named.either)
        ]
        put, removed, either = below
        plan = self._plan
        if not named.exact:
            either |= there
            plan.lost.append(self._missed(revision, hole.path or "/"))
        plan.stale += [self._missed(revision, key) for key in sorted((put | either) & there)]
        plan.lost += [self._missed(revision, key) for key in sorted((put | either) - there)]
        plan.resurrected += [self._missed(revision, key) for key in sorted((removed | either) & there)]
