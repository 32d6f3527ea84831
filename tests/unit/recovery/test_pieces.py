"""The pieces of recovery on bytes alone: what is readable of damaged files, and what a subject tells."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest

from gitctx.format.messages import decode_commit, rewritten
from gitctx.format.objects import make_object
from gitctx.format.packs import make_pack
from gitctx.recovery import bodies, frame, names, salvage
from gitctx.recovery.shadow import Shadow
from gitctx.recovery.subjects import named_keys
from gitctx.store import Store
from gitctx_testkit.git import git

STORE_ID = "01M88YY1ER4TFF59TDWH9EDD1R"
A, B, C = "a" * 40, "b" * 40, "c" * 40


# -- subjects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "put", "removed", "either", "exact"),
    [
        ("gitctx: put plan/a.md", {"plan/a.md"}, set(), set(), True),
        ("append log.md", {"log.md"}, set(), set(), True),
        ("remove plan/a.md", set(), {"plan/a.md"}, set(), True),
        ("claim job", {".gitctx/claims/job"}, set(), set(), True),
        ("release job", set(), {".gitctx/claims/job"}, set(), True),
        ("config claims.ttl_s", set(), set(), {".gitctx/settings.toml"}, True),
        ("batch a, b", set(), set(), {"a", "b"}, True),
        ("batch a, b, c and 4 more", set(), set(), {"a", "b", "c"}, False),
        ("put plan/a.md and 2 more", {"plan/a.md"}, set(), set(), False),
        ("move a to b", {"b"}, {"a"}, set(), True),
        ("move a to b to c", set(), set(), set(), False),
        ("move plan/ to old/", set(), set(), set(), False),
        ("restore mark", set(), set(), set(), False),
        ("undo 3f2a9c1b40 (put a)", set(), set(), set(), False),
        ("somebody's own words", set(), set(), set(), False),
        ("", set(), set(), set(), False),
    ],
)
def test_a_subject_names_keys_and_says_whether_these_are_all(
    subject: str, put: set[str], removed: set[str], either: set[str], exact: bool
) -> None:
    found = named_keys(subject)
    assert (found.put, found.removed, found.either, found.exact) == (put, removed, either, exact)


# -- reflogs and packed refs ------------------------------------------------------------------------------------------

LINE = f"{A} {B} gitctx <gitctx@host> 1 +0000\tgitctx: put k\n".encode()


@pytest.mark.parametrize(
    ("data", "count", "whole"),
    [
        (LINE, 1, True),
        (LINE * 3, 3, True),
        (b"", 0, True),
        (LINE + LINE[:50], 1, False),
        (LINE + b"\0" * 200, 1, False),
        (b"\0" * 100 + LINE, 1, False),
        (LINE + b"\n" + LINE, 2, False),
        (LINE + b"garbage\n" + LINE, 2, False),
        (LINE.replace(b"gitctx: put k", b""), 1, True),
    ],
)
def test_every_whole_line_of_a_reflog_is_read_and_anything_else_is_noticed(
    data: bytes, count: int, whole: bool
) -> None:
    lines, found = names.parse_log(data)
    assert (len(lines), found) == (count, whole)
    assert all(line.old == A for line in lines)


def test_a_line_of_a_reflog_is_written_as_it_was_read() -> None:
    (line,), _ = names.parse_log(LINE)
    assert line.raw() == LINE
    assert line.message == "gitctx: put k"


@pytest.mark.parametrize(
    ("data", "found", "broken"),
    [
        (b"# pack-refs with: peeled fully-peeled sorted \n%b refs/heads/x\n" % A.encode(), {"refs/heads/x": A}, False),
        (b"%b refs/tags/t\n^%b\n" % (A.encode(), B.encode()), {"refs/tags/t": A}, False),
        (b"%b refs/heads/x\n%b refs/he" % (A.encode(), B.encode()), {"refs/heads/x": A}, True),
        (b"%b refs/heads/x" % A.encode(), {}, True),
        (b"\0" * 80, {}, True),
        (b"", {}, False),
    ],
)
def test_packed_refs_are_read_as_far_as_they_go(data: bytes, found: dict[str, str], broken: bool) -> None:
    assert names.parse_packed(data) == (found, broken)
    assert names.parse_packed(names.packed_text(found)) == (found, False)


# -- the configuration ------------------------------------------------------------------------------------------------


def test_a_damaged_configuration_keeps_every_line_that_can_be_read(tmp_path: Path) -> None:
    raw = (
        b'[core]\n\tbare = true\n\tfsyncMethod = batch\n[remote "origin"]\n\turl = ssh://somewhere/store.git\n'
        b"\tfetch = +refs/heads/*:refs/remotes/origin/*\n\tfetch = +refs/tags/*:refs/tags/*\n"
        b"[gitctx]\n\tformat = 1\n\0\0\0\0\n[broken\n\tkey = value\n[user]\n\tname = somebody\n"
    )
    rebuilt = frame.rebuilt_config(raw, STORE_ID)
    (tmp_path / "config").write_bytes(rebuilt)

    def value(name: str) -> list[str]:
        return git(tmp_path, "config", "--file", "config", "--get-all", name, check=False).splitlines()

    assert value("remote.origin.url") == ["ssh://somewhere/store.git"]
    assert len(value("remote.origin.fetch")) == 2
    assert value("core.fsyncmethod") == ["batch"]
    assert value("user.name") == ["somebody"]
    assert value("gitctx.store") == [STORE_ID]
    assert value("core.bare") == ["true"]
    assert value("core.logallrefupdates") == ["always"]
    assert value("broken.key") == []


# -- packs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shadow(store: Store) -> Shadow:
    return Shadow(store.path, git_timeout_s=60)


def _delta_pack(tmp_path: Path, *options: str) -> tuple[bytes, bytes, dict[str, bytes]]:
    """A pack that git made of many similar files, so that most are deltas; and what it holds."""
    rng = random.Random(5)
    git(tmp_path, "init", "-q", "--bare", "r.git")
    folder = tmp_path / "r.git"
    text = bytearray(rng.randbytes(3000).hex().encode())
    held: dict[str, bytes] = {}
    for number in range(40):
        text[rng.randrange(len(text))] = 65 + number % 26
        text += b"line %d\n" % number
        item = make_object("blob", bytes(text))
        path = folder / "objects" / item.oid[:2] / item.oid[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(b"blob %d\0" % len(item.data) + item.data))
        held[item.oid] = item.data
    name = git(folder, "pack-objects", "-q", "--window=20", *options, "p", stdin="\n".join(held) + "\n")
    base = folder / f"p-{name}"
    return base.with_suffix(".pack").read_bytes(), base.with_suffix(".idx").read_bytes(), held


@pytest.mark.parametrize("options", [(), ("--delta-base-offset",)], ids=["by name", "by offset"])
def test_a_whole_pack_with_deltas_is_read_in_full(shadow: Shadow, tmp_path: Path, options: tuple[str, ...]) -> None:
    pack, index, held = _delta_pack(tmp_path, *options)
    assert len(pack) < sum(map(len, held.values())) / 4, "there are deltas"
    saved, lost = salvage.salvage(pack, salvage.rows_of(index), shadow)
    assert (saved, lost) == (len(held), set())
    assert all(shadow.repository.read(oid) == ("blob", data) for oid, data in held.items())


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_pack_gives_what_it_can_and_never_anything_else(shadow: Shadow, tmp_path: Path, seed: int) -> None:
    pack, index, held = _delta_pack(tmp_path, *(["--delta-base-offset"] if seed % 2 else []))
    rng = random.Random(seed)
    data = bytearray(pack)
    for _ in range(3):
        data[rng.randrange(12, len(data) - 20)] ^= 1 << rng.randrange(8)
    saved, lost = salvage.salvage(bytes(data), salvage.rows_of(index), shadow)
    assert saved + len(lost) == len(held)
    assert lost
    for oid in held.keys() - lost:
        assert shadow.repository.read(oid) == ("blob", held[oid])
    assert not any(shadow.repository.has(oid) for oid in lost)


def test_a_damaged_pack_without_an_index_gives_what_comes_before_and_after_the_fault(shadow: Shadow) -> None:
    items = [make_object("blob", random.Random(number).randbytes(300)) for number in range(20)]
    pack, index = make_pack(items)
    rows = salvage.rows_of(index)
    assert rows is not None
    data = bytearray(pack)
    for row in rows[3:5]:
        data[row.offset + 100] ^= 4
    assert salvage.salvage(bytes(data), None, shadow) == (18, set())
    assert [item.oid for item in items if not shadow.repository.has(item.oid)] == [row.oid for row in rows[3:5]]


def test_half_a_pack_without_an_index_gives_its_beginning(shadow: Shadow) -> None:
    items = [make_object("blob", random.Random(number).randbytes(500)) for number in range(20)]
    pack = make_pack(items).pack_bytes
    saved, lost = salvage.salvage(pack[: len(pack) // 2], None, shadow)
    assert (saved, lost) == (10, set())
    assert [item for item in items if shadow.repository.has(item.oid)] == items[:10]


def test_a_whole_pack_without_an_index_gives_everything(shadow: Shadow, tmp_path: Path) -> None:
    pack, _, held = _delta_pack(tmp_path)
    assert salvage.salvage(pack, None, shadow) == (len(held), set())
    assert all(shadow.repository.read(oid) == ("blob", data) for oid, data in held.items())


@pytest.mark.parametrize("index", [b"", b"\xfftOc", b"\xfftOc\0\0\0\2" + b"\xff" * 2000, b"x" * 5000])
def test_an_index_that_is_none_tells_nothing(index: bytes) -> None:
    assert salvage.rows_of(index) is None


def test_an_index_that_lies_loses_nothing_but_what_it_lies_about(shadow: Shadow) -> None:
    items = [make_object("blob", b"value %d" % number) for number in range(10)]
    pack, index = make_pack(items)
    rows = salvage.rows_of(index)
    assert rows is not None
    liar = [salvage.IndexRow(row.oid, 99_999_999 if place == 3 else row.offset) for place, row in enumerate(rows)]
    saved, lost = salvage.salvage(pack, liar, shadow)
    assert (saved, lost) == (9, {rows[3].oid})


@pytest.mark.parametrize("at", [0, 3, 5, 8, 20, -1, -20, -21])
def test_a_flipped_bit_anywhere_in_a_pack_is_noticed(tmp_path: Path, at: int) -> None:
    pack = bytearray(make_pack([make_object("blob", b"value")]).pack_bytes)
    path = tmp_path / "p.pack"
    path.write_bytes(bytes(pack))
    assert bodies.pack_trailer(path) == bytes(pack[-20:])
    pack[at] ^= 0x40
    path.write_bytes(bytes(pack))
    assert bodies.pack_trailer(path) is None


# -- revisions made anew ----------------------------------------------------------------------------------------------

RAW = (
    f"tree {A}\nparent {B}\nauthor planner <planner@gitctx.invalid> 1 +0000\n"
    f"committer gitctx <gitctx@host> 2 +0000\n\nput k\n\nwhy\n\nGitctx-Op: put\nGitctx-Id: one\n"
)


def test_a_revision_made_anew_keeps_all_but_its_tree_and_parents() -> None:
    before = decode_commit(RAW.encode())
    after = decode_commit(rewritten(RAW.encode(), tree=C, parents=[C, B], original=A))
    assert (after.tree, after.parents) == (C, (C, B))
    assert (after.author, after.committer, after.subject, after.message) == before[2:6]
    assert after.trailers == {**before.trailers, "Gitctx-Revision": (A,)}


def test_a_foreign_revision_made_anew_gets_a_paragraph_of_its_own_and_loses_its_signature() -> None:
    head = RAW.split("\n\n", maxsplit=1)[0]
    raw = head + "\ngpgsig -----BEGIN\n abc\n -----END\n\nby hand\n\nwith: words and\nmore words\n"
    after = rewritten(raw.encode(), tree=C, parents=[B], original=A)
    assert b"gpgsig" not in after
    assert b"abc" not in after
    decoded = decode_commit(after)
    assert (decoded.subject, decoded.message) == ("by hand", "with: words and\nmore words")
    assert decoded.trailers == {"Gitctx-Revision": (A,)}
