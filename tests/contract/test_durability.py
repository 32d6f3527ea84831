"""What "durable" promises, without a power cut: what is synced, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.repository import Repository
from gitctx.store import Store
from gitctx_testkit.git import git, make_loose

RELAXED = Config(durability="relaxed")


class Recorder:
    """What was synced and renamed, in order, as (what, path below the store)."""

    def __init__(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        self._store = store
        fsync, rename, link, everything = os.fsync, os.rename, os.link, Repository.sync_everything

        def noting_fsync(descriptor: int) -> None:
            self._note("sync", os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def noting_rename(source: str | Path, target: str | Path) -> None:
            rename(source, target)
            self._note("rename", str(target))

        def noting_link(source: str | Path, target: str | Path) -> None:
            link(source, target)
            self._note("link", str(target))

        def noting_everything(repository: Repository) -> None:
            self.events.append(("sync everything", ""))
            everything(repository)

        monkeypatch.setattr(os, "fsync", noting_fsync)
        monkeypatch.setattr(os, "rename", noting_rename)
        monkeypatch.setattr(os, "link", noting_link)
        monkeypatch.setattr(Repository, "sync_everything", noting_everything)

    def _note(self, what: str, path: str) -> None:
        self.events.append((what, os.path.relpath(path, self._store)))

    def position(self, what: str, path: str) -> int:
        return self.events.index((what, path))

    def synced_everything(self) -> bool:
        found = ("sync everything", "") in self.events
        self.events.clear()
        return found


@pytest.fixture
def recorder(store: Store, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    Context(store, actor="planner").put("plan/before.md", "0")
    return Recorder(store.path, monkeypatch)


@pytest.mark.parametrize("keys", [1, 40])
def test_objects_are_on_disk_before_the_ref_moves_and_the_ref_before_the_answer(
    store: Store, recorder: Recorder, keys: int
) -> None:
    with Context(store, actor="planner").batch() as batch:
        for number in range(keys):
            batch.put(f"plan/{number}", f"{number}")
    names = [path for what, path in recorder.events if what in ("link", "rename") and path.startswith("objects/pack/")]
    assert [Path(name).suffix for name in names] == [".pack", ".idx"], "an index never names a pack that isn't there"
    pack, index = (recorder.events.index(event) for event in recorder.events if event[1] in names)
    bytes_on_disk = {Path(path).name.split("-")[0] for what, path in recorder.events[:pack] if what == "sync"}
    assert any(name.startswith("tmp_idx_") for name in bytes_on_disk), "its bytes come before its name"
    assert ("sync", names[0].replace(".pack", ".keep")) in recorder.events[:pack]
    published = recorder.position("link", "refs/heads/context.lock")
    assert pack < index < recorder.position("sync", "objects/pack") < published
    moved = recorder.position("rename", "refs/heads/context")
    assert any(what == "sync" and path.startswith("gitctx/locks/") for what, path in recorder.events[:published])
    assert published < moved < recorder.position("sync", "refs/heads")
    assert recorder.events[-1] == ("sync", "refs/heads")
    assert len([event for event in recorder.events if event[0] == "sync"]) == 5


def test_folders_that_a_durable_write_makes_are_on_disk_too(store: Store, recorder: Recorder) -> None:
    make_loose(store.path)
    (store.path / "objects" / "pack").rmdir()
    ctx = Context(store, actor="planner")
    recorder.events.clear()
    ctx.put("plan/a.md", "1")
    published = recorder.position("link", "refs/heads/context.lock")
    assert recorder.position("sync", "objects") < published
    recorder.events.clear()
    ctx.checkpoints.create("long/name/of/it")
    tag = recorder.position("rename", "refs/tags/long/name/of/it")
    for folder in ("refs/tags", "refs/tags/long", "refs/tags/long/name"):
        assert recorder.position("sync", folder) < tag
    assert recorder.events[-1] == ("sync", "refs/tags/long/name/of")


def test_relaxed_writes_sync_nothing(store: Store, recorder: Recorder) -> None:
    ctx = Context(Store.open(store.path, RELAXED), actor="planner")
    ctx.put("plan/a.md", "1")
    ctx.checkpoints.create("before")
    assert [event for event in recorder.events if event[0].startswith("sync")] == []


def test_a_durable_write_puts_on_disk_what_it_builds_on_whoever_wrote_that(store: Store, recorder: Recorder) -> None:
    durable = Context(store, actor="planner")
    relaxed = Context(Store.open(store.path, RELAXED), actor="coder-1")
    durable.put("plan/a.md", "1")
    recorder.events.clear()
    durable.put("plan/a.md", "2")
    assert not recorder.synced_everything(), "a durable write on a durable one has nothing more to sync"
    relaxed.put("plan/b.md", "1")
    assert not recorder.synced_everything()
    durable.put("plan/a.md", "3")
    assert recorder.synced_everything()
    relaxed.put("plan/b.md", "2")
    durable.put("plan/a.md", "3")
    assert recorder.synced_everything(), "also when there is nothing to change: it is acknowledged all the same"
    clone = store.path.parent / "clone"
    git(clone.parent, "clone", "-q", str(store.path), "clone")
    git(clone, "commit", "-q", "--allow-empty", "-m", "by hand")
    git(clone, "push", "-q")
    durable.put("plan/a.md", "4")
    assert recorder.synced_everything()
    (store.path / "gitctx" / "queue" / "context").unlink()
    durable.put("plan/a.md", "5")
    assert recorder.synced_everything(), "without the note nothing vouches for the head"


def test_a_repeated_id_is_acknowledged_only_when_it_is_on_disk(store: Store, recorder: Recorder) -> None:
    relaxed = Context(Store.open(store.path, RELAXED), actor="planner")
    relaxed.put("plan/a.md", "1", id="one")
    recorder.events.clear()
    Context(store, actor="planner").put("plan/a.md", "1", id="one")
    assert recorder.synced_everything()


def test_what_a_durable_restore_takes_from_a_relaxed_checkpoint_is_on_disk(store: Store, recorder: Recorder) -> None:
    """Its blobs may be reached by nothing but the checkpoint's tag."""
    durable = Context(store, actor="planner")
    base = durable.put("plan/a.md", "1").revision
    git(store.path, "hash-object", "-w", "--stdin", stdin="only in the checkpoint")
    relaxed = Context(Store.open(store.path, RELAXED), actor="coder-1")
    relaxed.put("plan/a.md", "only in the checkpoint")
    relaxed.checkpoints.create("before")
    git(store.path, "update-ref", "refs/heads/context", base)
    (store.path / "logs" / "refs" / "heads" / "context").unlink()
    (store.path / "gitctx" / "queue" / "context").unlink()
    durable.put("plan/a.md", "2")
    recorder.events.clear()
    durable.checkpoints.restore("before")
    assert durable.get("plan/a.md").text() == "only in the checkpoint"
    assert recorder.synced_everything()


def test_an_object_that_lies_there_already_is_written_and_synced_all_the_same(store: Store, recorder: Recorder) -> None:
    """Whoever wrote it may not have synced it, and a repack may drop it before the ref moves."""
    oid = git(store.path, "hash-object", "-w", "--stdin", stdin="there already")
    (store.path / "objects" / oid[:2] / oid[2:]).rename(store.path / "aside")
    Context(store, actor="planner").put("plan/a.md", "there already")
    assert git(store.path, "cat-file", "blob", oid) == "there already"
