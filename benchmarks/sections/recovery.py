"""A damaged head: how long it takes to tell what is wrong, and to mend it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.growth import age
from benchmarks.measure import Check, Row, Scale, Section, seconds
from benchmarks.writers.plain_git import environment
from gitctx import Context
from gitctx.recovery import Recovery
from gitctx.store import Store

NAME = "recovery"


class _Size(NamedTuple):
    rounds: int
    commits: int
    keys: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=5, commits=100_000, keys=10_000),
    "quick": _Size(rounds=1, commits=20_000, keys=2_000),
    "tiny": _Size(rounds=1, commits=40, keys=20),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure scan and apply on copies of one store whose newest revision is gone and whose ref file is empty."""
    size = _SIZES[scale]
    whole = age(folder / "whole.git", size.commits, size.keys)
    before = Store.open(whole).context.head()
    _damage(whole)
    samples: dict[str, list[float]] = {"scan": [], "apply": [], "scan and apply": [], "git fsck --full": []}
    for turn in range(size.rounds):
        path = folder / f"{turn}.git"
        shutil.copytree(whole, path)
        recovery = Recovery(path)
        samples["scan"].append(seconds(recovery.scan))
        samples["apply"].append(seconds(recovery.apply))
        samples["scan and apply"].append(samples["scan"][-1] + samples["apply"][-1])
        samples["git fsck --full"].append(seconds(lambda path=path: _checked(path)))  # type: ignore[misc]
        _require_recovered(path, before)
        shutil.rmtree(path)
    rows = [Row(name, tuple(found)) for name, found in samples.items()]
    return Section(
        name=NAME,
        title="A damaged head",
        what=f"time to recover a store of {size.commits:,} commits and {size.keys:,} keys without its newest revision",
        unit="s",
        rows=rows,
        reference="git fsck --full",
        checks=[Check("scan and apply, seconds", rows[2].median, at_most=2.0)],
    )


def _damage(path: Path) -> None:
    """One more write, of which nothing but its line in the reflog is left; and a ref file that is empty."""
    packs = set((path / "objects" / "pack").iterdir())
    Context(Store.open(path), actor="planner").put("topic-00/lost.md", "lost")
    for file in set((path / "objects" / "pack").iterdir()) - packs:
        file.unlink()
    (path / "refs" / "heads" / "context").write_bytes(b"")


def _checked(path: Path) -> None:
    command = ["git", "--git-dir", str(path), "fsck", "--full"]
    subprocess.run(command, env=environment(), capture_output=True, check=True)


def _require_recovered(path: Path, before: str) -> None:
    store = Store.open(path)
    if store.repository.read_commit(store.context.head()).parents != (before,):
        raise AssertionError("the store wasn't recovered to where it was")
