"""Doing what a survey found to be done, one small step after the other.

Each step can be done again: a recovery that is killed leaves its folder without a report, and the next one looks at
everything anew. The heads move by compare-and-swap, while the writer queues are held.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import BrokenHistory, LockTimeout, StorageError
from gitctx.format import messages
from gitctx.format.objects import Object, make_object
from gitctx.recovery import bodies, frame, names
from gitctx.recovery.judging import EMPTY_TREE
from gitctx.recovery.planning import BranchPlan
from gitctx.recovery.quarantine import Quarantine
from gitctx.recovery.survey import Survey
from gitctx.repository import RefLocked, RefMoved, Repository, SwapUnsettled, stale_locks
from gitctx.repository.disk import sync_folder
from gitctx.repository.reflog import NO_OBJECT
from gitctx.repository.refs import Refs
from gitctx.repository.translate import translated
from gitctx.store.host import hostname
from gitctx.store.identity import CONTEXT
from gitctx.store.queue import Turn
from gitctx.values import Missed, Recovered, RecoveryScan, Revision

OP = "recover"
SOURCE = "Gitctx-Source"
OLD_HEAD = "Gitctx-Old-Head"
RESCUE = "refs/gitctx/rescue"
_NAMED = 40
_PAUSE_S = 0.01


class ForgivingRefs(Refs):
    """Refs of which a damaged file reads as `NO_OBJECT`: so it can be compared, and replaced under git's lock."""

    def read(self, name: str) -> str | None:
        """What a ref holds; `NO_OBJECT` for one whose file is damaged."""
        try:
            return super().read(name)
        except BrokenHistory:
            return NO_OBJECT


class Acting:
    """One recovery on its way."""

    _found: Survey

    def __init__(self, path: Path, config: Config, id: str, *, actor: str | None, session: str | None) -> None:
        self._path = path
        self._config = config
        self.id = id
        self._actor = actor
        self._session = session
        self.quarantine = Quarantine(path, id)
        self.rescue: list[str] = []
        self.revision: str | None = None
        self._repository: Repository | None = None

    # -- before the turn ----------------------------------------------------------------------------------------------

    def open(self, found: Survey) -> Repository:
        """Begin: the frame is mended, so that the store can be opened at all."""
        self._found = found
        self._make_room()
        self.quarantine.begin({"damage": [f"{each.code}: {each.text}" for each in found.findings]})
        failpoints.hit("recover.after_journal")
        frame.make_folders(self._path, found.frame.folders)
        if found.frame.head:
            self._replace("HEAD", frame.HEAD)
        if found.frame.config is not None:
            self._replace("config", frame.rebuilt_config(found.frame.config, found.store_id or ""))
        failpoints.hit("recover.after_frame")
        repository = Repository.open(self._path, git_timeout_s=self._config.git_timeout_s)
        repository.refs = ForgivingRefs(self._path)
        self._repository = repository
        return repository

    def _make_room(self) -> None:
        """A file in the place of the working folder makes way."""
        place = self._path / "gitctx"
        if place.exists() and not place.is_dir():
            os.rename(place, self._path / f"gitctx.{self.id}")

    # -- with the turn ------------------------------------------------------------------------------------------------

    def act(self, found: Survey, turns: dict[str, Turn]) -> None:
        """Do everything. Raises RefMoved if somebody wrote since the survey, LockTimeout, StorageError."""
        self._found = found
        self.rescue = []
        repository = self._opened()
        for plan in self._found.plans.values():
            if repository.read_ref(plan.ref) != (NO_OBJECT if plan.broken else plan.value):
                raise RefMoved(repository.read_ref(plan.ref))
        self._clear_locks(all(turn.alone for turn in turns.values()))
        failpoints.hit("recover.after_locks")
        self._install()
        failpoints.hit("recover.after_install")
        self._settle_other_refs()
        failpoints.hit("recover.after_refs")
        moving = [plan for plan in self._found.plans.values() if plan.branch == CONTEXT or self._moves(plan)]
        for plan in moving:
            name = f"{RESCUE}/{self.id}/{plan.branch}"
            self._publish(list(plan.objects.values()), name, plan.kept, expected=None, what="rescue")
            self.rescue.append(name)
        failpoints.hit("recover.after_rescue")
        for plan in moving:
            self._move_head(plan, turns[plan.branch])
            failpoints.hit("recover.after_head")
        self._mend_logs()
        failpoints.hit("recover.after_reflogs")
        self._move_aside()
        failpoints.hit("recover.after_quarantine")

    def finish(self, report: RecoveryScan) -> Recovered:
        """Say that everything is done; what was."""
        self.quarantine.finish({"id": self.id, "revision": self.revision, "rescue": self.rescue})
        revision = Revision(self.revision) if self.revision is not None else None
        place = str(self.quarantine.folder) if self.quarantine.holds_files else None
        return Recovered(self.id, True, revision, report, tuple(self.rescue), place)

    def _opened(self) -> Repository:
        assert self._repository is not None
        return self._repository

    def _moves(self, plan: BranchPlan) -> bool:
        return plan.damaged or bool(plan.also) or bool(plan.findings)

    def _clear_locks(self, alone: bool) -> None:
        for lock in self._found.locks:
            stale_locks.clear(self._opened().refs, lock, alone=alone)

    def _install(self) -> None:
        """Indexes that were made anew, and packs of what was saved: each complete before it has its name."""
        folder = self._path / "objects" / "pack"
        shadow = self._found.shadow.path / "objects" / "pack"
        for name, index in self._found.bodies.rebuilt.items():
            if (folder / f"{name}.idx").exists():
                self.quarantine.move(f"objects/pack/{name}.idx")
            _copy(index, folder / f"{name}.idx")
        for name in self._found.bodies.salvaged:
            for end in ("pack", "idx"):
                _copy(shadow / f"{name}.{end}", folder / f"{name}.{end}")

    def _settle_other_refs(self) -> None:
        found = self._found
        if found.names.packed_broken:
            with self._locked("packed-refs"):
                data = (self._path / "packed-refs").read_bytes()
                refs, broken = names.parse_packed(data)
                if broken:
                    self._replace("packed-refs", names.packed_text(refs))
        for name in found.unnamed:
            self._remove_ref(name)
        for name, oid in found.restored.items():
            expected = NO_OBJECT if name in found.names.broken else None
            if expected is not None:
                self.quarantine.copy(name, found.names.broken[name])
            self._publish([], name, oid, expected=expected, what="restored", or_else=lambda: None)

    def _remove_ref(self, name: str) -> None:
        """Move a ref and its reflog aside. (Out of packed-refs git itself takes it.)"""
        value = self._found.unnamed[name]
        self.quarantine.move(name)
        self.quarantine.move(f"logs/{name}")
        if name in self._found.names.packed:
            self.quarantine.copy(f"{name}.packed", value.encode() + b"\n")
            self._opened().git("update-ref", "-d", name, ok=(0, 1, 128))

    def _move_head(self, plan: BranchPlan, turn: Turn) -> None:
        commit = self._commit(plan)
        expected = NO_OBJECT if plan.broken else plan.value
        if plan.broken:
            self.quarantine.copy(plan.ref, self._found.names.broken[plan.ref])
        objects = [*plan.objects.values(), commit]
        if not self._found.shadow.repository.has(EMPTY_TREE):
            objects.append(make_object("tree", b""))
        self._publish(objects, plan.ref, commit.oid, expected=expected, what=f"recover from {plan.source}")
        turn.leave_note(commit.oid, commit.oid)
        if plan.branch == CONTEXT:
            self.revision = commit.oid

    def _commit(self, plan: BranchPlan) -> Object:
        now = self._config.clock()
        host = messages.host_identity(hostname(), now)
        trailers = [(messages.OP, OP)]
        if self._session is not None:
            trailers.append((messages.SESSION, self._session))
        trailers += [(messages.ID, self.id), (SOURCE, str(plan.source)), (OLD_HEAD, plan.old or "none")]
        trailers += [(messages.SUPERSEDES, etag) for etag in plan.superseded]
        author = messages.actor_identity(self._actor, now) if self._actor is not None else host
        return make_object(
            "commit",
            messages.encode_commit(
                tree=plan.tree,
                parents=[plan.start, *plan.also],
                author=author,
                committer=host,
                message=messages.build_message(f"recover {plan.branch}", self._told(plan), trailers),
            ),
        )

    def _told(self, plan: BranchPlan) -> str:
        """What the commit says of the damage, and of what couldn't be given back."""
        parts = ["\n".join(f"{each.code}: {each.text}" for each in self._found.findings[:_NAMED])]
        for title, missed in (("Lost", plan.lost), ("Stale", plan.stale), ("Resurrected", plan.resurrected)):
            if missed:
                parts.append(f"{title}:\n" + "\n".join(_line(each) for each in missed[:_NAMED]))
        return "\n\n".join(parts)

    def _publish(
        self,
        objects: Sequence[Object],
        ref: str,
        new: str,
        *,
        expected: str | None,
        what: str,
        or_else: Callable[[], None] | None = None,
    ) -> None:
        """Swap a ref; waits for a lock that somebody holds. Raises RefMoved, LockTimeout, StorageError."""
        now = self._config.clock()
        host = messages.host_identity(hostname(), now)
        deadline = self._config.monotonic() + self._config.retry.deadline_s
        while True:
            try:
                with translated(self._path):
                    self._opened().publish(
                        objects,
                        ref,
                        new,
                        expected=expected,
                        who=f"{host.name} <{host.email}>",
                        message=f"gitctx: {what}",
                        at_s=int(now.timestamp()),
                        durable=self._config.durability == "durable",
                    )
                return
            except RefLocked as outcome:
                self._wait_for(outcome.lock, deadline)
            except RefMoved:
                if or_else is None:
                    raise
                or_else()
                return
            except SwapUnsettled as error:
                raise StorageError(
                    f"the disk failed during the recovery: {error}", hint="mend the cause and recover again"
                ) from error

    def _wait_for(self, lock: Path, deadline: float) -> None:
        if self._opened().refs.clear_stale_lock(lock, alone=True):
            return
        if self._config.monotonic() > deadline:
            raise LockTimeout(
                f"{lock} was held by another program until the deadline",
                hint="nothing is lost; recover again (a lock that a killed git left is cleared after 10 s)",
                details={"lock": str(lock)},
            )
        self._config.sleep(_PAUSE_S)

    # -- reflogs ------------------------------------------------------------------------------------------------------

    def _mend_logs(self) -> None:
        for name in sorted({*self._found.names.logs, *(plan.ref for plan in self._found.plans.values())}):
            data = self._log(name)
            if data is not None and self._mended(data) != data:
                with self._locked(name):
                    data = self._log(name)
                    if data is not None:
                        self.quarantine.copy(f"logs/{name}", data)
                        self._replace(f"logs/{name}", self._mended(data))

    def _log(self, name: str) -> bytes | None:
        try:
            return (self._path / "logs" / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _mended(self, data: bytes) -> bytes:
        """A reflog without bytes that are no line, and without revisions that can't be read."""
        bad = self._found.bad
        lines, whole = names.parse_log(data)
        if whole and not any(line.old in bad or line.new in bad for line in lines):
            return data
        kept: list[names.Line] = []
        for line in lines:
            if line.new in bad:
                continue
            if line.old in bad:
                line = line._replace(old=kept[-1].new if kept else NO_OBJECT)
            kept.append(line)
        return b"".join(line.raw() for line in kept)

    def _locked(self, name: str) -> _Lock:
        return _Lock(self, self._path / f"{name}.lock")

    # -- files --------------------------------------------------------------------------------------------------------

    def _replace(self, name: str, data: bytes) -> None:
        """Put a file in the place of another one, whose bytes are kept."""
        target = self._path / name
        if target.exists():
            self.quarantine.copy(name, target.read_bytes())
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        temporary.write_bytes(data)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_folder(str(target.parent))

    def _move_aside(self) -> None:
        """Broken objects, packs and what git can make anew."""
        for place in self._found.bodies.broken:
            rebuilt = place.endswith(".idx") and place[:-4].rpartition("/")[2] in self._found.bodies.rebuilt
            if not rebuilt and self._found.bodies.is_unchanged(place):
                self.quarantine.move(place)
        if self._found.drops_derived:
            for place in bodies.commit_graphs(self._path):
                self.quarantine.move(place)
        stray = self._path / f"gitctx.{self.id}"
        if stray.exists():
            self.quarantine.move(stray.name)


class _Lock:
    """Git's lock on a file of the store, for the time of a `with` block."""

    def __init__(self, acting: Acting, lock: Path) -> None:
        self._acting = acting
        self._lock = lock

    def __enter__(self) -> None:
        acting = self._acting
        deadline = acting._config.monotonic() + acting._config.retry.deadline_s
        while True:
            try:
                with acting._opened().refs.new_value(NO_OBJECT) as value:
                    self._lock.parent.mkdir(parents=True, exist_ok=True)
                    os.link(value.path, self._lock)
                return
            except FileExistsError:
                acting._wait_for(self._lock, deadline)

    def __exit__(self, *_: object) -> None:
        self._lock.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that it appears complete, and is on disk then."""
    if target.exists():
        return
    temporary = target.with_name(f"tmp_{target.name}")
    shutil.copyfile(source, temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.chmod(temporary, 0o444)
    os.replace(temporary, target)
    sync_folder(str(target.parent))


def _line(missed: Missed) -> str:
    return " ".join(part for part in (missed.revision, missed.key) if part)
