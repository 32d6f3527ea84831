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
from gitctx.format.objects import blob_id
from gitctx.recovery import Recovery
from gitctx.store import Store

NAME = "recovery"

_FIRST = "topic-00/first.md"


class _Size(NamedTuple):
    rounds: int
    commits: int
    keys: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=5, commits=100_000, keys=10_000),
    "quick": _Size(rounds=1, commits=20_000, keys=2_000),
    "tiny": _Size(rounds=1, commits=40, keys=20),
}
_KINDS = ("lost head", "broken value")


def run(folder: Path, scale: Scale) -> Section:
    """Measure scan and apply on copies of one store: without its newest revision and with an empty ref, and with a
    value of the newest revision but one that can't be read.
    """
    size = _SIZES[scale]
    whole = age(folder / "whole.git", size.commits, size.keys)
    before = Store.open(whole).context.head()
    samples: dict[str, list[float]] = {}
    for turn in range(size.rounds):
        for kind in _KINDS:
            path = folder / f"{turn}.git"
            shutil.copytree(whole, path)
            _damage(path, kind)
            for what, took in _recovered(path).items():
                samples.setdefault(f"{kind}: {what}", []).append(took)
            samples.setdefault("git fsck --full", []).append(seconds(lambda path=path: _checked(path)))  # type: ignore[misc]
            _require_recovered(path, kind, before)
            shutil.rmtree(path)
    samples["git fsck --full"] = samples["git fsck --full"][:: len(_KINDS)]
    rows = [Row(name, tuple(found)) for name, found in samples.items()]
    by_name = {row.name: row for row in rows}
    return Section(
        name=NAME,
        title="A damaged head",
        what=f"time to recover a store of {size.commits:,} commits and {size.keys:,} keys",
        unit="s",
        rows=rows,
        reference="git fsck --full",
        checks=[
            Check(
                f"{kind}: scan and apply, seconds", by_name[f"{kind}: scan, then apply"].median, at_most=limit, aim=2.0
            )
            for kind, limit in zip(_KINDS, (2.0, 5.0), strict=True)
        ],
        notes=["'alone' is an apply that looks for itself; 'then' uses what the scan before it found out"],
    )


def _recovered(path: Path) -> Mapping[str, float]:
    """How long an apply alone takes (on a copy), and a scan and an apply one after the other."""
    alone = path.with_suffix(".alone")
    shutil.copytree(path, alone)
    took = {"apply alone": seconds(Recovery(alone).apply)}
    shutil.rmtree(alone)
    recovery = Recovery(path)
    took["scan"] = seconds(recovery.scan)
    took["scan, then apply"] = took["scan"] + seconds(recovery.apply)
    return took


def _damage(path: Path, kind: str) -> None:
    """Two more writes. Then nothing is left of the last one but its line in the reflog, and the ref file is empty; or a
    bit of the value of the first one is turned over.
    """
    context = Context(Store.open(path), actor="planner")
    packs = path / "objects" / "pack"
    before = set(packs.iterdir())
    context.put(_FIRST, "first")
    between = set(packs.iterdir())
    context.put("topic-00/second.md", "second")
    if kind == "broken value":
        (pack,) = (file for file in between - before if file.suffix == ".pack")
        data = pack.read_bytes().replace(b"first", b"fir\x00t", 1)
        pack.chmod(0o644)
        pack.write_bytes(data)
        return
    for file in set(packs.iterdir()) - between:
        file.unlink()
    (path / "refs" / "heads" / "context").write_bytes(b"")


def _checked(path: Path) -> None:
    command = ["git", "--git-dir", str(path), "fsck", "--full"]
    subprocess.run(command, env=environment(), capture_output=True, check=True)


def _require_recovered(path: Path, kind: str, before: str) -> None:
    store = Store.open(path)
    if store.context.view().etag(_FIRST) != (None if kind == "broken value" else blob_id(b"first")):
        raise AssertionError("the recovery gave back something else than was expected")
    if not store.repository.is_ancestor(before, store.context.head()):
        raise AssertionError("the recovery lost history that was whole")
