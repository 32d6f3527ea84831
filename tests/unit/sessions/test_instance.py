"""A copied store must not count as the one it was copied from: its leases prove nothing there."""

from __future__ import annotations

import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.sessions import instance
from gitctx.sessions.instance import ensure_instance, read_instance


def test_an_instance_is_made_once_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "gitctx"
    assert read_instance(folder, "boot") == ""
    made = ensure_instance(folder, "boot", Config())
    assert made
    assert ensure_instance(folder, "boot", Config()) == made
    assert read_instance(folder, "later boot") == made
    assert os.listdir(folder) == ["instance"]


def test_of_many_makers_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: ensure_instance(tmp_path / "gitctx", "boot", Config()), range(64)))
    assert len(made) == 1


@pytest.mark.parametrize("how", ["copy", "rename of a copy over it"])
def test_a_copy_is_another_instance(tmp_path: Path, how: str) -> None:
    original = ensure_instance(tmp_path / "one", "boot", Config())
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copy2)
    if how != "copy":
        os.replace(tmp_path / "two" / "instance", tmp_path / "one" / "instance")
        assert read_instance(tmp_path / "one", "boot") == ""
        return
    assert read_instance(tmp_path / "two", "boot") == ""
    assert ensure_instance(tmp_path / "two", "boot", Config()) != original
    assert read_instance(tmp_path / "one", "boot") == original


def test_a_moved_store_stays_the_same_instance(tmp_path: Path) -> None:
    original = ensure_instance(tmp_path / "one", "boot", Config())
    (tmp_path / "one").rename(tmp_path / "two")
    assert read_instance(tmp_path / "two", "boot") == original


def test_a_device_number_only_counts_within_one_boot(tmp_path: Path) -> None:
    made = ensure_instance(tmp_path, "boot", Config())
    status = os.stat(tmp_path / "instance")
    with open(tmp_path / "instance", "r+b") as file:
        file.write(f"{made} {status.st_dev + 1} {status.st_ino} boot\n".encode())
        file.truncate()
    assert read_instance(tmp_path, "boot") == ""
    assert read_instance(tmp_path, "next boot") == made


def test_a_stopped_maker_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "_PATIENCE_S", 0.02)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    made = ensure_instance(tmp_path, "boot", Config())
    os.close(descriptor)
    assert read_instance(tmp_path, "boot") == made


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"only three words", b"a b c d e"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "instance").write_bytes(data)
    assert read_instance(tmp_path, "boot") == ""
    assert ensure_instance(tmp_path, "boot", Config())
