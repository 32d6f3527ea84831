"""What goes wrong: exit codes, what is said, and that no traceback reaches a user."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from gitctx import errors
from gitctx_cli.env import Env
from gitctx_cli.failures import UsageError, describe
from gitctx_testkit.git import git


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidKey, 5),
        (errors.SecretFound, 5),
        (errors.EntryNotFound, 3),
        (errors.NotAStore, 3),
        (errors.PreconditionFailed, 4),
        (errors.ClaimHeld, 4),
        (errors.SessionEnded, 4),
        (errors.RetriesExhausted, 6),
        (errors.LockTimeout, 6),
        (errors.BrokenHistory, 7),
        (errors.FormatUnsupported, 7),
        (errors.RemoteRejected, 8),
        (errors.DiskFull, 9),
        (errors.StoreReadOnly, 9),
        (errors.MissingExtra, 1),
    ],
)
def test_every_class_of_error_has_its_exit_code(
    cli: Any, monkeypatch: pytest.MonkeyPatch, error: type[errors.GitctxError], code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("this happened", hint="do that")

    monkeypatch.setattr(Env, "reading", fail)
    assert cli("get", "k", code=code).err == "error: this happened\nhint: do that\n"


def test_an_unknown_outcome_names_the_id_to_repeat(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise errors.OutcomeUnknown("the disk failed", id="01ABC")

    monkeypatch.setattr(Env, "context", fail)
    failed = cli("put", "k", "v", "--json", code=6).error
    assert (failed["changed"], failed["retryable"], failed["details"]["id"]) == ("unknown", True, "01ABC")


def test_an_unexpected_error_is_one_line_and_a_traceback_only_when_asked_for(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Env, "reading", fail)
    said = cli("get", "k", code=1).err
    assert said.splitlines()[0] == "error: unexpected ZeroDivisionError: oops"
    assert "Traceback" not in said
    assert "Traceback" in cli("get", "k", code=1, environ={"GITCTX_DEBUG": "1"}).err


def test_an_interrupt_exits_with_130(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Env, "reading", fail)
    assert cli("get", "k", code=130).err == ""


def test_output_that_nobody_reads_ends_quietly(cli: Any) -> None:
    class Closed(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    cli("put", "k", "v")
    assert cli("get", "k", out=Closed(), code=141).err == ""


def test_output_that_cant_be_written_is_an_error(cli: Any) -> None:
    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    cli("put", "k", "v")
    assert "standard output can't be written: No space left" in cli("get", "k", out=Full(), code=9).err


def test_usage_errors_exit_with_2_and_say_where_help_is(cli: Any) -> None:
    assert "Did you mean 'put'" in cli("putt", code=2).err
    assert "see `gitctx put --help`" in cli("put", code=2).err
    assert "isn't a whole number" in cli("ls", "-n", "many", code=2).err
    assert "less than nothing" in cli("ls", "-n", "-1", code=2).err
    assert "isn't a duration" in cli("claim", "job", "--ttl", "soon", code=2).err
    assert "Missing command" in cli("checkpoint", code=2).err


def test_a_usage_error_of_our_own_is_told_with_its_hint() -> None:
    document, code = describe(UsageError("no", hint="yes"))
    assert (document["message"], document["hint"], code) == ("no", "yes", 2)


@pytest.mark.parametrize(
    "key", ["a/../b", "/a", "a//b", ".git/x", "a/.GIT", "~a", "-a/b", "a.", "a\\b", ".gitctx/x", "x" * 513, "u\u0308"]
)
def test_a_refused_key_changes_nothing(cli: Any, key: str) -> None:
    head = cli.log("-n1")[0]["revision"]
    failed = cli("put", "--json", "--", key, "v", code=5).error
    assert (failed["code"], failed["changed"]) == ("invalid_key", "no")
    assert failed["hint"]
    assert cli.log("-n1")[0]["revision"] == head


def test_a_refused_value_revision_or_name_changes_nothing(cli: Any) -> None:
    for words, code, name in (
        (("put", "k", "x" * (1024 * 1024 + 1)), 5, "entry_too_large"),
        (("put", "k", "v", "--actor", "a<b>"), 5, "invalid_name"),
        (("put", "k", "v", "--id", "a b"), 5, "invalid_name"),
        (("put", "k", "v", "--strategy", "hope"), 5, "config_invalid"),
        (("put", "k", "v", "--base", "deadbeef"), 3, "revision_not_found"),
        (("get", "k", "--at", "nonsense"), 3, "revision_not_found"),
        (("show", "a\nb"), 5, "invalid_revision"),
        (("checkpoint", "create", "HEAD"), 5, "invalid_name"),
        (("checkpoint", "show", "none"), 3, "checkpoint_not_found"),
        (("claim", ".."), 5, "invalid_name"),
        (("release", "none"), 3, "claim_not_found"),
        (("session", "show", "none"), 3, "session_not_found"),
        (("put", "k", "v", "--session", "none"), 3, "session_not_found"),
        (("config", "set", "no.such", "1"), 5, "config_invalid"),
    ):
        assert cli(*words, "--json", code=code).error["code"] == name, words
    assert len(cli.log()) == 1


# -- stores that are none, or not for us ------------------------------------------------------------------------------


def _refused(cli: Any, path: Path, code: int) -> dict[str, Any]:
    for words in (("get", "k"), ("put", "k", "v"), ("status",), ("init",)):
        failed: dict[str, Any] = cli("--store", path, *words, "--json", code=code).error
        assert failed["hint"]
    return failed


def test_a_missing_store_is_told_with_how_to_make_one(cli: Any, tmp_path: Path) -> None:
    failed = cli("--store", tmp_path / "none", "get", "k", "--json", code=3).error
    assert (failed["code"], "gitctx init" in failed["hint"]) == ("store_not_found", True)


def test_a_folder_or_a_file_is_no_store(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("precious")
    assert _refused(cli, tmp_path / "folder", 3)["code"] == "not_a_store"
    assert _refused(cli, tmp_path / "folder" / "file", 3)["code"] == "not_a_store"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_a_plain_repository_is_no_store(cli: Any, tmp_path: Path, project: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "plain.git")
    assert _refused(cli, tmp_path / "plain.git", 3)["code"] == "not_a_store"
    assert _refused(cli, project, 3)["code"] == "not_a_store"
    assert _refused(cli, project / ".git", 3)["code"] == "not_a_store"


def test_a_sha256_repository_says_what_it_is(cli: Any, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "--object-format=sha256", "other.git")
    failed = _refused(cli, tmp_path / "other.git", 7)
    assert (failed["code"], "SHA-256" in failed["message"]) == ("format_unsupported", True)


def test_a_reftable_repository_says_what_it_is(cli: Any, tmp_path: Path) -> None:
    version = tuple(int(part) for part in git(tmp_path, "version").split()[2].split(".")[:2])
    if version >= (2, 45):
        git(tmp_path, "init", "-q", "--bare", "--ref-format=reftable", "other.git")
    else:
        git(tmp_path, "init", "-q", "--bare", "other.git")
        for name, value in (("core.repositoryformatversion", "1"), ("extensions.refstorage", "reftable")):
            git(tmp_path, "config", "--file", "other.git/config", name, value)
    failed = _refused(cli, tmp_path / "other.git", 7)
    assert (failed["code"], "reftable" in failed["message"]) == ("format_unsupported", True)


def test_a_newer_format_says_to_upgrade(cli: Any, tmp_path: Path) -> None:
    cli("--store", tmp_path / "new.git", "init")
    git(tmp_path, "config", "--file", "new.git/config", "gitctx.format", "2")
    failed = _refused(cli, tmp_path / "new.git", 7)
    assert (failed["code"], "upgrade" in failed["hint"]) == ("format_unsupported", True)


def test_a_store_without_its_branch_is_broken_not_missing(cli: Any, tmp_path: Path) -> None:
    cli("--store", tmp_path / "hurt.git", "init")
    (tmp_path / "hurt.git" / "refs" / "heads" / "context").unlink()
    cli.environ["GITCTX_AUTO_RECOVER"] = "0"
    assert _refused(cli, tmp_path / "hurt.git", 7)["code"] == "broken_history"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_store_of_another_user_names_safe_directory(cli: Any, tmp_path: Path) -> None:
    cli("--store", tmp_path / "theirs.git", "init")
    for path in [tmp_path / "theirs.git", *(tmp_path / "theirs.git").rglob("*")]:
        os.chown(path, 65534, 65534)
    failed = _refused(cli, tmp_path / "theirs.git", 9)
    assert (failed["code"], "safe.directory" in failed["hint"]) == ("store_not_owned", True)


@pytest.mark.unprivileged
def test_a_store_that_may_only_be_read_can_be_read_and_not_written(cli: Any, open_place: Path, as_nobody: Any) -> None:
    path = open_place / "store.git"
    cli("--store", path, "init")
    cli("--store", path, "put", "k", "v")
    for each in [path, *path.rglob("*")]:
        os.chmod(each, 0o555 if each.is_dir() else 0o444)
        if os.getuid() == 0:
            os.chown(each, 65534, 65534)
    head = cli("log", "-n1", "--json", "--store", path).json["revision"] if os.getuid() != 0 else None
    assert as_nobody(lambda: cli("--store", path, "get", "k").out) == b"v"
    failed = as_nobody(lambda: cli("--store", path, "put", "k", "w", "--json", code=9).error)
    assert (failed["code"], failed["changed"]) == ("store_read_only", "no")
    assert as_nobody(lambda: cli("--store", path, "get", "k").out) == b"v"
    assert head is None or cli("log", "-n1", "--json", "--store", path).json["revision"] == head


@pytest.mark.unprivileged
def test_a_place_that_may_not_be_written_or_entered_makes_no_store(cli: Any, open_place: Path, as_nobody: Any) -> None:
    closed = open_place / "closed"
    closed.mkdir(mode=0o555)
    os.chmod(closed, 0o555)
    failed = as_nobody(lambda: cli("--store", closed / "store.git", "init", "--json", code=9).error)
    assert failed["code"] == "store_read_only"
    os.chmod(closed, 0o000)
    for words in (("init",), ("get", "k")):
        failed = as_nobody(lambda words=words: cli("--store", closed / "store.git", *words, "--json", code=9).error)
        assert "ermission denied" in failed["message"]
    os.chmod(closed, 0o755)
