"""Entries by the command: put, get, ls, rm, mv, append, add, undo, edit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def test_what_is_put_is_got_byte_for_byte(cli: Any) -> None:
    for value in (b"", b"plain", b"no newline at the end", b"a\r\nb\0\xff\n", "käse\n".encode()):
        cli("put", "k", "-", stdin=value)
        assert cli("get", "k").out == value


def test_a_value_on_the_command_line_gets_nothing_appended(cli: Any) -> None:
    cli("put", "k", "one\ntwo")
    assert cli("get", "k").out == b"one\ntwo"


def test_a_value_comes_from_a_pipe_a_file_or_after_two_dashes(cli: Any) -> None:
    cli("put", "piped", stdin=b"from a pipe")
    (cli.folder / "draft").write_bytes(b"from a file")
    cli("put", "filed", "--file", "draft")
    cli("put", "dashed", "--", "- an item")
    assert [cli("get", key).out for key in ("piped", "filed", "dashed")] == [
        b"from a pipe",
        b"from a file",
        b"- an item",
    ]


def test_no_value_on_a_terminal_is_a_usage_error_and_never_waits(cli: Any, terminal: Any) -> None:
    assert "there is no VALUE" in cli("put", "k", stdin=terminal(b"typed"), code=2).err
    assert "there is no VALUE" in cli("put", "k", stdin=None, code=2).err
    assert cli("put", "k", "-", stdin=terminal(b"typed")).code == 0


def test_two_sources_of_a_value_are_refused(cli: Any) -> None:
    assert "contradict" in cli("put", "k", "text", "--file", "draft", code=2).err
    assert "can't be read" in cli("put", "k", "--file", "missing", code=5).err


def test_a_write_says_one_line_and_quiet_says_none(cli: Any) -> None:
    said = cli("put", "plan/a", "1")
    assert said.out == b""
    assert said.err == f"put plan/a {cli.log('-n1')[0]['revision'][:10]}\n"
    assert cli("put", "plan/a", "2", "-q").err == ""
    assert cli("put", "plan/a", "2").err == "unchanged plan/a\n"


def test_a_put_of_what_is_there_makes_no_write(cli: Any) -> None:
    first = cli.changed("put", "k", "v")
    again = cli.changed("put", "k", "v")
    assert (first["changed"], again["changed"], again["head"]) == (True, False, first["revision"])


def test_preconditions_are_kept(cli: Any) -> None:
    etag = cli.changed("put", "k", "1")["entries"][0]["etag"]
    cli("put", "k", "2", "--if-absent", code=4)
    cli("put", "k", "2", "--if-match", etag)
    cli("put", "k", "3", "--if-match", etag, code=4)
    cli("rm", "k", "--if-match", etag, code=4)
    assert cli("get", "k").out == b"2"


def test_if_match_and_if_absent_contradict_each_other(cli: Any) -> None:
    cli("put", "k", "v", "--if-match", "0" * 40, "--if-absent", code=5)


def test_an_expected_head_that_has_moved_stops_the_write(cli: Any) -> None:
    head = cli.changed("put", "k", "1")["head"]
    cli("put", "other", "1")
    for words in (("put", "k", "2"), ("rm", "k")):
        assert cli(*words, "--expected-head", head, "--json", code=4).error["code"] == "precondition_failed"


def test_the_strategy_settles_what_changed_since_the_base(cli: Any) -> None:
    base = cli.changed("put", "k", "1")["revision"]
    theirs = cli.changed("put", "k", "2")["entries"][0]["etag"]
    failed = cli("put", "k", "3", "--base", base, "--strategy", "fail", "--json", code=4).error
    assert (failed["code"], failed["details"]["theirs"]) == ("merge_conflict", theirs)
    won = cli("put", "k", "3", "--base", base, "--json")
    assert won.json["superseded"] == [theirs]
    assert theirs in won.err


def test_two_changes_of_one_base_are_merged(cli: Any) -> None:
    cli("config", "set", "merge.status/", '{"counters": ["/done"]}')
    base = cli.changed("put", "status/a.json", stdin=b'{\n  "done": 1\n}\n')["revision"]
    for name, done in (("x", 2), ("y", 4)):
        value = f'{{\n  "done": {done},\n  "{name}": true\n}}\n'
        merged = cli("put", "status/a.json", value, "--base", base, "--strategy", "merge", "--json")
        assert merged.json["superseded"] == []
        assert ("read it before you change it again" in merged.err) is (name == "y")
    assert cli("get", "status/a.json").text == '{\n  "done": 5,\n  "x": true,\n  "y": true\n}\n'
    cli("put", "note", "one\ntwo\nthree\n")
    base = cli.changed("put", "other", "1")["head"]
    cli("put", "note", "ONE\ntwo\nthree\n", "--base", base, "--strategy", "merge")
    cli("put", "note", "one\ntwo\nTHREE\n", "--base", base, "--strategy", "merge")
    assert cli("get", "note").text == "ONE\ntwo\nTHREE\n"
    theirs = cli("get", "note", "--json").json["etag"]
    assert cli("put", "note", "Un\n", "--base", base, "--strategy", "merge", "--json").json["superseded"] == [theirs]
    assert cli("get", "note").text == "Un\n"


def test_a_repeated_id_writes_once(cli: Any) -> None:
    first = cli.changed("put", "k", "v", "--id", "once")
    cli("put", "k", "w")
    assert cli.changed("put", "k", "v", "--id", "once")["revision"] == first["revision"]
    assert cli("get", "k").out == b"w"
    assert cli("put", "k", "other", "--id", "once", "--json", code=5).error["code"] == "id_reused"


def test_ls_lists_below_a_folder_at_a_revision_and_at_most_so_many(cli: Any) -> None:
    before = cli.changed("batch", stdin=b'{"op":"put","key":"a/1","value":"x"}\n{"op":"put","key":"b","value":"yy"}')
    cli("rm", "b")
    assert cli("ls").lines == ["a/1"]
    assert cli("ls", "--at", before["revision"]).lines == ["a/1", "b"]
    assert cli("ls", "-n", "1", "--at", before["revision"]).lines == ["a/1"]
    assert cli("ls", "a").lines == cli("ls", "a/").lines == ["a/1"]
    assert cli("ls", "nothing/here").lines == []
    etag = before["entries"][1]["etag"]
    assert cli("ls", "-l", "b", "--at", before["revision"]).lines == [f"{etag[:10]}         2 b"]


def test_ls_keeps_gitctxs_own_to_itself(cli: Any) -> None:
    cli("config", "set", "claims.ttl_s", "60")
    assert cli("ls").lines == []
    assert cli("ls", ".gitctx").lines == [".gitctx/settings.toml"]


def test_rm_of_nothing_is_an_error_unless_that_is_fine(cli: Any) -> None:
    cli("rm", "k", code=3)
    assert cli.changed("rm", "k", "--missing-ok")["changed"] is False
    cli("put", "k", "v")
    assert cli.changed("rm", "k")["entries"] == [{"key": "k", "etag": None}]


def test_mv_moves_an_entry_or_a_folder(cli: Any) -> None:
    cli("put", "a/1", "one")
    cli("put", "a/2", "two")
    cli("mv", "a/", "b/")
    assert cli("ls").lines == ["b/1", "b/2"]
    cli("mv", "b/1", "b/2", code=4)
    cli("mv", "b/1", "b/2", "--force")
    assert (cli("ls").lines, cli("get", "b/2").out) == (["b/2"], b"one")


def test_append_adds_lines(cli: Any) -> None:
    cli("append", "log", "one")
    cli("append", "log", "-", stdin=b"two\nthree\n")
    assert cli("get", "log").out == b"one\ntwo\nthree\n"


def test_add_prints_the_key_that_it_made(cli: Any) -> None:
    key = cli("add", "finding/", "slow").text.strip()
    assert key.startswith("finding/")
    assert key.endswith(".md")
    assert cli("get", key).out == b"slow"
    assert cli("add", "finding", "--suffix", ".txt", "x").text.strip().endswith(".txt")
    assert cli.changed("add", "finding/", "y")["entries"][0]["key"].startswith("finding/")


def test_undo_takes_one_write_back_and_refuses_where_it_changed_since(cli: Any) -> None:
    cli("put", "k", "1")
    second = cli.changed("put", "k", "2")["revision"]
    cli("undo", "head")
    assert cli("get", "k").out == b"1"
    cli("put", "k", "3")
    cli("undo", second, code=4)
    cli("undo", second, "--strategy", "last-write-wins")
    assert cli("get", "k").out == b"1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("put", "new", "v"), "would put new"),
        (("put", "k", "v"), "nothing would change"),
        (("rm", "k"), "would remove k"),
        (("mv", "k", "m"), "would remove k"),
        (("undo", "head"), "would remove k"),
        (("config", "set", "claims.ttl_s", "9"), "would put .gitctx/settings.toml"),
        (("checkpoint", "restore", "empty"), "would remove k"),
    ],
)
def test_a_dry_run_tells_and_writes_nothing(cli: Any, words: tuple[str, ...], told: str) -> None:
    cli("checkpoint", "create", "empty")
    head = cli.changed("put", "k", "v")["head"]
    assert cli(*words, "--dry-run").lines[0].startswith(told)
    assert cli.changed(*words, "--dry-run")["dry_run"] is True
    assert cli.log("-n1")[0]["revision"] == head


def test_a_dry_run_fails_where_the_write_would(cli: Any) -> None:
    cli("put", "a", "v")
    cli("put", "a/b", "v", "--dry-run", code=5)
    cli("put", "a", "v", "--if-absent", "--dry-run", code=4)
    cli("rm", "b", "--dry-run", code=3)


def _editor(folder: Path, script: str) -> dict[str, str]:
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"EDITOR": str(path), "PATH": os.environ["PATH"]}


def test_edit_puts_what_the_editor_saved(cli: Any) -> None:
    cli("put", "plan/auth.md", "old\n")
    appends = _editor(cli.folder, 'echo new >> "$1"')
    cli("edit", "plan/auth.md", environ=appends)
    assert cli("get", "plan/auth.md").out == b"old\nnew\n"
    cli("edit", "fresh", environ=appends)
    assert cli("get", "fresh").out == b"new\n"


def test_edit_without_a_change_writes_nothing(cli: Any) -> None:
    head = cli.changed("put", "k", "v")["head"]
    assert cli("edit", "k", environ=_editor(cli.folder, "true")).err == "unchanged k\n"
    same = cli.changed("edit", "k", environ=_editor(cli.folder, "true"))
    assert (same["head"], same["changed"], same["superseded"]) == (head, False, [])


def test_an_editor_that_fails_writes_nothing(cli: Any) -> None:
    cli("put", "k", "v")
    assert "nothing was written" in cli("edit", "k", environ=_editor(cli.folder, "echo x > $1; exit 3"), code=1).err
    assert cli("get", "k").out == b"v"


def test_an_edit_that_loses_a_conflict_keeps_the_users_text(cli: Any) -> None:
    cli("put", "k", "v")
    script = f'echo mine > "$1"; printf theirs > {cli.folder}/theirs'
    editor = _editor(cli.folder, script + f"; {cli.folder}/meanwhile")
    meanwhile = cli.folder / "meanwhile"
    meanwhile.write_text(_put_script(cli, "k", "theirs"))
    meanwhile.chmod(0o755)
    failed = cli("edit", "k", "--strategy", "fail", "--json", environ=editor, code=4).error
    kept = Path(failed["details"]["kept_in"])
    assert kept.read_text() == "mine\n"
    assert str(kept) in failed["hint"]
    assert cli("get", "k").out == b"theirs"


def _put_script(cli: Any, key: str, value: str) -> str:
    import sys

    path = os.pathsep.join(part for part in sys.path if part)
    code = f"import gitctx; gitctx.open({cli.environ['GITCTX_STORE']!r}, actor='other').put({key!r}, {value!r})"
    return f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} -c "{code}"\n'


def test_edit_without_an_editor_off_a_terminal_is_a_usage_error(cli: Any) -> None:
    assert "no terminal" in cli("edit", "k", code=2).err
