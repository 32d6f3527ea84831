"""The lock on a lease has to go when its holder goes, and only then; trying it must not disturb anybody."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitctx.sessions.leases import Lease, Leases, is_file_name
from gitctx.values import SessionId

AT = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)
LEASE = Lease(SessionId("01S"), "01I", "host", "boot", "space", 100, "5000", held=False)


def test_a_lease_is_read_as_it_was_put_with_its_beat(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    assert leases.ids() == []
    assert leases.put(LEASE, AT) is None
    seen = leases.read("01S")
    assert seen is not None
    assert (seen.lease, seen.locked, seen.beat_at) == (LEASE, False, AT)
    assert leases.ids() == ["01S"]


def test_a_held_lease_is_locked_until_it_is_closed_however_often_the_lock_is_tried(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    lock = leases.put(LEASE._replace(held=True), AT)
    assert lock is not None
    for _ in range(3):
        seen = leases.read("01S")
        assert seen is not None
        assert seen.locked
    os.close(lock)
    seen = leases.read("01S")
    assert seen is not None
    assert not seen.locked


def test_a_reader_who_tries_the_lock_does_not_look_like_a_holder(tmp_path: Path) -> None:
    import fcntl

    leases = Leases(tmp_path)
    leases.put(LEASE, AT)
    descriptor = os.open(leases.folder / "01S", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    seen = leases.read("01S")
    os.close(descriptor)
    assert seen is not None
    assert not seen.locked


def test_a_lease_put_anew_replaces_the_file(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    lock = leases.put(LEASE._replace(held=True), AT)
    assert lock is not None
    assert leases.is_at("01S", lock)
    leases.put(LEASE, AT + timedelta(minutes=1))
    assert not leases.is_at("01S", lock)
    leases.remove("01S")
    assert not leases.is_at("01S", lock)
    os.close(lock)


def test_a_lease_that_cannot_be_put_leaves_nothing(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    (leases.folder / "01S").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        leases.put(LEASE._replace(held=True), AT)
    assert os.listdir(leases.folder) == ["01S"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"session": "01S"}', b"\xff"])
def test_a_damaged_lease_counts_as_none(tmp_path: Path, data: bytes) -> None:
    leases = Leases(tmp_path)
    leases.folder.mkdir()
    (leases.folder / "01S").write_bytes(data)
    assert leases.read("01S") is None
    assert list(leases.all()) == []


def test_a_lease_under_the_name_of_another_session_counts_as_none(tmp_path: Path) -> None:
    leases = Leases(tmp_path)
    leases.put(LEASE, AT)
    (leases.folder / "01S").rename(leases.folder / "01T")
    assert leases.read("01T") is None


@pytest.mark.parametrize("id", ["", "..", "a/b", ".hidden", "x" * 65, "ä"])
def test_an_id_never_leads_out_of_the_folder(tmp_path: Path, id: str) -> None:
    assert not is_file_name(id)
    assert Leases(tmp_path).read(id) is None
    Leases(tmp_path).remove(id)


def test_a_durable_lease_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut an empty lease would prove nothing, and its session would never be found dead."""
    done: list[str] = []
    rename = os.rename
    monkeypatch.setattr(os, "fsync", lambda file: done.append("sync"))
    monkeypatch.setattr(os, "rename", lambda old, new: (done.append("rename"), rename(old, new)))
    Leases(tmp_path).put(LEASE, AT, durable=True)
    assert done == ["sync", "rename", "sync"]
    done.clear()
    Leases(tmp_path).put(LEASE, AT)
    assert done == ["rename"]
