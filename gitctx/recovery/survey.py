"""Looking at a store: everything that is wrong with it, and what can be made of it. Changes nothing in the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gitctx.config import Config
from gitctx.errors import BrokenHistory, FormatUnsupported, GitctxError, ObjectMissing, StoreNotOwned
from gitctx.format import messages
from gitctx.recovery import bodies, frame, names, quarantine
from gitctx.recovery.bodies import Bodies
from gitctx.recovery.frame import Frame
from gitctx.recovery.judging import Deep, Judge, Memory, Quick
from gitctx.recovery.ladder import LINES, NeedsDeep
from gitctx.recovery.names import Names
from gitctx.recovery.nearby import Nearby, TooOldError
from gitctx.recovery.planning import BranchPlan, Planner
from gitctx.recovery.shadow import Shadow, raise_if_machine
from gitctx.repository import Repository, stale_locks
from gitctx.repository.reflog import NO_OBJECT
from gitctx.repository.translate import translated
from gitctx.store.identity import CONTEXT, SESSIONS
from gitctx.values import Finding, Missed, RecoveryScan, Revision

BRANCHES = (CONTEXT, SESSIONS)
_REFS = tuple(f"refs/heads/{name}" for name in BRANCHES)
_SMALL = 10_000
"""Histories of no more revisions are looked at in full."""
_LOOKS = 4
"""So many times a store that changes under our eyes is looked at."""


@dataclass(slots=True)
class Survey:
    """What was found. `restored` are refs that come back with the value of their reflog, `unnamed` those that point at
    something broken, `bad` ids that no reflog may name any more.
    """

    shadow: Shadow
    frame: Frame
    names: Names
    bodies: Bodies
    store_id: str | None = None
    locks: list[Path] = field(default_factory=list)
    plans: dict[str, BranchPlan] = field(default_factory=dict)
    restored: dict[str, str] = field(default_factory=dict)
    unnamed: dict[str, str] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    lost: list[Missed] = field(default_factory=list)
    drops_derived: bool = False

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def context(self) -> BranchPlan:
        """The plan of the context."""
        return self.plans[CONTEXT]

    def report(self) -> RecoveryScan:
        """What is told of it."""
        plans = list(self.plans.values())
        context = self.context
        return RecoveryScan(
            healthy=self.healthy,
            damage=tuple(self.findings),
            best=Revision(context.best) if context.best is not None else None,
            source=context.source,
            lost=tuple(dict.fromkeys([*(each for plan in plans for each in plan.lost), *self.lost])),
            stale=tuple(dict.fromkeys(each for plan in plans for each in plan.stale)),
            resurrected=tuple(dict.fromkeys(each for plan in plans for each in plan.resurrected)),
            tried=tuple(each for plan in plans for each in plan.tried),
        )


@contextmanager
def survey(
    path: Path, config: Config, memory: Memory, *, full: bool = False, own: str | None = None
) -> Iterator[Survey]:
    """Look at a store; what was found can be used within the block. `memory` spares a second look at the same files,
    `own` is the id of the recovery that asks: that it isn't finished is no finding.

    Raises StoreNotFound, NotAStore, StoreNotOwned, FormatUnsupported, and StorageError where the machine fails rather
    than the store.
    """
    looks = 0
    while True:
        looks += 1
        found = frame.look(path)
        _refuse_foreign(path, found)
        with Shadow(path, git_timeout_s=config.git_timeout_s) as shadow:
            with translated(path), Repository(path).without_compaction():
                before = _stamp(path)
                made = _Surveyor(path, config, shadow, found, full=full).run(memory, own)
                moved = before != _stamp(path)
            if made.healthy or not moved or looks >= _LOOKS:
                yield made
                return


def _refuse_foreign(path: Path, found: Frame) -> None:
    """Raise if it isn't ours to mend: another format, another owner, a machine that refuses."""
    try:
        known = Repository.open(path).config()
    except (FormatUnsupported, StoreNotOwned):
        raise
    except GitctxError as error:
        raise_if_machine(error, path)
        if not found.findings:
            raise
        return
    format = known.get("gitctx.format", str(messages.FORMAT))
    if found.config is None and format != str(messages.FORMAT):
        raise FormatUnsupported(
            f"the store {path} has format {format}, and this gitctx reads format {messages.FORMAT}",
            hint="upgrade gitctx: pip install --upgrade gitctx-store",
            details={"format": format, "supported": messages.FORMAT},
        )


def _stamp(path: Path) -> tuple[object, ...]:
    """What changes when somebody writes or repacks."""
    stamps: list[object] = []
    for name in (*_REFS, "packed-refs"):
        try:
            status = os.stat(path / name)
            stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError:
            stamps.append(None)
    try:
        stamps.append(tuple(sorted(name for name in os.listdir(path / "objects" / "pack") if name.endswith(".idx"))))
    except OSError:
        stamps.append(None)
    return tuple(stamps)


class _Surveyor:
    """Makes one survey."""

    def __init__(self, path: Path, config: Config, shadow: Shadow, found: Frame, *, full: bool) -> None:
        self._path = path
        self._config = config
        self._shadow = shadow
        self._full = full
        own = stale_locks.own_inodes(path)
        stale = list(stale_locks.look(path, own))
        self._notes = {branch: names.read_note(path, branch) for branch in BRANCHES}
        known = names.read(path)
        self.made = Survey(shadow, found, known, bodies.look(path, shadow), found.store_id, [lock for lock, _ in stale])
        self.made.findings += [*found.findings, *(finding for _, finding in stale), *known.findings()]
        self.made.findings += self.made.bodies.findings

    def run(self, memory: Memory, own: str | None) -> Survey:
        """The survey."""
        unfinished = [place for place in quarantine.unfinished(self._path) if place.name != own]
        if unfinished:
            text = "a recovery was cut off before its end"
            self.made.findings += [Finding("unfinished", place.name, text) for place in unfinished]
        memory.renew(self.made.bodies.stamp)
        quick = Quick(self._shadow, memory)
        quick.learn(self._named())
        judge: Judge = quick
        self._files = self.made.findings[:]
        deep = self._full or bool(unfinished) or self._may_lack_more()
        try:
            if deep:
                raise NeedsDeep
            self._plan(judge)
            if self._small_and_holed(judge):
                raise NeedsDeep
        except NeedsDeep:
            judge = self._look_deep(quick, memory)
        self._look_at_other_refs(judge)
        self._look_at_logs(judge)
        return self.made

    def _look_deep(self, quick: Quick, memory: Memory) -> Judge:
        """The plan of a judge that knows all it needs: of the newest revisions, if nothing else is broken."""
        logs = [self.made.names.logs.get(name, ()) for name in _REFS]
        if not self._full:
            heads = (self.made.names.value(name) or self._notes[name.rpartition("/")[2]] for name in _REFS)
            lasts = (log[-1].new for log in logs if log)
            try:
                near = Nearby(self._shadow, logs, [oid for oid in (*heads, *lasts) if oid], memory)
                self._plan(near)
                return near
            except TooOldError:
                pass
        deep = Deep(self._shadow, logs)
        self._plan(deep)
        return deep

    def _named(self) -> Iterator[str]:
        """Every id that the ladder will ask about, to be looked up at once."""
        yield from self.made.names.refs().values()
        yield from (note for note in self._notes.values() if note is not None)
        for lines in self.made.names.logs.values():
            for line in lines[-LINES:]:
                yield line.old
                yield line.new

    def _may_lack_more(self) -> bool:
        """Whether objects are known to be missing that aren't just heads."""
        found = self.made.bodies
        if found.unknown:
            return True
        suspects = {oid for oid in found.suspects if not self._shadow.repository.has(oid)}
        heads = {line.new for name in _REFS for line in self.made.names.logs.get(name, ())}
        return bool(suspects - heads)

    def _small_and_holed(self, judge: Judge) -> bool:
        """Whether something is missing below older revisions: git tells, which takes long where there are many."""
        heads = [plan.best for plan in self.made.plans.values() if plan.best is not None]
        if sum(len(judge.ancestors(head)) for head in heads) > _SMALL:
            return False
        arguments = ("--objects", "--missing=print", "--no-object-names", *heads)
        status, output, _ = self._shadow.git("rev-list", *arguments)
        return status != 0 or b"?" in output

    def _plan(self, judge: Judge) -> None:
        made = self.made
        made.findings = self._files[:]
        if made.store_id is None:
            made.store_id = self._find_store_id(judge)
        planner = Planner(self._shadow, made.names, judge, config=self._config, store_id=made.store_id)
        plans = {branch: planner.plan(branch, self._notes[branch]) for branch in BRANCHES}
        made.plans = plans
        made.findings += [finding for plan in plans.values() for finding in plan.findings]
        for plan in plans.values():
            made.bad |= {each.revision for each in plan.lost if each.revision is not None and each.key is None}
            if plan.damaged and plan.value is not None and not judge.is_whole(plan.value):
                made.bad.add(plan.value)
        made.drops_derived = any(plan.lost for plan in plans.values()) or bool(made.bodies.suspects)

    def _find_store_id(self, judge: Judge) -> str | None:
        """The store's id, from a root commit: the configuration doesn't tell it."""
        for branch in (SESSIONS, CONTEXT):
            ref = f"refs/heads/{branch}"
            lines = self.made.names.logs.get(ref, ())
            for oid in (self.made.names.value(ref), self._notes[branch], *(line.old for line in reversed(lines))):
                if oid is None or oid == NO_OBJECT or not judge.is_commit(oid):
                    continue
                status, output, _ = self._shadow.git("rev-list", "--max-parents=0", oid)
                for root in output.decode("ascii").split() if status == 0 else ():
                    found = self._shadow.repository.read_commit(root).trailer(messages.STORE)
                    if found is not None:
                        return found
        return None

    # -- other refs and reflogs ---------------------------------------------------------------------------------------

    def _look_at_other_refs(self, judge: Judge) -> None:
        made = self.made
        others = {name: oid for name, oid in made.names.refs().items() if name not in _REFS}
        if isinstance(judge, Quick):
            judge.learn([*others.values()])
        for name, oid in sorted(others.items()):
            if not self._ref_is_whole(judge, oid):
                self._lose_ref(name, oid, "points at something that can't be read")
        wanted = [name for name in made.names.broken if name not in _REFS]
        gone = {"refs", "refs/tags"} & set(made.frame.folders)
        if made.names.packed_broken or gone:
            known = made.names.refs()
            wanted += [name for name in made.names.logs if name.startswith("refs/") and name not in known]
        for name in sorted(set(wanted) - set(_REFS)):
            lines = made.names.logs.get(name, ())
            last = lines[-1].new if lines else NO_OBJECT
            if last != NO_OBJECT and self._ref_is_whole(judge, last):
                made.restored[name] = last
                if name not in made.names.broken:
                    made.findings.append(Finding("ref", name, f"{name} is gone; its reflog has its value"))
            elif name in made.names.broken:
                self._lose_ref(name, last, "can't be read")

    def _lose_ref(self, name: str, oid: str, why: str) -> None:
        made = self.made
        made.unnamed[name] = oid
        code = "checkpoint" if name.startswith("refs/tags/") else "ref"
        if name not in made.names.broken:
            made.findings.append(Finding(code, name, f"{name} {why}"))
        made.lost.append(Missed(name, Revision(oid) if oid != NO_OBJECT else None, None))

    def _ref_is_whole(self, judge: Judge, oid: str) -> bool:
        if not judge.is_there(oid):
            return False
        repository = self._shadow.repository
        try:
            tag = repository.read_tag(oid)
            target = tag.target if tag is not None else oid
            if isinstance(judge, Deep):
                return judge.is_whole(target) if judge.is_commit(target) else judge.is_there(target)
            return not judge.is_commit(target) or repository.has(repository.read_commit(target).tree)
        except (ObjectMissing, BrokenHistory):
            return False

    def _look_at_logs(self, judge: Judge) -> None:
        """Lines that name what isn't there: git takes them for damage."""
        made = self.made
        good: set[str] = {NO_OBJECT}
        for plan in made.plans.values():
            if plan.best is not None and judge.is_whole(plan.best):
                good |= judge.ancestors(plan.best)
        for name, lines in sorted(made.names.logs.items()):
            named = {oid for line in lines for oid in (line.old, line.new)} - good
            if isinstance(judge, Quick):
                judge.learn(named)
            bad = {oid for oid in named if oid in made.bad or not self._ref_is_whole(judge, oid)}
            made.bad |= bad
            if bad:
                text = f"the reflog of {name} names {len(bad)} revisions that can't be read"
                made.findings.append(Finding("reflog", f"logs/{name}", text))
        for plan in made.plans.values():
            if plan.ref not in made.names.logs:
                plan.damaged = True
                made.findings.append(Finding("reflog", f"logs/{plan.ref}", f"the branch {plan.branch} has no reflog"))
