"""A long history squashed to a short one: how long it takes, how long a writer waits, and how much space comes back."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import gitctx
from benchmarks.growth import grow
from benchmarks.hands import OwnKeys
from benchmarks.measure import Check, Row, Scale, Section, seconds
from benchmarks.together import Window, processes
from benchmarks.writers.context import ContextWriter
from gitctx.config import Config
from gitctx.context import Context
from gitctx.maintenance.maintenance import Maintenance
from gitctx.rotation import Rotation
from gitctx.store import Store

NAME = "rotation"

ALONE = "plan and apply, nobody writes"
BESIDE = "plan and apply"
_KEYS = 1000
_KEEP = 50
_WRITERS = 8
_AFTER_GRACE = timedelta(days=15)
_SETTLE_S = 0.3
"""So long all writers write before the rotation begins."""


class _Size(NamedTuple):
    rounds: int
    commits: int
    window_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=3, commits=100_000, window_s=10.0),
    "quick": _Size(rounds=1, commits=20_000, window_s=5.0),
    "tiny": _Size(rounds=1, commits=120, window_s=1.5),
}


class _Beside(NamedTuple):
    """A rotation beside writers: how long it took, and the longest write that met it, in seconds."""

    took: float
    longest: float
    writes: int


class _Space(NamedTuple):
    """Bytes of a store before it is rotated, and after maintenance when the grace is over."""

    before: int
    after: int


def run(folder: Path, scale: Scale) -> Section:
    """Measure on copies of one maintained store."""
    size = _SIZES[scale]
    whole = _maintained(folder / "whole.git", size.commits)
    alone: list[float] = []
    beside: list[_Beside] = []
    spaces: list[_Space] = []
    for turn in range(size.rounds):
        place = folder / str(turn)
        shutil.copytree(whole, place / "store.git")
        store = Store.open(place / "store.git")
        alone.append(seconds(lambda store=store: _rotated(store)))  # type: ignore[misc]
        spaces.append(_Space(_size(whole), _size(_after_grace(store.path))))
        shutil.rmtree(place)
        shutil.copytree(whole, place / "store.git")
        beside.append(_beside_writers(place, size.window_s, seed=turn))
        shutil.rmtree(place)
    met = f"longest write of {_WRITERS} writers meanwhile"
    rows = [
        Row(ALONE, tuple(alone)),
        Row(f"{BESIDE}, {_WRITERS} processes write", tuple(each.took for each in beside)),
        Row(met, tuple(each.longest for each in beside), {"writes": sum(each.writes for each in beside)}),
    ]
    back = [1 - each.after / each.before for each in spaces]
    return Section(
        name=NAME,
        title="Rotation",
        what=f"{size.commits:,} commits squashed to {_KEEP}, in a store of {_KEYS:,} keys",
        unit="s",
        rows=rows,
        reference=ALONE,
        checks=[
            Check(f"{BESIDE} beside {_WRITERS} writers, seconds", rows[1].median, at_most=2.0),
            Check(f"{met}, seconds", rows[2].median, at_most=0.1),
            Check("share of the space that is back after grace and maintenance", min(back), at_least=0.95),
        ],
        notes=[
            f"nobody writes: {_mb(each.before)} MB before, {_mb(each.after)} MB after grace and maintenance"
            for each in spaces[:1]
        ],
    )


def _maintained(path: Path, commits: int) -> Path:
    """A store of so many writes, as maintenance by itself leaves it."""
    store = Store.open(gitctx.create(path))
    grow(store, commits, keys=_KEYS, first="topic-00/cold.md")
    Maintenance(store).run(full=True)
    return path


def _rotated(store: Store) -> None:
    rotation = Rotation(store, actor="planner")
    rotation.plan(keep=_KEEP)
    done = rotation.apply(keep=_KEEP)
    if not done[0].changed:
        raise AssertionError("nothing was rotated")


def _after_grace(path: Path) -> Path:
    """Let go of what a rotation put aside, at a time when its grace has ended."""
    store = Store.open(path, Config(clock=lambda: datetime.now(UTC) + _AFTER_GRACE))
    if Rotation(store, actor="planner").finish() == 0:
        raise AssertionError("no old head was let go of")
    Maintenance(store).run(full=True)
    found = Context(store, actor="planner").verify(full=True)
    if not found.ok:
        raise AssertionError(f"the store isn't sound: {found.problems}")
    return path


def _beside_writers(place: Path, window_s: float, *, seed: int) -> _Beside:
    windows: list[Window] = []

    def write() -> None:
        windows.append(processes(partial(OwnKeys, ContextWriter.durable), place, _WRITERS, window_s, seed=seed))

    store = Store.open(place / "store.git")
    actors = {f"coder-{number}" for number in range(_WRITERS)}
    writing = threading.Thread(target=write)
    writing.start()
    head = store.context.head()
    while actors:
        time.sleep(0.01)
        now = store.context.head()
        actors -= {write.author.name for _, write in store.repository.walk(now, (head,))}
        head = now
    time.sleep(_SETTLE_S)
    began = time.monotonic()
    _rotated(store)
    ended = time.monotonic()
    writing.join()
    met = list(_met(windows[0], began, ended))
    return _Beside(ended - began, max(met), len(met))


def _met(window: Window, began: float, ended: float) -> Sequence[float]:
    """The latencies of the writes that were under way at any moment of a span of time."""
    found = []
    for effort in window.efforts:
        if effort.ended < ended:
            raise AssertionError("the writers were done before the rotation was")
        at = effort.started
        for latency in effort.latencies:
            if at < ended and at + latency > began:
                found.append(latency)
            at += latency
    return found


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"
