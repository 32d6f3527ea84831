"""The demo's plan: each file in exactly one piece, each path with a key of its own that is allowed."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitctx.format.keys import check_key
from gitctx.repository.project import TrackedFile
from gitctx_cli.demo.plan import FINDINGS, Piece, add_to_summary, advice, choose, cut, finding_key, items_of, shown

SEGMENTS = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda data: data.replace(b"/", b"_").replace(b"\0", b"_")),
    st.text(alphabet='aé~-%.é\\ "git', min_size=1, max_size=8).map(str.encode),
    st.sampled_from([b".gitignore", b"git~1", b"a.json", b"%41", b"-x", b"~00", b"end.", b"end ", b"con\x01"]),
).filter(lambda segment: segment not in (b".", b".."))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=6).map(b"/".join)


@given(PATHS)
def test_every_path_has_a_key_that_is_allowed_and_leads_back_to_it(path: bytes) -> None:
    key = check_key(finding_key(path))
    assert key.startswith(FINDINGS)
    if "%long-" not in key:
        assert unquote_to_bytes(key.removeprefix(FINDINGS).removesuffix(".json")) == path


@given(st.sets(PATHS, min_size=2, max_size=6))
def test_no_two_paths_share_a_key_and_no_key_is_a_folder_of_another(paths: set[bytes]) -> None:
    clean = {path for path in paths if not any(other.startswith(path + b"/") for other in paths)}
    keys = {finding_key(path) for path in clean}
    assert len(keys) == len(clean)
    assert not [key for key in keys for other in keys if other.startswith(key + "/")]


def test_a_file_and_a_folder_of_its_name_with_json_do_not_clash() -> None:
    assert not finding_key(b"data.json/x").startswith(finding_key(b"data") + "/")


def test_keys_of_ordinary_paths_read_like_the_paths() -> None:
    assert finding_key(b"src/a b/mod.py") == "finding/src/a b/mod.py.json"
    assert finding_key("über.md".encode()) == "finding/über.md.json"
    assert finding_key(b".gitignore") == "finding/%2Egitignore.json"


def test_paths_are_shown_without_anything_that_drives_a_terminal() -> None:
    assert shown(b"caf\xe9\x1b[31m\n") == "caf\\xe9\\x1b[31m\\n"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 63, 400, 401, 5000, 20_000])
def test_each_file_is_in_exactly_one_piece(count: int) -> None:
    items = items_of([TrackedFile(f"{number}".encode(), "0" * 40, "100644", 1) for number in range(count)], {})
    pieces = cut(items)
    assert [item for piece in pieces for item in piece.items] == list(items)
    assert all(1 <= len(piece.items) <= 1000 for piece in pieces)
    assert len({piece.name for piece in pieces}) == len(pieces) >= min(count, 8)


def test_a_piece_comes_back_from_the_plan_as_it_was() -> None:
    piece = cut(items_of([TrackedFile(b"caf\xe9", "0" * 40, "100644", None)], {}))[0]
    assert Piece.from_json(piece.to_json()) == piece


def test_of_too_many_files_those_nearest_to_the_top_are_taken() -> None:
    paths = [b"a/deep/down", b"a/near", b"top", b"z"]
    files = [TrackedFile(path, "0" * 40, "100644", 1) for path in paths]
    assert [file.path for file in choose(files, 3)] == [b"a/near", b"top", b"z"]


def finding(path: str, lines: int | None, *imports: str, todo: int = 0) -> dict[str, object]:
    return {
        "path": path,
        "language": "Python",
        "lines": lines,
        "todo": [{"line": number, "text": "TODO"} for number in range(todo)],
        "imports": [{"file": each, "surveyed_by": None} for each in imports],
    }


def test_a_piece_that_is_counted_twice_counts_once() -> None:
    findings = [finding("a", 3, "b", todo=2), finding("logo", None, "b")]
    once = add_to_summary(None, "survey-1", findings)
    assert once == {
        "files": 2,
        "lines": 3,
        "todo": 2,
        "languages": {"Python": {"files": 2, "lines": 3}},
        "imported": {"b": 2},
        "pieces": ["survey-1"],
    }
    assert add_to_summary(once, "survey-1", findings) == once
    assert add_to_summary(once, "survey-2", findings)["imported"] == {"b": 4}


def test_the_advice_names_what_most_import_or_else_what_is_largest() -> None:
    assert "- `b`, imported by 2 files" in advice([finding("a", 3, "b"), finding("c", 4, "b"), finding("b", 1)])
    assert "- `c`, 4 lines" in advice([finding("a", 3), finding("c", 4, todo=1)])
    assert "- `c`: 1 TODO or FIXME" in advice([finding("c", 4, todo=1)])
