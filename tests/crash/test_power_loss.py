"""A power loss at any moment: what was acknowledged as durable is there, and the store works on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from gitctx_testkit.power_loss import (
    acknowledged_points,
    crashes,
    decisive_points,
    examine,
    record,
)
from gitctx_testkit.power_loss_disk import Disk
from gitctx_testkit.power_loss_recording import Recording, Sync

pytestmark = pytest.mark.strace
ALONE = ("create", "put", "batch", "on_a_relaxed_write", "on_a_push", "checkpoint")
TOGETHER = ("create", "put", "threads", "processes")
MANY = ("create", "many")
SAMPLE = 60
"""Of each recording; the soak takes all."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded")


@pytest.fixture(scope="module")
def recordings(folder: Path) -> dict[tuple[str, ...], Recording]:
    found = {}
    for number, parts in enumerate((ALONE, TOGETHER, MANY)):
        (folder / str(number)).mkdir()
        found[parts] = record(folder / str(number), *parts)
    return found


def content(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        yield str(path.relative_to(root)), path.read_bytes() if path.is_file() else b"/"


@pytest.mark.parametrize("parts", [ALONE, TOGETHER, MANY])
def test_what_was_recorded_is_what_happened(
    recordings: dict[tuple[str, ...], Recording], folder: Path, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    disk = Disk(recordings[parts])
    disk.go_to(len(recordings[parts].operations))
    disk.after("nothing", Random(0)).lay_down(tmp_path / "replayed")
    real = folder / str(list(recordings).index(parts)) / "root"
    assert dict(content(tmp_path / "replayed")) == dict(content(real))


@pytest.mark.parametrize("parts", [ALONE, TOGETHER, MANY])
def test_no_power_loss_takes_what_was_acknowledged(
    recordings: dict[tuple[str, ...], Recording], parts: tuple[str, ...]
) -> None:
    recording, random = recordings[parts], Random(20)
    points = set(acknowledged_points(recording))
    points |= set(random.sample(decisive_points(recording), SAMPLE // 2))
    found = list(crashes(recording, points, random))
    assert len(found) > SAMPLE
    assert examine(random.sample(found, SAMPLE)) == []


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("the bytes of a pack", r"/objects/pack/pack-\w+\.keep$"),
        ("the bytes of an index", r"/objects/pack/tmp_idx_"),
        ("the names of packs", r"/objects/pack$"),
        ("the ref's new value", r"/gitctx/locks/"),
        ("the ref's name", r"/refs/heads$"),
        ("a checkpoint's name", r"/refs/tags$"),
        ("what a write builds on", r"^$"),
    ],
)
def test_a_forgotten_sync_is_found(recordings: dict[tuple[str, ...], Recording], what: str, pattern: str) -> None:
    recording, dropped = recordings[ALONE].without_syncs(lambda sync: re.search(pattern, sync.path) is not None)
    assert dropped, f"nothing syncs {what}, or under another name: {pattern}"
    found = list(crashes(recording, acknowledged_points(recording), Random(1)))
    assert examine(found, stop_at_first=True), f"{what} needn't be synced"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("parts", [ALONE, TOGETHER, MANY])
def test_no_power_loss_anywhere_takes_what_was_acknowledged(
    recordings: dict[tuple[str, ...], Recording], parts: tuple[str, ...], seed: int
) -> None:
    recording = recordings[parts]
    every = range(1, len(recording.operations) + 1)
    assert examine(list(crashes(recording, every, Random(seed)))) == []


@pytest.mark.soak
def test_each_single_forgotten_sync_is_found(recordings: dict[tuple[str, ...], Recording]) -> None:
    """But for those of a plain push, which the next durable write flushes anyway; and such a flush itself, which may
    come when all is on disk already.
    """
    recording = recordings[ALONE]
    unnoticed = []
    for number, sync in enumerate(recording.operations):
        if (
            isinstance(sync, Sync)
            and sync.node is not None
            and not re.search(r"/tmp_objdir-incoming|/context\.lock$", sync.path)
        ):
            without, _ = recording.without_syncs(lambda item, sync=sync: item is sync)  # type: ignore[misc]
            points = [point for point in acknowledged_points(without) if point > number][:3]
            if not examine(list(crashes(without, points, Random(1))), stop_at_first=True):
                unnoticed.append(f"{number}: {sync.what} {sync.path}")
    assert unnoticed == []
