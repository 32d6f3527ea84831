"""What maintenance looks at: a few folders and the sizes of files. Nothing is changed, and git isn't asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitctx.maintenance import thresholds as at
from gitctx.repository import stale_locks
from gitctx.repository.disk import make_folders, unlink_quietly
from gitctx.repository.leftovers import leftovers
from gitctx.repository.packs import keeps
from gitctx.repository.reflog_expiry import begins_before, logs
from gitctx.repository.repacking import PackFiles, Repacking, remains
from gitctx.repository.repository import Repository
from gitctx.values import Finding

_FOLDERS = 256


@dataclass(frozen=True, slots=True)
class Look:
    """The store as it lies. `old_logs` are reflogs that begin with lines past the grace; `stamps` say when a step was
    done last (seconds since 1970; `made` is the store) and how large things were then.
    """

    now_s: float
    fresh: tuple[PackFiles, ...]
    settled: tuple[PackFiles, ...]
    unreachable: tuple[PackFiles, ...]
    loose_objects: int
    loose_refs: int
    old_logs: tuple[str, ...]
    log_bytes: int
    locks: tuple[str, ...]
    leftovers: tuple[str, ...]
    stamps: Mapping[str, float]

    @property
    def packs(self) -> tuple[PackFiles, ...]:
        """All packs."""
        return (*self.fresh, *self.settled, *self.unreachable)


def look(repository: Repository, repacking: Repacking, *, now_s: float, grace_s: float) -> Look:
    """Look at a store. Raises OSError."""
    path = repository.path
    settled = repacking.settled()
    packs = repacking.all()
    old = [name for name in logs(path) if begins_before(path, name, now_s - grace_s)]
    stale = [found.subject for _, found in stale_locks.look(path, stale_locks.own_inodes(path))]
    return Look(
        now_s=now_s,
        fresh=tuple(each for each in packs if "mtimes" not in each.kinds and each.name not in settled),
        settled=tuple(each for each in packs if "mtimes" not in each.kinds and each.name in settled),
        unreachable=tuple(each for each in packs if "mtimes" in each.kinds),
        loose_objects=count_loose_objects(path),
        loose_refs=sum(1 for _ in _loose_refs(path)),
        old_logs=tuple(old),
        log_bytes=sum(_size(path / "logs" / name) for name in old),
        locks=tuple(stale),
        leftovers=tuple(_clutter(path)),
        stamps=Stamps(path).read(),
    )


def count_loose_objects(path: Path) -> int:
    """How many loose objects there are about: as git does, one of their folders is counted."""
    with suppress(OSError):
        return sum(len(name) == 38 for name in os.listdir(path / "objects" / "17")) * _FOLDERS
    return 0


def has_loose_objects(path: Path) -> bool:
    """Whether there is any loose object."""
    return any(len(each.name) == 38 for each in (path / "objects").glob("??/*"))


def _loose_refs(path: Path) -> Iterator[str]:
    """Tags that are files of their own: all that every git packs without being told to take branches too."""
    for _, _, names in os.walk(path / "refs" / "tags"):
        yield from (name for name in names if not name.endswith(".lock"))


def _clutter(path: Path) -> Iterator[str]:
    left, _ = keeps(str(path / "objects"), _an_hour_ago())
    yield from (f"objects/pack/{name}" for name in left)
    yield from (each.relative_to(path).as_posix() for each in (*leftovers(path), *remains(path)))


def _an_hour_ago() -> float:
    import time

    return time.time() - at.HOUR_S


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def long_kept(path: Path, now_s: float) -> Iterator[Finding]:
    """What recoveries put aside long ago."""
    for place, code, what in (
        ("gitctx/quarantine", "quarantine", "broken files of a recovery"),
        ("refs/gitctx/rescue", "rescue", "heads from before a recovery"),
    ):
        with suppress(OSError):
            for each in sorted(os.scandir(path / place), key=lambda entry: entry.name):
                days = int((now_s - each.stat().st_mtime) / at.DAY_S)
                if days * at.DAY_S >= at.LONG_KEPT_S:
                    name = f"{place}/{each.name}"
                    yield Finding(code, name, f"{what} have been kept in {name} for {days} days")


class Stamps:
    """When steps were done last, in `gitctx/maintenance/done.json`. Disposable."""

    def __init__(self, path: Path) -> None:
        self._store = path
        self._path = path / "gitctx" / "maintenance" / "done.json"

    def read(self) -> dict[str, float]:
        """By the name of the step; `made` is there always."""
        stamps = {"made": self._made()}
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return stamps
        if isinstance(found, dict):
            stamps |= {str(name): float(value) for name, value in found.items() if isinstance(value, (int, float))}
        return stamps

    def write(self, **changed: float) -> None:
        """Set some of them. Raises OSError."""
        stamps = {name: value for name, value in self.read().items() if name != "made"} | changed
        make_folders(str(self._path.parent), durable=False)
        temporary = self._path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(stamps) + "\n", "utf-8")
            os.replace(temporary, self._path)
        except OSError:
            unlink_quietly(str(temporary))
            raise

    def _made(self) -> float:
        try:
            return (self._store / "HEAD").stat().st_mtime
        except OSError:
            return 0.0
