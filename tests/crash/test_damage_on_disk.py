"""What a power cut, a stray `rm` or a killed git can leave behind, and what the next write makes of it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import BrokenHistory, LockTimeout, ObjectMissing, StorageError
from gitctx.format.objects import blob_id
from gitctx.store import Store
from gitctx_testkit.audit import assert_sound, head_of, ids_in_history, reflog_lines
from gitctx_testkit.git import git, make_loose


def reopened(store: Store, **config: object) -> Context:
    return Context(Store.open(store.path, Config(**config)), actor="coder-1")  # type: ignore[arg-type]


def loose(store: Store, oid: str) -> Path:
    """Where an object lies when it is loose, as after a push."""
    return store.path / "objects" / oid[:2] / oid[2:]


def empty(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"")


def context_log(store: Store) -> Path:
    return store.path / "logs" / "refs" / "heads" / "context"


@pytest.mark.parametrize(
    "tail", [b"0123456789abcdef", b"\0" * 300, b"a" * 40 + b" " + b"b" * 40 + b" somebody <s@x> 17", b"\0" * 70_000]
)
def test_a_torn_reflog_line_does_not_swallow_the_next_one(store: Store, ctx: Context, tail: bytes) -> None:
    first = ctx.put("plan/a.md", "1")
    with context_log(store).open("ab") as log:
        log.write(tail)
    second = reopened(store).put("plan/a.md", "2")
    old, new = reflog_lines(store.path)[-1].split()[:2]
    assert (old.decode(), new.decode()) == (first.revision, second.revision)
    assert git(store.path, "rev-parse", "context@{1}") == first.revision
    assert len(reflog_lines(store.path)) == 3


def test_a_reflog_that_another_git_went_on_writing_after_a_tear_still_tells_of_forced_moves(
    store: Store, ctx: Context
) -> None:
    ctx.put("plan/a.md", "1")
    with context_log(store).open("ab") as log:
        log.write(b"\0" * 100)
    lost = ctx.put("plan/b.md", "2")
    shutil.rmtree(store.path / "gitctx")
    git(store.path, "update-ref", "refs/heads/context", f"{lost.revision}~1")
    reopened(store).put("plan/c.md", "3")
    assert ctx.get("plan/b.md").text() == "2"


def test_an_empty_object_file_of_the_same_id_is_healed_by_the_write(store: Store, ctx: Context) -> None:
    ctx.put("plan/a.md", "1")
    oid = blob_id(b"lost in a power cut")
    loose(store, oid).parent.mkdir(exist_ok=True)
    loose(store, oid).write_bytes(b"")
    ctx.put("plan/b.md", "lost in a power cut")
    assert reopened(store).get("plan/b.md").text() == "lost in a power cut"


def test_an_empty_object_file_of_the_same_id_is_healed_by_a_large_write_too(store: Store, ctx: Context) -> None:
    oid = blob_id(b"lost in a power cut")
    loose(store, oid).parent.mkdir(exist_ok=True)
    loose(store, oid).write_bytes(b"")
    with ctx.batch() as batch:
        batch.put("plan/b.md", "lost in a power cut")
        for number in range(30):
            batch.put(f"plan/{number}", f"{number}")
    assert reopened(store).get("plan/b.md").text() == "lost in a power cut"


def test_putting_a_value_again_heals_the_entry_whose_object_was_torn(store: Store, ctx: Context) -> None:
    written = ctx.put("plan/a.md", "the only copy")
    assert written.etag is not None
    make_loose(store.path)
    empty(loose(store, written.etag))
    with pytest.raises(ObjectMissing):
        reopened(store).get("plan/a.md")
    reopened(store).put("plan/a.md", "the only copy")
    assert reopened(store).get("plan/a.md").text() == "the only copy"


def test_an_empty_tree_file_of_the_same_id_is_healed_by_the_write(store: Store, ctx: Context) -> None:
    ctx.put("plan/a.md", "1")
    tree = git(store.path, "rev-parse", "context:plan")
    ctx.put("plan/a.md", "2")
    make_loose(store.path)
    empty(loose(store, tree))
    reopened(store).put("plan/a.md", "1")
    assert git(store.path, "cat-file", "-t", tree) == "tree"


def test_an_empty_ref_file_is_named_with_a_way_out_and_never_written_over(store: Store, ctx: Context) -> None:
    head = ctx.put("plan/a.md", "1").revision
    ref = store.path / "refs" / "heads" / "context"
    ref.write_bytes(b"")
    for attempt in (lambda: ctx.put("plan/a.md", "2"), lambda: ctx.get("plan/a.md"), lambda: Store.open(store.path)):
        with pytest.raises(BrokenHistory) as caught:
            attempt()
        assert "logs/refs/heads/context" in caught.value.hint
        assert caught.value.changed == "no"
    assert ref.read_bytes() == b""
    ref.unlink()
    git(store.path, "update-ref", "refs/heads/context", head)
    ctx.put("plan/a.md", "2")


def test_a_branch_that_is_gone_is_named(store: Store, ctx: Context) -> None:
    head = ctx.put("plan/a.md", "1").revision
    git(store.path, "update-ref", "-d", "refs/heads/context")
    with pytest.raises(BrokenHistory) as caught:
        ctx.put("plan/a.md", "2")
    assert "context" in caught.value.message
    with pytest.raises(BrokenHistory):
        Store.open(store.path)
    git(store.path, "update-ref", "refs/heads/context", head)


def test_one_empty_tag_file_does_not_hide_the_other_checkpoints(store: Store, ctx: Context) -> None:
    ctx.checkpoints.create("good")
    bad = store.path / "refs" / "tags" / "bad"
    bad.write_bytes(b"")
    found = reopened(store)
    assert [checkpoint.name for checkpoint in found.checkpoints.list()] == ["good"]
    problems = found.verify().problems
    bad.unlink()
    assert any("refs/tags/bad" in problem.subject + problem.text for problem in problems)


@pytest.mark.parametrize("failpoint", ["queue.after_ticket", "queue.after_acquire", *failpoints.NAMES[-3:]])
def test_the_working_folder_may_vanish_in_the_middle_of_a_write(store: Store, ctx: Context, failpoint: str) -> None:
    ctx.put("plan/a.md", "1")
    failpoints.activate(failpoint, lambda: shutil.rmtree(store.path / "gitctx", ignore_errors=True))
    try:
        ctx.put("plan/a.md", "2", id="the-write")
    finally:
        failpoints.deactivate()
    assert ctx.get("plan/a.md").text() == "2"
    assert ctx.put("plan/a.md", "2", id="the-write").changed
    assert ids_in_history(store.path).count("the-write") == 1


@pytest.mark.parametrize("failpoint", ["swap.before_lock", "swap.after_lock", "swap.after_reflog", "swap.after_rename"])
def test_the_working_folder_may_vanish_in_the_middle_of_a_swap(store: Store, ctx: Context, failpoint: str) -> None:
    failpoints.activate(failpoint, lambda: shutil.rmtree(store.path / "gitctx", ignore_errors=True))
    try:
        ctx.put("plan/a.md", "1")
    finally:
        failpoints.deactivate()
    assert ctx.get("plan/a.md").text() == "1"
    ctx.put("plan/a.md", "2")


def test_the_working_folder_holds_nothing_of_the_context(store: Store, ctx: Context) -> None:
    ctx.put("plan/a.md", "1", id="one")
    ctx.checkpoints.create("before")
    shutil.rmtree(store.path / "gitctx")
    again = reopened(store)
    assert again.get("plan/a.md").text() == "1"
    assert again.put("plan/a.md", "1", id="one").changed
    assert [checkpoint.name for checkpoint in again.checkpoints.list()] == ["before"]
    assert ids_in_history(store.path).count("one") == 1


def test_a_working_folder_that_is_a_file_stops_no_reader_and_is_no_damage(store: Store) -> None:
    shutil.rmtree(store.path / "gitctx")
    (store.path / "gitctx").write_text("oops")
    ctx = reopened(store)
    assert list(ctx.list()) == []
    with pytest.raises(StorageError):
        ctx.put("plan/a.md", "1")
    (store.path / "gitctx").unlink()
    ctx.put("plan/a.md", "1")


def foreign_lock(store: Store, age_s: float, ref: str = "refs/heads/context") -> Path:
    lock = store.path / f"{ref}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    os.utime(lock, (time.time() - age_s, time.time() - age_s))
    return lock


HASTY = {"retry": RetryPolicy(deadline_s=0.3), "queue_patience_s": 0.1}


def test_a_fresh_lock_of_another_git_is_respected(store: Store) -> None:
    lock = foreign_lock(store, 5)
    head = head_of(store.path)
    with pytest.raises(LockTimeout) as caught:
        reopened(store, **HASTY).put("plan/a.md", "1")
    assert caught.value.details["lock"] == str(lock)
    assert lock.exists()
    assert head_of(store.path) == head
    lock.unlink()


def test_an_old_lock_of_a_killed_git_is_cleared_by_whoever_has_the_queue(store: Store) -> None:
    lock = foreign_lock(store, 11)
    reopened(store, **HASTY).put("plan/a.md", "1")
    assert not lock.exists()


def test_an_old_lock_stays_while_another_writer_holds_the_queue(store: Store) -> None:
    from gitctx.store.queue import WriterQueue

    lock = foreign_lock(store, 11)
    with WriterQueue(store.path / "gitctx" / "queue" / "context").turn(1.0) as turn:
        assert turn.held
        with pytest.raises(LockTimeout):
            reopened(store, **HASTY).put("plan/a.md", "1")
        assert lock.exists()
    lock.unlink()


def test_an_old_lock_on_a_checkpoints_name_does_not_block_that_name_for_ever(store: Store) -> None:
    lock = foreign_lock(store, 11, "refs/tags/before")
    reopened(store, **HASTY).checkpoints.create("before")
    assert not lock.exists()


def test_a_lock_that_only_looks_like_ours_is_respected(store: Store) -> None:
    """A backup made of hard links (cp -al) gives git's own lock a second link."""
    lock = foreign_lock(store, 0)
    os.link(lock, store.path.parent / "copy-of-the-lock")
    with pytest.raises(LockTimeout):
        reopened(store, **HASTY).put("plan/a.md", "1")
    assert lock.exists()
    lock.unlink()


def test_a_cold_cache_of_ids_that_is_garbage_is_no_obstacle(store: Store, ctx: Context) -> None:
    ctx.put("plan/a.md", "1", id="one")
    ctx.put("plan/a.md", "2", id="two")
    for cache in (store.path / "gitctx" / "cache").iterdir():
        cache.write_bytes(b"garbage" * 1000)
    assert reopened(store).put("plan/a.md", "1", id="one").changed
    assert ids_in_history(store.path).count("one") == 1
    assert_sound(store.path)
