"""Names of actors, claims, checkpoints and writes, and messages: none breaks a commit, a ref or a file name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitctx.errors import InvalidName
from gitctx.format.keys import check_actor, check_checkpoint_name, check_claim_name, check_message, check_write_id

NO_TEXT = [None, 5, b"name", ["name"]]


@pytest.mark.parametrize(
    "actor",
    [
        *("", "a" * 65, "a<b", "a>b", "a <a@b> 1 +0000", "a\nb", "a\0b", "a\tb", "\u202ea", "\ud800", "a\u2028b"),
        *(" a", "a ", ".a", "a.", "a,", ":a", "a;", '"a"', "'a", "\\a"),
    ],
    ids=ascii,
)
def test_an_actor_that_would_break_or_bend_a_signature_is_refused(actor: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_actor(actor)
    assert caught.value.hint
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("actor", ["a", "a" * 64, "\U0001f600" * 64, "coder-1", "J. R. Hacker", "O'Neil", "a=b", "-"])
def test_an_actor_may_be_called_as_people_and_programs_are(actor: str) -> None:
    assert check_actor(actor) == actor


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "../a", ".git", "a\0", "a\\b", "~a", "-a", "a.", "a" * 256, "\udc80"], ids=ascii
)
def test_a_claim_keeps_the_rules_of_keys(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_claim_name(name)
    assert caught.value.hint


def test_a_claim_is_named_below_gitctx_own_folder() -> None:
    assert check_claim_name("refactor-auth") == ".gitctx/claims/refactor-auth"
    assert check_claim_name("area/\u00e9") == ".gitctx/claims/area/\u00e9"


def test_the_longest_claim_name_still_makes_a_key() -> None:
    name = "a" * 255 + "/" + "b" * (512 - 256 - len(".gitctx/claims/"))
    assert len(check_claim_name(name)) == 512
    with pytest.raises(InvalidName):
        check_claim_name(name + "b")


CHECKPOINTS_REFUSED = [
    *("", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a..b", "a@{1}", "@", "-a", ".a", "/a", "a/", "a//b"),
    *("a.", "a.lock", "a.lock/b", "a/.b", "a\x7f", "a\0", "a\n", "e\u0301", "\ud800", "a\u200b"),
    *("head", "HEAD", "Context", "sessions", "refs/tags/a", "dead", "DEAD", "0123456789", "a" * 40, "x" * 201),
]


@pytest.mark.parametrize("name", CHECKPOINTS_REFUSED, ids=ascii)
def test_a_checkpoint_that_git_or_a_reader_would_misread_is_refused(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_checkpoint_name(name)
    assert caught.value.hint
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "name", ["v1", "before-refactor", "release/1.0", "\u00e9", "add", "deadline", "x" * 200, "a@b", "a.b"]
)
def test_a_checkpoint_name_that_passes_is_one_that_git_takes(name: str, tmp_path: Path) -> None:
    assert check_checkpoint_name(name) == name
    subprocess.run(["git", "check-ref-format", f"refs/tags/{name}"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    "id", ["", "a" * 65, ".a", "-a", "_a", "a/b", "a b", "a\n", "\u0661", "\u00e9", "a:b", "../a"], ids=ascii
)
def test_a_write_id_that_could_break_a_trailer_or_a_path_is_refused(id: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_write_id(id)
    assert caught.value.hint


@pytest.mark.parametrize("id", ["a", "0", "a" * 64, "01JD0000000000000000000000", "run.1_2-3"])
def test_a_write_id_may_be_of_the_callers_making(id: str) -> None:
    assert check_write_id(id) == id


@pytest.mark.parametrize("name", NO_TEXT, ids=repr)
def test_names_that_are_no_text_are_refused_rather_than_crashed_on(name: str) -> None:
    for check in (check_actor, check_claim_name, check_checkpoint_name, check_write_id):
        with pytest.raises(InvalidName):
            check(name)


@pytest.mark.parametrize("message", ["a\0b", "\0", "a\ud800", "\udfff"], ids=ascii)
def test_a_message_that_no_commit_can_hold_is_refused(message: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_message(message)
    assert caught.value.hint


def test_a_message_loses_only_blank_edges_and_foreign_line_ends() -> None:
    assert check_message(" \n\n one\r\n\r\n two \n\n") == "one\n\n two"
    assert check_message(" \t\r\n") == ""
