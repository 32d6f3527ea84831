"""What a recorded program does: all kinds of durable writes, and after each one the word that it is acknowledged.

    python -m gitctx_testkit.power_loss_scenario FOLDER FILE PART...

Works on the store in the folder and says what happened in lines of JSON at the end of the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx.values import Written
from gitctx_testkit.git import git

RELAXED = Config(durability="relaxed")


class Scene:
    """The store, and where to say what happened."""

    def __init__(self, folder: Path, said: Path) -> None:
        self.path = folder / "store.git"
        self.said = said
        self._descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def say(self, what: str, **more: str) -> None:
        """One line, in one call."""
        os.write(self._descriptor, json.dumps({"what": what, **more}).encode() + b"\n")

    def context(self, config: Config | None = None) -> Context:
        """The store's context, opened anew."""
        return Context(Store.open(self.path, config), actor="planner")

    def acknowledge(self, written: Written | None) -> None:
        """A durable write has returned."""
        assert written is not None
        self.say("durable", id=written.id, revision=written.revision)


def create(scene: Scene) -> None:
    Store.create(scene.path)
    scene.say("created")


def put(scene: Scene) -> None:
    ctx = scene.context()
    scene.acknowledge(ctx.put("plan/a.md", "1"))
    scene.acknowledge(ctx.put("plan/a.md", "2"))
    scene.acknowledge(ctx.put("plan/b.md", "1"))


def batch(scene: Scene) -> None:
    ctx = scene.context()
    for size in (3, 30):
        with ctx.batch("many at once") as changes:
            for number in range(size):
                changes.put(f"many/{size}/{number}", f"value {number}")
        scene.acknowledge(changes.written)


def on_a_relaxed_write(scene: Scene) -> None:
    scene.say("exposed")
    scene.context(RELAXED).put("relaxed/a.md", "1")
    scene.context(RELAXED).put("relaxed/b.md", "1")
    scene.say("exposed no more")
    scene.acknowledge(scene.context().put("plan/a.md", "on a relaxed write"))


def on_a_push(scene: Scene) -> None:
    clone = scene.said.parent / "clone"
    git(scene.said.parent, "clone", "-q", str(scene.path), "clone")
    scene.say("exposed")
    for number in range(2):
        (clone / "by-hand.md").write_text(f"by hand {number}")
        git(clone, "add", ".")
        git(clone, "commit", "-q", "-m", "by hand")
        git(clone, "push", "-q")
    scene.say("exposed no more")
    scene.acknowledge(scene.context().put("plan/a.md", "on a push"))


def checkpoint(scene: Scene) -> None:
    ctx = scene.context()
    ctx.checkpoints.create("before")
    scene.say("checkpoint", name="before")
    scene.acknowledge(ctx.put("plan/c.md", "after the checkpoint"))


def threads(scene: Scene) -> None:
    ctx = scene.context()
    running = [threading.Thread(target=_puts, args=(scene, ctx, f"thread/{number}")) for number in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def processes(scene: Scene) -> None:
    command = [sys.executable, "-m", __spec__.name, str(scene.path.parent), str(scene.said)]
    running = [subprocess.Popen([*command, part]) for part in ("one_process", "other_process")]
    assert [process.wait() for process in running] == [0, 0]


def one_process(scene: Scene) -> None:
    _puts(scene, scene.context(), "process/one")


def other_process(scene: Scene) -> None:
    _puts(scene, scene.context(), "process/other")


def many(scene: Scene) -> None:
    """So many writes that what they left on the disk is put in order in between."""
    ctx = scene.context()
    for number in range(36):
        scene.acknowledge(ctx.put(f"row/{number % 7}", f"{number}"))
    ctx.store.repository.compact_if_due()
    ctx.store.repository.finish_compaction()
    scene.acknowledge(ctx.put("row/0", "after that"))


def _puts(scene: Scene, ctx: Context, folder: str) -> None:
    for number in range(2):
        scene.acknowledge(ctx.put(f"{folder}/{number}", "1"))


PARTS: dict[str, Callable[[Scene], None]] = {
    part.__name__: part
    for part in (
        *(create, put, batch, on_a_relaxed_write, on_a_push, checkpoint),
        *(threads, processes, one_process, other_process, many),
    )
}

if __name__ == "__main__":
    scene = Scene(Path(sys.argv[1]), Path(sys.argv[2]))
    for name in sys.argv[3:]:
        PARTS[name](scene)
