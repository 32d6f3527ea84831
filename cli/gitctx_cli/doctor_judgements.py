"""What `gitctx doctor` makes of what it saw: pure functions from facts to findings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Literal, NamedTuple

from gitctx.store.identity import REQUIRED_CONFIG
from gitctx_cli.doctor_facts import Condition, Environment, People, Sharing

Level = Literal["ok", "note", "warning", "problem"]
FIX = "gitctx doctor --fix"
OLDEST_GIT = (2, 36)
"""The first that knows `core.fsync`."""
OLDEST_PYGIT2 = (1, 21)
_2020 = 1577836800.0
_SKEW_S = 60.0
_LEAST_BYTES, _FEW_BYTES = 16 << 20, 256 << 20
_FEW_INODES = 1000
_MANY_PACKS = 800
"""Some file handles short of the usual limit of 1,024."""
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "afs", "glusterfs", "fuse.glusterfs"})
_NO_JOURNAL = frozenset({"ext2", "vfat", "exfat", "msdos", "tmpfs", "ramfs"})


class Check(NamedTuple):
    """One finding: a stable code, how bad it is, a sentence, and a command that does something about it."""

    area: str
    code: str
    level: Level
    text: str
    command: str | None = None
    fixable: bool = False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version))


def judge_environment(seen: Environment) -> Iterator[Check]:
    """Programs, ownership, file system, clock, disk."""
    for judge in (_programs, _ownership, _file_system, _clock, _disk):
        for code, level, text, command in judge(seen):
            yield Check("environment", code, level, text, command)


_Row = tuple[str, Level, str, str | None]


def _programs(seen: Environment) -> Iterator[_Row]:
    if seen.git is None:
        yield "git", "problem", "git can't be run: install git 2.36 or later", None
    elif _numbers(seen.git) < OLDEST_GIT:
        text = f"git {seen.git} can't sync a push (core.fsync): install 2.36 or later"
        yield "git", "warning", text, None
    elif _numbers(seen.git)[:3] == (2, 51, 0):
        yield "git", "warning", "git 2.51.0 crashes when an index is shared: install a newer git", None
    else:
        yield "git", "ok", f"git {seen.git}", None
    if _numbers(seen.pygit2) < OLDEST_PYGIT2:
        yield "pygit2", "problem", f"pygit2 {seen.pygit2} is older than 1.21", "pip install --upgrade pygit2"
    else:
        yield "pygit2", "ok", f"pygit2 {seen.pygit2}, libgit2 {seen.libgit2}", None
    if _numbers(seen.python) < (3, 11):
        yield "python", "problem", f"Python {seen.python} is older than 3.11: install a newer one", None
    else:
        yield "python", "ok", f"Python {seen.python}", None


def _ownership(seen: Environment) -> Iterator[_Row]:
    if seen.owner is not None and seen.owner != seen.user:
        text = f"the store belongs to user {seen.owner}, and you are {seen.user}: git may refuse it"
        yield "owner", "warning", text, "git config --global --add safe.directory STORE"
    elif not seen.writable:
        yield "owner", "problem", "the store can't be written to", "chmod -R u+w STORE"
    else:
        yield "owner", "ok", "the store is yours", None


def _file_system(seen: Environment) -> Iterator[_Row]:
    kind = seen.file_system or "of an unknown kind"
    if kind in _NETWORK:
        yield "network_file_system", "note", f"the file system is {kind}: locks hold on one machine at most", None
    elif kind in _NO_JOURNAL:
        yield "no_journal", "note", f"the file system is {kind}, without a journal: a power cut may damage it", None
    else:
        yield "file_system", "ok", f"the file system is {kind}", None
    if seen.hard_links is False:
        yield "no_hard_links", "note", "the file system has no hard links: stale locks are known by age only", None
    if seen.kernel_locks is False:
        yield "no_kernel_locks", "note", "the file system has no kernel locks: writers can't queue", None


def _clock(seen: Environment) -> Iterator[_Row]:
    if seen.now < _2020:
        yield "clock", "problem", "the clock is before 2020", "timedatectl set-ntp true"
    elif seen.head_time is not None and seen.head_time > seen.now + _SKEW_S:
        ahead = int(seen.head_time - seen.now)
        text = f"the newest write is {ahead} s in the future: this clock, or its writer's, is wrong"
        yield "clock", "warning", text, "timedatectl status"
    elif seen.file_time is not None and abs(seen.file_time - seen.now) > _SKEW_S:
        yield "clock", "warning", "the file system's clock is another than this machine's", "timedatectl status"
    else:
        yield "clock", "ok", "the clock agrees with the store", None


def _disk(seen: Environment) -> Iterator[_Row]:
    free, inodes = seen.free_bytes, seen.free_inodes
    if free is not None and free < _LEAST_BYTES:
        yield "disk", "problem", f"{free >> 20} MiB are free: writes are about to fail", "df -h STORE"
    elif free is not None and free < _FEW_BYTES:
        yield "disk", "warning", f"only {free >> 20} MiB are free", "df -h STORE"
    elif inodes is not None and inodes < _FEW_INODES:
        yield "disk", "warning", f"only {inodes} more files can be made on the disk", "df -i STORE"
    else:
        yield "disk", "ok", "there is room on the disk", None


def judge_store(seen: Condition) -> Iterator[Check]:
    """Soundness, locks, settings, leftovers."""
    yield from _soundness(seen)
    yield from _settings(seen)
    yield from _clutter(seen)


def _found(code: str, level: Level, text: str, command: str | None = None, *, fixable: bool = False) -> Check:
    return Check("store", code, level, text, command, fixable)


def _soundness(seen: Condition) -> Iterator[Check]:
    for each in seen.scan.damage if seen.scan is not None else ():
        if each.code == "stale_lock":
            yield _found("stale_lock", "warning", each.text, FIX, fixable=True)
        else:
            yield _found(f"damage_{each.code}", "problem", each.text, "gitctx recovery apply", fixable=True)
    error = seen.scan_error
    if error is None and seen.scan is not None and seen.scan.healthy:
        error = seen.error
    if error is not None:
        yield _found(error[0], "problem", "; ".join(filter(None, error[1:])))
    elif seen.scan is not None and seen.scan.healthy:
        yield _found("sound", "ok", "the store is sound")


def _clutter(seen: Condition) -> Iterator[Check]:
    for place, name in seen.work_trees:
        text = f"{place} has the branch {name} checked out: a commit there from old files takes back what others wrote"
        yield _found("work_tree", "warning", text, f"git -C {shlex.quote(place)} switch --detach")
    if seen.leftovers:
        text = f"{len(seen.leftovers)} temporary files of killed programs lie about"
        yield _found("leftovers", "warning", text, FIX, fixable=True)
    if seen.keeps:
        text = f"{len(seen.keeps)} .keep files of killed writers keep packs from being merged"
        yield _found("keep", "warning", text, FIX, fixable=True)
    if seen.foreign_keeps:
        text = f"{len(seen.foreign_keeps)} packs are held by .keep files that gitctx didn't make: they stay"
        yield _found("foreign_keep", "note", text)
    if seen.packs >= _MANY_PACKS or seen.mergeable_packs or seen.overdue:
        text = f"{seen.packs} packs lie beside one another: they slow reads down"
        if seen.overdue and seen.packs < _MANY_PACKS and not seen.mergeable_packs:
            text = f"maintenance is due: {', '.join(seen.overdue)}"
        yield _found("packs", "problem" if seen.packs >= _MANY_PACKS else "warning", text, FIX, fixable=True)
    if seen.rescue_refs:
        text = f"{seen.rescue_refs} heads from before recoveries are kept in refs/gitctx/rescue"
        yield _found("rescue", "note", text)
    if seen.quarantines:
        text = f"broken files of {seen.quarantines} recoveries are kept in gitctx/quarantine"
        yield _found("quarantine", "note", text)


def _settings(seen: Condition) -> Iterator[Check]:
    if seen.config is None:
        return
    wrong = {name: value for name, value in REQUIRED_CONFIG.items() if seen.config.get(name, "").lower() != value}
    for name, value in wrong.items():
        text = f"{name} is {seen.config.get(name) or 'unset'} and should be {value}"
        yield Check("store", "config", "problem", text, f"git --git-dir=STORE config {name} {value}", True)
    if not wrong:
        yield Check("store", "config", "ok", "git's settings are as `init` made them")


def judge_people(seen: People) -> Iterator[Check]:
    """Dead sessions, records, leases, claims."""

    def found(code: str, level: Level, text: str, command: str | None = None, *, fixable: bool = False) -> Check:
        return Check("sessions", code, level, text, command, fixable)

    if seen.error is not None:
        yield found(seen.error[0], "problem", "; ".join(filter(None, seen.error[1:])))
        return
    for id in seen.dead:
        text = f"the session {id} is dead and not recovered"
        yield found("dead_session", "warning", text, f"gitctx session recover {id}", fixable=True)
    for id in seen.unreadable:
        yield found("session_record", "problem", f"the record of the session {id} can't be read", "gitctx verify")
    for id in seen.bad_leases:
        text = f"the lease of the session {id} can't be read"
        yield found("lease", "warning", text, f"gitctx session show {id}")
    for name in seen.held_by_dead:
        text = f"the claim {name} is held by a dead session"
        yield found("dead_claim", "warning", text, f"gitctx release {name} --force", fixable=True)
    if seen == People():
        yield found("sessions", "ok", "no session is dead or damaged")


def judge_sharing(seen: Sharing) -> Iterator[Check]:
    """Remotes, open conflicts, the switch."""
    if seen.error is not None:
        yield Check("sharing", seen.error[0], "problem", "; ".join(filter(None, seen.error[1:])))
    for name in seen.never_exchanged:
        text = f"the remote {name} was added and never exchanged with"
        yield Check("sharing", "remote_unused", "note", text, f"gitctx sync {name}")
    for id, key in seen.conflicts:
        text = f"a conflict about {key} waits for a decision"
        yield Check("sharing", "open_conflict", "warning", text, f"gitctx conflict resolve {id}")
    if seen.paused is not None:
        text = f"watchers of this store are silenced since {seen.paused}"
        yield Check("sharing", "paused", "warning", text, "gitctx sync resume")
