"""Packs as bytes: what we write and merge is what git reads, by git's own strict checks."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitctx.format import messages
from gitctx.format.objects import (
    BLOB,
    Node,
    Object,
    make_object,
    serialise_tree,
)
from gitctx.format.packs import Pack, Source, count_by_size, make_pack, merge, packs_in_multi_index, read_source
from gitctx_testkit.git import clean_environment, git

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def git_bytes(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["git", *arguments], cwd=folder, env=clean_environment(), input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    return tmp_path / "bare.git"


def sample() -> list[Object]:
    """A commit and a tag on it over blobs of every size class of a pack's header."""
    rng = random.Random(1)
    sizes = (0, 1, 15, 16, 17, 127, 128, 2047, 2048, 2049, 70_000, 300_000)
    blobs = [make_object("blob", rng.randbytes(size)) for size in sizes]
    tree = make_object("tree", serialise_tree({f"f{n}": Node(BLOB, blob.oid) for n, blob in enumerate(blobs)}))
    who = messages.actor_identity("coder \u00e9", AT)
    raw = messages.encode_commit(tree=tree.oid, parents=[], author=who, committer=who, message="one\n")
    commit = make_object("commit", raw)
    tag = make_object("tag", messages.encode_tag(target=commit.oid, name="v1", tagger=who, message="one\n"))
    return [*blobs, tree, commit, tag]


def test_git_indexes_our_pack_strictly_and_makes_the_very_index_that_we_made(bare: Path) -> None:
    objects = sample()
    pack, index = make_pack(objects)
    name = pack[-20:].hex()
    place = bare / "objects" / "pack" / f"pack-{name}.pack"
    place.write_bytes(pack)
    said = git(bare, "index-pack", "--strict", "--fsck-objects", "-o", "theirs.idx", str(place))
    assert name in said
    assert (bare / "theirs.idx").read_bytes() == index
    place.with_suffix(".idx").write_bytes(index)
    git(bare, "verify-pack", str(place))
    git(bare, "fsck", "--strict", "--full")
    for item in objects:
        assert git_bytes(bare, "cat-file", item.kind, item.oid) == item.data


def test_a_pack_whose_ids_share_and_miss_first_bytes_is_found_by_its_fan_out(bare: Path) -> None:
    for count in (0, 1, 2, 700):
        pack, index = make_pack(blobs(range(count)))
        place = bare / f"{count}.pack"
        place.write_bytes(pack)
        git(bare, "index-pack", "--strict", "-o", f"{count}.idx", str(place))
        assert (bare / f"{count}.idx").read_bytes() == index


def blobs(numbers: Iterable[int]) -> list[Object]:
    return [make_object("blob", b"%d" % number) for number in numbers]


def source(pack: Pack) -> Source:
    found = read_source(pack)
    assert found is not None
    return found


def placed(bare: Path, pack: Pack, name: str) -> Path:
    place = bare / "objects" / "pack" / f"pack-{name}.pack"
    place.write_bytes(pack.pack_bytes)
    place.with_suffix(".idx").write_bytes(pack.index_bytes)
    return place


def test_an_object_given_twice_is_packed_once(bare: Path) -> None:
    assert make_pack([*blobs([1, 2]), *blobs([2, 1])]) == make_pack(blobs([1, 2]))


def test_merged_packs_hold_each_object_once_and_git_finds_nothing_wrong(bare: Path) -> None:
    objects = sample()
    parts = [objects[:4], objects[3:9], [], objects[5:], objects]
    merged = merge([source(make_pack(part)) for part in parts])
    place = placed(bare, merged, "1" * 40)
    git(bare, "verify-pack", str(place))
    git(bare, "index-pack", "--strict", "-o", "theirs.idx", str(place))
    assert (bare / "theirs.idx").read_bytes() == merged.index_bytes
    git(bare, "fsck", "--strict", "--full")
    for item in objects:
        assert git_bytes(bare, "cat-file", item.kind, item.oid) == item.data
    assert count_by_size(len(merged.index_bytes)) == len(objects)


def test_merging_copies_the_entries_as_they_are() -> None:
    objects = sample()
    whole = make_pack(objects)
    assert merge([source(make_pack([item])) for item in objects]) == whole


def test_a_damaged_pack_is_never_merged() -> None:
    whole, other = make_pack(sample()), make_pack(blobs([1]))
    for at in range(0, len(whole.pack_bytes), 5_001):
        torn = bytearray(whole.pack_bytes)
        torn[at] ^= 1
        assert read_source(Pack(bytes(torn), whole.index_bytes)) is None
    for at in range(0, len(whole.index_bytes), 101):
        torn = bytearray(whole.index_bytes)
        torn[at] ^= 1
        assert read_source(Pack(whole.pack_bytes, bytes(torn))) is None
    for lost in (1, 20, 21, 1_000, len(whole.index_bytes), len(whole.pack_bytes) - 12, len(whole.pack_bytes)):
        assert read_source(Pack(whole.pack_bytes[:-lost], whole.index_bytes)) is None
        assert read_source(Pack(whole.pack_bytes, whole.index_bytes[:-lost])) is None
    assert read_source(Pack(whole.pack_bytes, other.index_bytes)) is None


def test_a_pack_with_deltas_is_never_merged(bare: Path) -> None:
    rng = random.Random(2)
    base = rng.randbytes(20_000)
    for number in range(3):
        git_bytes(bare, "hash-object", "-w", "--stdin", stdin=base + b"%d" % number)
    listed = git_bytes(bare, "cat-file", "--batch-check=%(objectname)", "--batch-all-objects")
    name = git_bytes(bare, "pack-objects", "objects/pack/pack", stdin=listed).decode().strip()
    place = bare / "objects" / "pack" / f"pack-{name}.pack"
    assert b"chain length" in git_bytes(bare, "verify-pack", "-v", str(place))
    assert read_source(Pack(place.read_bytes(), place.with_suffix(".idx").read_bytes())) is None


def test_the_packs_of_a_multi_pack_index_are_known(bare: Path) -> None:
    for number in range(3):
        placed(bare, make_pack(blobs([number])), f"{number}" * 40)
    git(bare, "multi-pack-index", "write")
    data = (bare / "objects" / "pack" / "multi-pack-index").read_bytes()
    assert packs_in_multi_index(data) == [f"pack-{f'{number}' * 40}.idx" for number in range(3)]
    for other in (b"", b"garbage", b"MIDX" + b"\0" * 40):
        with pytest.raises(ValueError, match="multi-pack-index"):
            packs_in_multi_index(other)
