"""The face of maintenance: run it, or say what it would do. One program at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from gitctx.errors import GitctxError, GitFailed
from gitctx.format.settings import DEFAULT_GRACE_S
from gitctx.maintenance import planning
from gitctx.maintenance.growth import LOCK
from gitctx.maintenance.look import long_kept
from gitctx.maintenance.steps import Steps
from gitctx.repository import RefLocked, RefMoved, descriptors
from gitctx.repository.disk import make_folders
from gitctx.repository.repacking import Repacking
from gitctx.repository.translate import translated
from gitctx.store import Store
from gitctx.values import Maintained, MaintenanceStep

_TRIES = 3
_NAP_S = 0.005
OnProgress = Callable[[str, float], None]
"""Told the name of the step under way, and which part of all steps is done (0 to 1)."""
_IN_THE_WAY = (
    "File exists",
    ".lock",
    "could not find pack",
    "cannot be accessed",
    "could not load pack",
    "unable to add cruft objects",
    "No such file or directory",
)
"""What git says when another git, or a merge of packs, was faster. Damage is for `verify` to tell."""


class Maintenance:
    """Maintenance of a store, beside whoever reads and writes it. Nothing that can be reached is ever removed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(
        self,
        *,
        full: bool = False,
        dry_run: bool = False,
        gentle: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Maintained:
        """Do the steps that are due; with `full` all that have anything to do, also when they could wait.

        With `dry_run` it is only said what would be done. `gentle` is how it goes on by itself: a slice of each step,
        at a low priority. A step that finds another program in its way is put off. Does nothing while another program
        maintains the store. Raises StorageError, DiskFull and GitFailed for the first step that failed, when the others
        are done: nothing is lost then, and the next run goes on. May be killed at any moment.
        """
        path = self._store.path
        now_s = self._store.config.clock().timestamp()
        progress = _Progress(on_progress)
        steps = self._steps(gentle, progress)
        with translated(path), nullcontext(True) if dry_run else alone(path) as free:
            before = size_of(path)
            due = list(planning.due(steps.look(), full=full, own=gentle)) if free else []
            if dry_run:
                done = [MaintenanceStep(name, why, "due") for name, why in due]
            else:
                done = self._run(steps, due, progress)
            return Maintained(free, tuple(done), before, size_of(path), tuple(long_kept(path, now_s)))

    def _steps(self, gentle: bool, progress: _Progress) -> Steps:
        repacking = Repacking(
            self._store.repository,
            timeout_s=self._store.config.git_timeout_s,
            gentle=gentle,
            on_percent=progress.percent if progress.wanted else None,
        )
        return Steps(self._store, repacking, grace_s=_grace_s(self._store), gentle=gentle)

    def _run(self, steps: Steps, due: Sequence[tuple[str, str]], progress: _Progress) -> list[MaintenanceStep]:
        done: list[MaintenanceStep] = []
        failed: GitctxError | None = None
        for number, (name, why) in enumerate(due):
            progress.begin(name, number, len(due))
            try:
                done.append(self._done(steps, name, why))
            except GitctxError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return done

    def _done(self, steps: Steps, name: str, why: str) -> MaintenanceStep:
        try:
            with translated(self._store.path):
                return MaintenanceStep(name, why, "done", steps.run(name))
        except (RefLocked, RefMoved) as error:
            return MaintenanceStep(name, why, "put_off", str(error))
        except GitFailed as error:
            if any(text in str(error.details.get("stderr", "")) for text in _IN_THE_WAY):
                return MaintenanceStep(name, why, "put_off", error.message)
            raise


def is_slice_due(store: Store) -> bool:
    """Whether maintenance that goes on by itself would have anything to do. Raises StorageError, GitFailed."""
    with translated(store.path):
        seen = Steps(
            store,
            Repacking(store.repository, timeout_s=store.config.git_timeout_s, gentle=True, on_percent=None),
            grace_s=_grace_s(store),
            gentle=True,
        ).look()
    return any(True for _ in planning.due(seen, full=False, own=True))


class _Progress:
    """Tells how far a run is: each step counts alike, and git says how far it is with one."""

    def __init__(self, told: OnProgress | None) -> None:
        self._told = told
        self.wanted = told is not None
        self._name, self._number, self._steps, self._percent = "", 0, 1, 0

    def begin(self, name: str, number: int, steps: int) -> None:
        """A step begins."""
        self._name, self._number, self._steps, self._percent = name, number, steps, 0
        self.percent(0)

    def percent(self, percent: int) -> None:
        """So far it is. git counts anew for each part of its work: then it stays where it is for a while."""
        self._percent = max(self._percent, percent)
        if self._told is not None:
            self._told(self._name, (self._number + self._percent / 100) / self._steps)


def _grace_s(store: Store) -> float:
    try:
        return store.context.view().settings().maintenance_grace_s
    except GitctxError:
        return DEFAULT_GRACE_S


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether nobody else keeps the store small at this moment: by a kernel lock, so that a death frees it. Raises
    OSError.
    """
    place = path / LOCK
    make_folders(str(place.parent), durable=False)
    descriptor = descriptors.hold(os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
    try:
        yield any(_locked(descriptor) for _ in range(_TRIES))
    finally:
        descriptors.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Whether the lock was to be had; somebody may only be asking whether it is held."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        time.sleep(_NAP_S)
        return False
    return True


def size_of(path: Path) -> int:
    """The bytes of all files below a folder."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += os.lstat(f"{folder}/{name}").st_size
            except OSError:
                continue
    return size
