"""Build the golden store of format 1: the same commit ids whenever, wherever and by whichever version it is built.

    python tests/format/build_golden.py tests/format/format-1.bundle

Once released, the bundle beside this file is never made anew while the format is 1: if the ids differ, the code has
changed the format.
"""

from __future__ import annotations

import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from gitctx.checkpoints import Checkpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.sessions import Claims, Sessions
from gitctx.store import Store
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTNAME = "golden.example"
WIDE = 260
"""Children of the folder that is split."""


class Clock:
    """A clock that moves a minute when it is told to."""

    def __init__(self) -> None:
        self.now = BEGAN

    def tick(self) -> None:
        """Let a minute pass."""
        self.now += timedelta(minutes=1)


def build(path: Path) -> Store:
    """The golden store, at a path that doesn't exist yet."""
    clock = Clock()
    config = Config(clock=lambda: clock.now, rng=random.Random(1), durability="relaxed")
    with mock.patch("gitctx.store.host.os.uname", return_value=SimpleNamespace(nodename=HOSTNAME)):
        store = Store.create(path, config)
        _write_entries(Context(store, actor="planner"), clock)
        _work_in_sessions(store, clock)
    return store


def _write_entries(planner: Context, clock: Clock) -> None:
    clock.tick()
    planner.put("plan/auth.md", "# Auth\n\nuse tokens\n", message="first draft\n\nGitctx-Id: not a trailer of ours")
    clock.tick()
    planner.put(
        "decision/db", {"choice": "sqlite", "why": ["small", "h\u00e9bergement"], "cost": 0.5}, id="my-own.id_1"
    )
    clock.tick()
    with planner.batch(message="many at once") as batch:
        for number in range(WIDE):
            batch.put(f"wide/k{number}", str(number))
        batch.put("\u65e5\u672c\u8a9e/\u30ad\u30fc", b"\x00\xff bytes\r\n")
    clock.tick()
    planner.configure("strategies.decision/", "fail", message="never lose one")
    clock.tick()
    planner.remove("wide/k7", message="not needed")


def _work_in_sessions(store: Store, clock: Clock) -> None:
    sessions = Sessions(store, FakeMachine())
    clock.tick()
    ended = sessions.start(actor="planner", agent="claude", pid=100, hold=False, message="to plan")
    Context(store, actor="planner", session=ended.record.id).put("plan/auth.md", "# Auth\n\nuse passkeys\n")
    clock.tick()
    Checkpoints(store, actor="planner", session=ended.record.id).create("before/review", message="all agreed")
    clock.tick()
    sessions.end(ended.record.id, reason="planned")
    clock.tick()
    active = sessions.start(actor="coder-1", agent="codex", pid=100, hold=False)
    Claims(store, sessions, actor="coder-1", session=active.record.id).claim("auth", ttl_s=3600, message="on it")
    clock.tick()
    Context(store, actor="coder-1", session=active.record.id).append("log/auth", "started")


def main(bundle: Path) -> None:
    """Build the store and write it as a git bundle."""
    with tempfile.TemporaryDirectory() as folder:
        store = build(Path(folder) / "store.git")
        git(store.path, "bundle", "create", str(bundle.resolve()), "--all")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
