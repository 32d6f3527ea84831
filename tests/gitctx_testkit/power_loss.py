"""A simulated power loss: a program is recorded, and what its store may be after a crash at any point is examined."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from gitctx.context import Context
from gitctx.errors import GitctxError
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.audit import ids_in_history
from gitctx_testkit.git import clean_environment, git
from gitctx_testkit.maintained import maintenance_ended
from gitctx_testkit.power_loss_disk import LOSSES, Disk, Loss, Remains
from gitctx_testkit.power_loss_recording import Names, Recorder, Recording, Said, Sync
from gitctx_testkit.power_loss_strace import calls_in, run_recorded
from gitctx_testkit.processes import Talk, children

PATIENCE_S = 30.0
"""How long the examination of one state may take; it takes a thirtieth of a second."""


def record(folder: Path, *parts: str) -> Recording:
    """What these parts of the scenario do to a store."""
    root, said = folder / "root", folder / "said"
    root.mkdir()
    path = os.pathsep.join(path for path in sys.path if path)
    environment = {name: value for name, value in clean_environment(PYTHONPATH=path).items() if "COV" not in name}
    command = [sys.executable, "-B", "-m", "gitctx_testkit.power_loss_scenario", str(root), str(said), *parts]
    run_recorded(command, folder / "strace", environment=environment, timeout_s=120)
    return Recorder(root, said, Path.cwd()).recording(calls_in(folder / "strace"))


@dataclass(frozen=True, slots=True)
class Promised:
    """What has been acknowledged at some point of a recording.

    `exposed`: somebody wrote without syncing, and no durable write has come after it yet. Then the head may be damaged;
    what was acknowledged as durable must still be there under its revision.
    """

    created: bool = False
    ids: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    exposed: bool = False


def promises(recording: Recording) -> list[Promised]:
    """What is promised after so many operations."""
    created, exposed, since = False, False, 0
    ids: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    found = [Promised()]
    for number, operation in enumerate(recording.operations):
        if isinstance(operation, Said):
            said = json.loads(operation.text)
            if said["what"] == "created":
                created = True
            elif said["what"] == "exposed":
                exposed, since = True, len(recording.operations)
            elif said["what"] == "exposed no more":
                since = number
            elif said["what"] == "checkpoint":
                checkpoints = (*checkpoints, said["name"])
            else:
                ids, revisions, exposed = (*ids, said["id"]), (*revisions, said["revision"]), False
        elif isinstance(operation, Sync) and operation.node is None and operation.covers > since:
            exposed = False
        found.append(Promised(created, ids, revisions, checkpoints, exposed))
    return found


@dataclass(frozen=True, slots=True)
class Crash:
    """The power goes after `point` operations and takes `loss`; `last` is what was done last."""

    point: int
    loss: Loss
    last: str
    remains: Remains
    promised: Promised


def crashes(recording: Recording, points: Iterable[int], random: Random) -> Iterator[Crash]:
    """The different states that crashes at these points leave, each kind of loss once per point."""
    disk, promised = Disk(recording), promises(recording)
    seen: set[tuple[bytes, Promised]] = set()
    for point in sorted(points):
        disk.go_to(point)
        last = recording.operations[point - 1]
        for loss in LOSSES:
            remains = disk.after(loss, random)
            key = (remains.digest(), promised[point])
            if key not in seen:
                seen.add(key)
                yield Crash(point, loss, f"{last.what} {last.path}", remains, promised[point])


def decisive_points(recording: Recording) -> list[int]:
    """Points right before and after a name was given or taken, a sync ended or something was acknowledged."""
    decisive = (number for number, item in enumerate(recording.operations) if isinstance(item, Names | Sync | Said))
    return sorted({point for number in decisive for point in (number, number + 1) if point})


def acknowledged_points(recording: Recording) -> list[int]:
    """Points right after something was acknowledged."""
    return [number + 1 for number, item in enumerate(recording.operations) if isinstance(item, Said)]


def faults(crash: Crash, place: Path, *, write_on_luck: bool = False) -> list[str]:
    """What is wrong with the store after a crash; it is laid down at `place`, where nothing is.

    With `write_on_luck` a store that was exposed has to take writes too, if its head happens to be undamaged.
    """
    crash.remains.lay_down(place)
    store, promised = place / "store.git", crash.promised
    try:
        if not store.exists():
            return ["the store is gone"] if promised.ids else []
        if promised.exposed:
            for revision in promised.revisions:
                git(store, "rev-list", "--objects", revision)
            if not write_on_luck or not _head_is_whole(store, promised):
                return []
        else:
            _assert_whole(store, promised)
        written = Context(Store.open(store), actor="survivor").put("after/the-crash.md", "still writing")
        assert ids_in_history(store)[0] == written.id, "a write after the crash isn't there"
        lost = set(promised.ids) - set(ids_in_history(store))
        assert not lost, f"{len(lost)} acknowledged writes are lost after the next write"
    except (AssertionError, GitctxError) as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        maintenance_ended()
        shutil.rmtree(place)
    return []


def _head_is_whole(store: Path, promised: Promised) -> bool:
    """Whether a crash left the head undamaged, though nothing made sure of that."""
    try:
        git(store, "rev-list", "--objects", "context")
        return set(promised.ids) <= set(ids_in_history(store))
    except AssertionError:
        return False


def _assert_whole(store: Path, promised: Promised) -> None:
    lost = set(promised.ids) - set(ids_in_history(store))
    assert not lost, f"{len(lost)} of {len(promised.ids)} acknowledged writes are lost"
    for name in promised.checkpoints:
        git(store, "rev-parse", "--verify", "-q", f"refs/tags/{name}^{{tree}}")
    git(store, "rev-list", "--objects", "context")
    git(store, "fsck", "--full", "--strict", "--no-dangling", "--no-progress")
    problems = verify(Store.open(store), full=True).problems
    assert problems == (), f"verify finds {problems}"


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A temporary folder in memory where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def examine(found: Sequence[Crash], *, stop_at_first: bool = False, write_on_luck: bool = False) -> list[str]:
    """What is wrong after these crashes. Processes do the work, so that one that never comes back is noticed."""
    wrong: list[str] = []
    size = os.cpu_count() or 1

    with fast_folder() as folder:

        def work(share: int) -> Callable[[Talk], None]:
            def run(talk: Talk) -> None:
                for number in range(share, len(found), size):
                    talk.say(faults(found[number], folder / str(number), write_on_luck=write_on_luck))

            return run

        with children(*(work(share) for share in range(size))) as workers:
            for number, crash in enumerate(found):
                try:
                    said = workers[number % size].talk.hear(PATIENCE_S)
                except TimeoutError:
                    said = ["the store answers nothing any more"]
                    stop_at_first = True
                wrong += [f"{crash.point} operations ({crash.last}), {crash.loss} lost: {fault}" for fault in said]
                if wrong and stop_at_first:
                    break
    return wrong
