"""Stores that have something for every step of maintenance."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from gitctx.config import Config, utc_now
from gitctx.context import Context
from gitctx.maintenance import thresholds
from gitctx.store import Store
from gitctx_testkit.git import clean_environment, git

DAY_S = 86_400.0
RELAXED = Config(durability="relaxed")
LATER = replace(RELAXED, clock=lambda: utc_now() + timedelta(days=40))
"""Forty days from now, when every grace has ended."""


def maintenance_ended(timeout_s: float = 60.0) -> None:
    """Wait until no thread of this process keeps a store small."""
    for thread in threading.enumerate():
        if thread.name == "gitctx-upkeep":
            thread.join(timeout_s)
            assert not thread.is_alive()


@contextmanager
def everything_is_due() -> Iterator[None]:
    """For the time of the block no step waits for more."""
    low: dict[str, Any] = {"FRESH_PACKS": 1, "LOOSE_OBJECTS": 1, "LOOSE_REFS": 1, "REFLOG_BYTES": 1, "GRAPH_WRITES": 0}
    low |= {"RECLAIM_EVERY_S": 0.0, "REFLOGS_EVERY_S": 0.0}
    with mock.patch.multiple(thresholds, **low):
        yield


def fill(path: Path, writes: int = 40) -> list[str]:
    """Write through gitctx and through a plain push; the ids of gitctx's writes. Nothing is merged meanwhile."""
    store = Store.open(path, RELAXED)
    store.repository.compact_if_due = lambda: None  # type: ignore[method-assign]
    ctx = Context(store, actor="planner")
    written = [ctx.put(f"plan/{number % 7}.md", f"value {number}\n" * 5) for number in range(writes)]
    for number in range(3):
        ctx.checkpoints.create(f"at-{number}")
    return [str(each.id) for each in written]


def litter(path: Path) -> str:
    """Leave what killed programs leave, all of it old, and an object that nothing reaches; its id."""
    oid = git(path, "hash-object", "-w", "--stdin", stdin="nobody reaches me")
    (path / "gc.pid").write_text("999999999 elsewhere\n")
    (path / "objects" / "pack" / "tmp_pack_aB3xYz").write_bytes(b"PACK")
    (path / "objects" / "17").mkdir(exist_ok=True)
    (path / "objects" / "17" / "tmp_obj_aB3xYz").write_bytes(b"")
    (path / "refs" / "heads" / "context.lock").write_text("")
    (path / "objects" / "info" / "commit-graphs").mkdir(exist_ok=True)
    (path / "objects" / "info" / "commit-graphs" / "commit-graph-chain.lock").write_text("")
    old = time.time() - 2 * DAY_S
    for place in ("gc.pid", "objects/pack/tmp_pack_aB3xYz", "objects/17/tmp_obj_aB3xYz", "refs/heads/context.lock"):
        os.utime(path / place, (old, old))
    os.utime(path / "objects/info/commit-graphs/commit-graph-chain.lock", (old, old))
    return oid


def push_plainly(path: Path, clone: Path, number: int) -> None:
    """One commit by a person with plain git: its objects come to lie loose."""
    if not clone.exists():
        git(path.parent, "clone", "-q", f"file://{path}", str(clone))
    (clone / f"by-hand-{number}.md").write_text(f"by hand {number}")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", f"by hand {number}")
    git(clone, "pull", "-q", "--rebase")
    subprocess.run(["git", "push", "-q"], cwd=clone, env=clean_environment(), check=True, timeout=60)


def is_there(path: Path, oid: str) -> bool:
    """Whether git finds an object."""
    done = subprocess.run(
        ["git", f"--git-dir={path}", "cat-file", "-e", oid], env=clean_environment(), capture_output=True, timeout=60
    )
    return done.returncode == 0
