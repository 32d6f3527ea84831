"""What `gitctx doctor` looks at. Nothing is judged here, and nothing in the store is changed; where something can't be
looked at, its fact is None.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gitctx.errors import GitctxError
from gitctx.store.identity import CONTEXT, SESSIONS

if TYPE_CHECKING:
    from gitctx.sessions import Sessions
    from gitctx.store import Store
    from gitctx.sync.sync import Sync
    from gitctx.values import RecoveryScan

BRANCHES = (CONTEXT, SESSIONS)


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine as the store meets it. Times are seconds since 1970; `owner` and `user` are numbers."""

    git: str | None
    pygit2: str
    libgit2: str
    python: str
    owner: int | None
    user: int
    writable: bool
    file_system: str | None
    hard_links: bool | None
    kernel_locks: bool | None
    now: float
    file_time: float | None
    head_time: float | None
    free_bytes: int | None
    free_inodes: int | None


@dataclass(frozen=True, slots=True)
class Condition:
    """The store as it lies. `error` is why it can't be opened, `scan_error` why it can't be scanned (code, text, hint);
    `work_trees` are folders that have one of its branches checked out, with the branch; `overdue` says why
    maintenance is due.
    """

    error: tuple[str, str, str] | None
    scan: RecoveryScan | None
    scan_error: tuple[str, str, str] | None
    config: dict[str, str] | None
    leftovers: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    foreign_keeps: tuple[str, ...] = ()
    work_trees: tuple[tuple[str, str], ...] = ()
    mergeable_packs: int = 0
    overdue: tuple[str, ...] = ()
    packs: int = 0
    rescue_refs: int = 0
    quarantines: int = 0


@dataclass(frozen=True, slots=True)
class People:
    """Sessions and claims: ids of the dead, of records and of leases that can't be read; claims that the dead hold."""

    error: tuple[str, str, str] | None = None
    dead: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    bad_leases: tuple[str, ...] = ()
    held_by_dead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sharing:
    """Other machines and watchers: remotes without any exchange, open conflicts (id and key), whether and since when
    watchers are silenced.
    """

    error: tuple[str, str, str] | None = None
    never_exchanged: tuple[str, ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()
    paused: str | None = None


def told(error: GitctxError) -> tuple[str, str, str]:
    """An error as code, message and hint."""
    return error.code, error.message, error.hint or ""


def environment(path: Path, store: Store | None) -> Environment:
    """Look at the machine around the store at `path`."""
    from gitctx.repository.versions import library_versions

    pygit2, libgit2 = library_versions()
    hard_links, kernel_locks, file_time = _probe(path)
    free_bytes, free_inodes = _free(path)
    return Environment(
        git=_git_version(),
        pygit2=pygit2,
        libgit2=libgit2,
        python=platform.python_version(),
        owner=path.stat().st_uid if path.exists() else None,
        user=os.geteuid(),
        writable=os.access(path, os.W_OK),
        file_system=_file_system(path),
        hard_links=hard_links,
        kernel_locks=kernel_locks,
        now=time.time(),
        file_time=file_time,
        head_time=_head_time(store),
        free_bytes=free_bytes,
        free_inodes=free_inodes,
    )


def condition(path: Path, store: Store | None, error: GitctxError | None) -> Condition:
    """Look at the files of a store, which may be damaged."""
    from gitctx.recovery import Recovery
    from gitctx.repository.compaction import FAN_IN, Compactor
    from gitctx.repository.leftovers import LEFTOVER_AGE_S, leftovers
    from gitctx.repository.packs import keeps

    scan, scan_error = None, None
    try:
        scan = Recovery(path).scan()
    except GitctxError as failed:
        scan_error = told(failed)
    left, foreign = keeps(str(path / "objects"), time.time() - LEFTOVER_AGE_S)
    small = len(Compactor(str(path)).candidates()) if (path / "objects/pack").is_dir() else 0
    return Condition(
        error=told(error) if error is not None else None,
        scan=scan,
        scan_error=scan_error,
        config=_config(store),
        leftovers=tuple(str(each.relative_to(path)) for each in leftovers(path)),
        keeps=tuple(left),
        foreign_keeps=tuple(foreign),
        work_trees=tuple(_work_trees(path)),
        mergeable_packs=small if small >= 2 * FAN_IN else 0,
        overdue=_overdue(store),
        packs=len(list((path / "objects/pack").glob("*.pack"))),
        rescue_refs=len(_refs_below(path, "refs/gitctx/rescue/")),
        quarantines=sum(1 for each in (path / "gitctx/quarantine").glob("*") if each.is_dir()),
    )


def _overdue(store: Store | None) -> tuple[str, ...]:
    """Why maintenance of packs is due. Locks and leftovers are findings of their own."""
    from gitctx.maintenance.maintenance import Maintenance

    try:
        steps = Maintenance(store).run(dry_run=True).steps if store is not None else ()
    except GitctxError:
        return ()
    return tuple(f"{each.name} ({each.why})" for each in steps if each.name not in ("locks", "leftovers"))


def people(sessions: Sessions, claims: list[tuple[str, str]]) -> People:
    """Look at sessions; `claims` are names with the states of their holders."""
    from gitctx.format.records import decode_session
    from gitctx.sessions.leases import Leases

    try:
        view = sessions.store.sessions.view()
        unreadable = []
        for key, etag in view.etags():
            try:
                decode_session(view.blob(etag))
            except GitctxError:
                unreadable.append(key.removesuffix(".json"))
        dead = tuple(each.record.id for each in sessions.list(include_ended=False) if each.state == "dead")
        leases = Leases(sessions.store.path)
        bad = tuple(id for id in leases.ids() if leases.read(id) is None)
    except GitctxError as error:
        return People(told(error))
    return People(None, dead, tuple(unreadable), bad, tuple(name for name, state in claims if state == "dead"))


def sharing(sync: Sync) -> Sharing:
    """Look at what is shared with other machines, without asking them."""
    from gitctx.format.documents import format_time
    from gitctx.sync.switch import paused

    try:
        never = tuple(each.name for each in sync.remotes() if sync.unsent(each.name) is None)
        conflicts = tuple((each.id, each.key) for each in sync.conflicts.list())
        pause = paused(sync.store.path)
    except GitctxError as error:
        return Sharing(told(error))
    since = None
    if pause is not None:
        since = f"{format_time(pause.paused_at) if pause.paused_at is not None else 'an unknown time'} by {pause.actor}"
    return Sharing(None, never, conflicts, since)


def _git_version() -> str | None:
    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\d+(\.\d+)+", said)
    return match[0] if match else None


def _probe(path: Path) -> tuple[bool | None, bool | None, float | None]:
    """Hard links, kernel locks and the clock of a file system, tried with a file that is removed at once."""
    import fcntl

    try:
        folder = path / "gitctx" if (path / "gitctx").is_dir() else path
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locks = True
            except OSError:
                locks = False
            try:
                os.link(file.name, f"{file.name}.link")
                os.unlink(f"{file.name}.link")
                links = True
            except OSError:
                links = False
            return links, locks, os.fstat(file.fileno()).st_mtime
    except OSError:
        return None, None, None


def _free(path: Path) -> tuple[int | None, int | None]:
    try:
        found = os.statvfs(path)
    except OSError:
        return None, None
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None


def _file_system(path: Path) -> str | None:
    """The kind of the file system, as Linux names it."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
        place = str(path.resolve())
    except OSError:
        return None
    mounts = [(words[4], words[words.index("-") + 1]) for words in (line.split() for line in lines) if "-" in words]
    above = [each for each in mounts if place == each[0] or place.startswith(each[0].rstrip("/") + "/")]
    return max(above, key=lambda each: len(each[0]))[1] if above else None


def _head_time(store: Store | None) -> float | None:
    """When the newest write of any branch was made, as its writer's clock had it."""
    if store is None:
        return None
    try:
        refs = [f"refs/heads/{name}" for name in BRANCHES]
        _, output, _ = store.repository.git("log", "--no-walk", "--format=%ct", *refs)
        return max(map(float, output.split()))
    except (GitctxError, ValueError):
        return None


def _work_trees(path: Path) -> Iterator[tuple[str, str]]:
    for head in sorted((path / "worktrees").glob("*/HEAD")):
        try:
            said = head.read_text("utf-8", "replace").strip()
            place = (head.parent / "gitdir").read_text("utf-8", "replace").strip().removesuffix("/.git")
        except OSError:
            continue
        for name in BRANCHES:
            if said == f"ref: refs/heads/{name}" and os.path.isdir(place):
                yield place, name


def _refs_below(path: Path, prefix: str) -> set[str]:
    """Names of refs, loose and packed; read from the files, because the store may not be one that git opens."""
    found = {each.relative_to(path).as_posix() for each in (path / prefix).rglob("*") if each.is_file()}
    try:
        lines = (path / "packed-refs").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    packed = (line.partition(" ")[2] for line in lines)
    return {name for name in (*found, *packed) if name.startswith(prefix) and not name.endswith(".lock")}


def _config(store: Store | None) -> dict[str, str] | None:
    try:
        return store.repository.config() if store is not None else None
    except GitctxError:
        return None
