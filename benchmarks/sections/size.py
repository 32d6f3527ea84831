"""How large a store gets, write by write, beside git with its own housekeeping and beside one JSON file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section
from benchmarks.workload import entries, updates
from benchmarks.writers import Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.plain_git import Pygit2Writer, environment
from gitctx.config import Config
from gitctx.context.upkeep import run_slice
from gitctx.maintenance.maintenance import Maintenance
from gitctx.rotation import Rotation
from gitctx.store import Store

NAME = "size"

WRITTEN, MAINTAINED, ROTATED = "gitctx, as writing left it", "gitctx, maintained", "gitctx, rotated to 50 writes"
GIT = "pygit2, git gc --auto after every 100 writes"
JSON = "JSON file, 3 backups, 50 snapshots"
_KEYS = 500
_GC_EVERY = 100
_KEEP = 50
_BLOCK = 512
_AFTER_GRACE = timedelta(days=15)


class _Size(NamedTuple):
    writes: int


_SIZES: Mapping[Scale, _Size] = {"full": _Size(50_000), "quick": _Size(5_000), "tiny": _Size(40)}


def run(folder: Path, scale: Scale) -> Section:
    """Let each contender make the same writes, and look at what lies on the disk then."""
    writes = _SIZES[scale].writes
    rows = [
        *_ours(_place(folder, "gitctx"), writes),
        _theirs(GIT, Pygit2Writer.unsynced, _place(folder, "git"), writes, every=_collect),
        _theirs(JSON, JsonFileWriter, _place(folder, "json"), writes),
    ]
    by_name = {row.name: row for row in rows}
    checks = [
        Check("bytes a write after maintenance, reflog aside", by_name[MAINTAINED].median, at_most=1000),
        Check("maintained / git with gc --auto", by_name[MAINTAINED].ratio_to(by_name[GIT])),
        Check("rotated to 50 / JSON with 50 snapshots", by_name[ROTATED].ratio_to(by_name[JSON])),
    ]
    return Section(
        name=NAME,
        title="How large a store gets",
        what=f"bytes of all files for each of {writes:,} writes of 200 bytes to {_KEYS} keys",
        unit="bytes a write",
        rows=rows,
        reference=MAINTAINED,
        # With few writes the store's own files, and not the writes, are what is counted.
        checks=checks if scale != "tiny" else checks[1:],
        notes=[
            "disk_mb: with what the file system gives each file; versions: how many can still be read",
            "seconds: all the writes with the housekeeping that goes on by itself, and what was asked for on top",
        ],
    )


def _ours(place: Path, writes: int) -> list[Row]:
    """The same store three times: as it is with what went on by itself, after `maintain`, and rotated, when the grace
    of the old history is over.
    """
    writer = ContextWriter.relaxed(place)
    took = _write_all(writer, writes)
    writer.finish()
    path = writer.store.path
    # What goes on by itself does so every two seconds at most; these writes came faster than any agents'.
    run_slice(writer.store, actor="planner")

    def row(name: str) -> Row:
        return _row(name, path, writes, took, writer.versions())

    rows = [row(WRITTEN)]
    started = time.monotonic()
    Maintenance(writer.store).run(full=True)
    took += time.monotonic() - started
    rows.append(row(MAINTAINED))
    later = Store.open(path, Config(clock=lambda: datetime.now(UTC) + _AFTER_GRACE))
    started = time.monotonic()
    Rotation(writer.store, actor="planner").apply(keep=_KEEP)
    Rotation(later, actor="planner").finish()
    Maintenance(later).run(full=True)
    took += time.monotonic() - started
    _, count, _ = writer.store.repository.git("rev-list", "--count", "context")
    rows.append(_row(ROTATED, path, writes, took, int(count) - 1))
    return rows


def _theirs(
    name: str,
    open_writer: Callable[[Path], Writer],
    place: Path,
    writes: int,
    every: Callable[[Path], None] | None = None,
) -> Row:
    writer = open_writer(place)
    took = _write_all(writer, writes, partial(every, place) if every else None)
    row = _row(name, place, writes, took, min(writer.versions(), 50) if name == JSON else writer.versions())
    writer.close()
    return row


def _write_all(writer: Writer, writes: int, every: Callable[[], None] | None = None) -> float:
    filled = entries(_KEYS)
    writer.fill(filled)
    line = islice(updates(list(filled)), writes)
    started = time.monotonic()
    for number, update in enumerate(line):
        writer.write(update)
        if every is not None and number % _GC_EVERY == 0:
            every()
    return time.monotonic() - started


def _collect(place: Path) -> None:
    command = ["git", "--git-dir", str(place / "repo.git"), "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"]
    subprocess.run(command, env=environment(), check=True, capture_output=True)


def _row(name: str, place: Path, writes: int, took: float, versions: int) -> Row:
    found = [(path, path.stat()) for path in place.rglob("*") if path.is_file()]
    size = sum(stat.st_size for path, stat in found if "logs" not in path.parts)
    disk = sum(stat.st_blocks * _BLOCK for _, stat in found)
    return Row(
        name,
        (size / writes,),
        {"disk_mb": disk / 1e6, "files": len(found), "versions": versions, "seconds": took},
    )


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place
