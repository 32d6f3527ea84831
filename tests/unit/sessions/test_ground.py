"""What sessions build on: damage is told and never guessed, and a scan of many sessions costs little."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import StorageError
from gitctx.sessions import Sessions
from gitctx.sessions.ground import Ground
from gitctx.store import Store
from gitctx.values import Revision, SessionRecord
from gitctx_testkit.damage import loose_copy, spoil, tear
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine


@pytest.fixture
def hurt(tmp_path: Path) -> Store:
    """A store that a test may damage."""
    return Store.create(tmp_path / "hurt.git", Config(durability="relaxed"))


def record_in(store: Store) -> SessionRecord:
    return Sessions(store, FakeMachine()).start(actor="coder", hold=False, pid=100).record


def test_sound_ground_is_named(hurt: Store) -> None:
    record = record_in(hurt)
    Context(hurt, actor="coder", session=record.id).checkpoints.create("mark")
    found = Ground(hurt).under(record)
    assert found.fine == ("the head", "the checkpoint mark", "the revision it started on")
    assert (found.damaged, found.unknown) == ((), ())


@pytest.mark.parametrize("part", ["tag", "commit", "tree"])
def test_each_part_of_a_damaged_checkpoint_is_found(hurt: Store, part: str) -> None:
    record = record_in(hurt)
    context = Context(hurt, actor="coder", session=record.id)
    context.put("a", "1")
    context.checkpoints.create("mark")
    context.put("a", "2")
    name = {"tag": "mark", "commit": "mark^{commit}", "tree": "mark^{tree}"}[part]
    path = loose_copy(hurt, git(hurt.path, "rev-parse", name))
    hurt = Store.open(hurt.path)
    ground = Ground(hurt)
    assert ground.under(record).damaged == ()
    spoil(path)
    (told,) = Ground(Store.open(hurt.path)).under(replace(record, last_checkpoint="mark")).damaged
    assert told.startswith("the checkpoint mark can't be read: ")
    unrecorded = Ground(Store.open(hurt.path)).under(record)
    assert "mark" in str(unrecorded.unknown if part == "tag" else unrecorded.damaged)


def test_a_bit_that_flipped_is_found_though_git_could_decode_it(hurt: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_in(hurt)
    read = hurt.repository.read

    def flipped(oid: str) -> tuple[str, bytes]:
        kind, data = read(oid)
        return kind, data.replace(b"gitctx", b"gitctX")

    monkeypatch.setattr(hurt.repository, "read", flipped)
    assert len(Ground(hurt).under(record).damaged) == 2


def test_a_start_that_was_rotated_away_is_no_damage(hurt: Store) -> None:
    found = Ground(hurt).under(replace(record_in(hurt), start_revision=Revision("1" * 40)))
    assert found.damaged == ()
    assert "isn't in this store (any more)" in found.unknown[0]


def test_trouble_of_the_machine_is_no_damage(hurt: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_in(hurt)

    def fail(oid: str) -> None:
        raise StorageError("too many open files")

    monkeypatch.setattr(hurt.repository, "read", fail)
    found = Ground(hurt).under(record)
    assert found.damaged == ()
    assert all("too many open files" in text for text in found.unknown)


def test_what_sessions_share_is_read_once(hurt: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record_in(hurt) for _ in range(5)]
    reads: Counter[str] = Counter()
    read = hurt.repository.read
    monkeypatch.setattr(hurt.repository, "read", lambda oid: (reads.update([oid]), read(oid))[1])
    ground = Ground(hurt)
    for record in records:
        ground.under(record)
    assert max(reads.values()) <= 2  # the head's commit, for itself and as the revision that all started on


def test_many_damaged_objects_start_few_git_processes(hurt: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_in(hurt)
    context = Context(hurt, actor="coder")
    revisions = [context.put("a", str(number)).revision for number in range(40)]
    hurt.repository.finish_compaction()
    for revision in revisions[:-1]:
        tear(loose_copy(hurt, revision))
    asked: list[str] = []
    run = hurt.repository.git
    monkeypatch.setattr(hurt.repository, "git", lambda *words, **more: (asked.append(words[0]), run(*words, **more))[1])
    ground = Ground(hurt)
    found = [ground.under(replace(record, start_revision=revision)) for revision in revisions[:-1]]
    assert 0 < len(asked) <= 16
    assert found[0].damaged
    assert "wasn't looked at" in found[-1].unknown[0]


def test_the_last_checkpoint_of_a_session_is_its_own_and_its_newest(tmp_path: Path) -> None:
    now = [datetime(2026, 11, 3, 10, 0, tzinfo=UTC)]
    store = Store.create(tmp_path / "s.git", Config(durability="relaxed", clock=lambda: now[0]))
    first, second = record_in(store), record_in(store)
    assert Ground(store).last_checkpoint(first) is None
    for name, record in (("b", first), ("a", first), ("c", second)):
        now[0] += timedelta(seconds=1)
        Context(store, actor="coder", session=record.id).checkpoints.create(name)
    Context(store, actor="coder").checkpoints.create("outside")
    git(store.path, "tag", "plain", "context")
    git(store.path, "tag", "-a", "-m", "by hand", "annotated", "context")
    names = {record.id: getattr(Ground(store).last_checkpoint(record), "name", None) for record in (first, second)}
    assert names == {first.id: "a", second.id: "c"}
    Context(store, actor="coder").checkpoints.delete("a")
    left = Ground(store).last_checkpoint(first)
    assert left is not None
    assert left.name == "b"
    recorded = replace(first, last_checkpoint="a")
    assert Ground(store).under(recorded).unknown == ()
