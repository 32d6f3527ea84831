"""What looks like damage and is none: nothing may be recovered, and what the machine refuses is told as that."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.errors import GitctxError, ObjectMissing, StorageError
from gitctx.recovery import Recovery
from gitctx.store import Store
from gitctx_testkit import faults
from gitctx_testkit.audit import head_of
from gitctx_testkit.corruption_base import RELAXED, Base
from gitctx_testkit.damage import CONTEXT, contents, stale_lock
from gitctx_testkit.git import git, make_loose
from gitctx_testkit.processes import Talk, children
from gitctx_testkit.unprivileged import as_nobody, git_trusts, give_to_nobody, open_folder

Copy = Callable[[], Path]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Where `nobody` can go, too."""
    with open_folder() as folder:
        yield folder


def _untouched(store: Path) -> None:
    pass


def _lost_race(store: Path) -> None:
    """A commit that was built on an older head, and that nothing names."""
    older = git(store, "rev-parse", "context~2")
    git(store, "commit-tree", "-p", older, "-m", "lost the race", f"{older}^{{tree}}")
    newer = git(store, "rev-parse", "context")
    git(store, "commit-tree", "-p", newer, "-m", "never published", f"{newer}^{{tree}}")


def _diverged_remote(store: Path) -> None:
    older = git(store, "rev-parse", "context~2")
    theirs = git(store, "commit-tree", "-p", older, "-m", "theirs", f"{older}^{{tree}}")
    git(store, "update-ref", "refs/remotes/origin/context", theirs)


def _remote_ahead(store: Path) -> None:
    head = git(store, "rev-parse", "context")
    theirs = git(store, "commit-tree", "-p", head, "-m", "theirs", f"{head}~3^{{tree}}")
    git(store, "update-ref", "refs/remotes/origin/context", theirs)


def _old_rotated_ref(store: Path) -> None:
    tree = git(store, "rev-parse", "context~4^{tree}")
    git(store, "update-ref", "refs/gitctx/rotated/0/context", git(store, "commit-tree", "-m", "before", tree))


def _killed_between_line_and_ref(store: Path) -> None:
    """The reflog names a write that never happened."""
    head = git(store, "rev-parse", "context")
    never = git(store, "commit-tree", "-p", head, "-m", "never", f"{head}~2^{{tree}}")
    with (store / "logs" / CONTEXT).open("a") as log:
        log.write(f"{head} {never} gitctx <gitctx@host> 1 +0000\tgitctx: put x\n")


def _without_working_folder(store: Path) -> None:
    shutil.rmtree(store / "gitctx")


def _fresh_lock(store: Path) -> None:
    (store / f"{CONTEXT}.lock").touch()
    (store / "gc.pid").write_text(f"{os.getpid()} {os.uname().nodename}")
    stale_lock("objects/maintenance.lock", age_s=60)(store)


def _pack_in_flight(store: Path) -> None:
    """A writer has put a pack down and is about to name its index."""
    base = store / "objects" / "pack" / f"pack-{'cd' * 20}"
    base.with_suffix(".keep").write_bytes(b"PACK")
    base.with_suffix(".pack").write_bytes(b"PACK")
    (store / "objects" / "pack" / "tmp_idx_1234").write_bytes(b"")
    (store / "objects" / "pack" / "tmp_pack_1234").write_bytes(b"PA")


def _all_loose(store: Path) -> None:
    make_loose(store)


def _packed_by_git(store: Path) -> None:
    git(store, "repack", "-adq", "--write-midx")
    git(store, "pack-refs", "--all", "--prune")
    git(store, "commit-graph", "write", "--reachable", "--changed-paths")


def _another_setting(store: Path) -> None:
    git(store, "config", "gc.auto", "100")


INNOCENT = [
    *(_untouched, _lost_race, _diverged_remote, _remote_ahead, _old_rotated_ref, _killed_between_line_and_ref),
    *(_without_working_folder, _fresh_lock, _pack_in_flight, _all_loose, _packed_by_git, _another_setting),
]


@pytest.mark.parametrize("make", INNOCENT, ids=lambda make: make.__name__.strip("_"))
def test_a_store_that_only_looks_odd_is_left_alone(base: Base, copy: Copy, make: Callable[[Path], None]) -> None:
    store = copy()
    make(store)
    before = contents(store)
    scan = Recovery(store, RELAXED).scan()
    assert scan.damage == ()
    assert scan.healthy
    assert (base.name_of(scan.best), scan.source) == ("d1", "ref")
    assert (scan.lost, scan.stale, scan.resurrected) == ((), (), ())
    assert not Recovery(store, RELAXED).apply().changed
    assert contents(store) == before


@pytest.mark.parametrize(
    "make", [_lost_race, _diverged_remote, _old_rotated_ref], ids=lambda make: make.__name__.strip("_")
)
def test_what_is_no_part_of_the_branch_does_not_win_when_the_ref_is_damaged(
    base: Base, copy: Copy, make: Callable[[Path], None]
) -> None:
    store = copy()
    make(store)
    (store / CONTEXT).write_bytes(b"")
    shutil.rmtree(store / "gitctx")
    scan = Recovery(store, RELAXED).scan()
    assert (base.name_of(scan.best), scan.source) == ("d1", "reflog")
    Recovery(store, RELAXED).apply()
    assert git(store, "rev-parse", "context~1") == base.revisions["d1"]


def test_a_remote_head_that_goes_on_from_ours_stands_in_for_a_head_that_is_gone(base: Base, copy: Copy) -> None:
    """It was pushed before the disk failed: ancestry counts more than the source."""
    store = copy()
    git(store, "update-ref", "refs/remotes/origin/context", base.revisions["d1"])
    (store / CONTEXT).write_text(base.revisions["c-gone"] + "\n")
    shutil.rmtree(store / "gitctx")
    log = store / "logs" / CONTEXT
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))
    (store / CONTEXT).write_bytes(b"")
    scan = Recovery(store, RELAXED).scan()
    assert (base.name_of(scan.best), scan.source) == ("d1", "remote")


# -- the machine ------------------------------------------------------------------------------------------------------


def _refused_or_true(act: Callable[[], object]) -> GitctxError | None:
    """The error that an act raised, which has to be one about the machine."""
    try:
        act()
        return None
    except GitctxError as error:
        found = error
    assert isinstance(found, StorageError), repr(found)
    assert not isinstance(found, ObjectMissing)
    assert found.hint
    return found


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_whichever_call_the_machine_refuses_nothing_is_taken_for_damage(base: Base, copy: Copy, number: int) -> None:
    store = copy()
    before = contents(store)
    with faults.disk() as watched:
        Recovery(store, RELAXED).scan()
    refused = 0
    for at in range(0, len(watched.calls), 5):
        found: list[bool] = []
        with faults.disk(at, number):
            error = _refused_or_true(lambda found=found: found.append(Recovery(store, RELAXED).scan().healthy))  # type: ignore[misc]
        assert error is not None or found == [True], watched.calls[at]
        refused += error is not None
    assert refused > 10
    assert contents(store) == before


@pytest.mark.parametrize("spare", [0, 4, 12])
def test_no_file_handles_left_is_told_as_that(copy: Copy, spare: int) -> None:
    store = copy()

    def run(_: Talk) -> GitctxError | None:
        Recovery(store, RELAXED).scan()
        with open("/dev/null") as probe:
            highest = probe.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return _refused_or_true(Recovery(store, RELAXED).apply)

    before = contents(store)
    with children(run) as (child,):
        assert isinstance(child.result(), StorageError)
    assert contents(store) == before


def test_no_memory_is_told_as_that(copy: Copy) -> None:
    store = copy()
    git(store, "repack", "-adq")
    ctx = Context(Store.open(store, RELAXED), actor="planner")
    ctx.store.context.view()
    before = contents(store)

    def run(room: int) -> Callable[[Talk], bool]:
        def act(_: Talk) -> bool:
            Recovery(store, RELAXED).scan()
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.getrlimit(resource.RLIMIT_AS)[1]))
            healthy: list[bool] = []
            error = _refused_or_true(lambda: healthy.append(Recovery(store, RELAXED).scan().healthy))
            return error is not None or healthy == [True]

        return act

    for room in (256 << 10, 2 << 20, 16 << 20):
        with children(run(room)) as (child,):
            assert child.result()
    assert contents(store) == before


def _scanned(store: Path) -> Path:
    """The store, after all modules were loaded that another user may not be able to read."""
    (store / CONTEXT).write_bytes(b"")
    Recovery(store, RELAXED).apply()
    return store


@pytest.mark.unprivileged
@pytest.mark.parametrize(
    "name", [CONTEXT, f"logs/{CONTEXT}", "objects/pack", "refs", "objects", "HEAD", "config", "refs/tags"]
)
def test_no_permission_is_told_as_that(copy: Copy, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _scanned(copy())
    give_to_nobody(store)
    git_trusts(monkeypatch, tmp_path / "home", store)
    assert as_nobody(lambda: Recovery(store, RELAXED).scan().healthy)
    (store / name).chmod(0)

    def look() -> GitctxError | None:
        return _refused_or_true(Recovery(store, RELAXED).apply)

    error = as_nobody(look)
    (store / name).chmod(0o755)
    assert isinstance(error, StorageError)
    assert len(list((store / "gitctx" / "quarantine").iterdir())) == 1


@pytest.mark.unprivileged
def test_a_damaged_store_that_may_only_be_read_is_scanned_and_not_touched(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _scanned(copy())
    git_trusts(monkeypatch, tmp_path / "home", store)
    head = head_of(store)
    (store / CONTEXT).write_bytes(b"")
    give_to_nobody(store)
    for folder, folders, files in os.walk(store):
        for each in (*folders, *files):
            os.chmod(Path(folder, each), 0o555)
    store.chmod(0o555)
    before = contents(store)

    def act() -> tuple[str | None, GitctxError | None]:
        return Recovery(store, RELAXED).scan().best, _refused_or_true(Recovery(store, RELAXED).apply)

    best, error = as_nobody(act)
    for folder, folders, files in os.walk(store):
        for each in (*folders, *files):
            os.chmod(Path(folder, each), 0o755)
    assert best == head
    assert isinstance(error, StorageError)
    assert error.code == "store_read_only"
    assert contents(store) == before


def test_a_slow_disk_is_waited_for(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open takes long; nothing is judged by how long it takes."""
    store = copy()
    really = os.open
    slow = [0]

    def open_slowly(*arguments: object, **more: object) -> int:
        if slow[0] < 200:
            slow[0] += 1
            until = time.monotonic() + 0.002
            while time.monotonic() < until:
                pass
        return really(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", open_slowly)
    head = head_of(store)
    assert Recovery(store, RELAXED).scan().healthy
    assert head_of(store) == head
    assert slow[0] > 20
