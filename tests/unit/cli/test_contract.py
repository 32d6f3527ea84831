"""The JSON that other programs build on: fields may be added, none removed."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

WRITE = {"revision", "head", "id", "changed", "retries", "superseded", "entries"}
GET = {
    *("key", "value", "etag", "git_path", "revision", "changed_at_revision", "actor", "session", "written_at"),
}
LOG = {"revision", "op", "keys", "actor", "session", "id", "message", "written_at"}
CHECKPOINT = {"name", "revision", "created_at", "message", "actor", "session"}
SESSION = {
    *(
        "id",
        "actor",
        "agent",
        "state",
        "hostname",
        "pid",
        "started_at",
        "last_beat_at",
        "graceful_shutdown",
        "evidence",
    ),
}
WATCHED = {"revision", "key", "kind", "etag", "actor", "session", "last_of_revision"}
CLAIM = {"name", "session", "actor", "message", "claimed_at", "expires_at", "holder_state"}
VERIFY = {"ok", "commits", "objects", "problems", "warnings"}
ERROR = {"code", "message", "hint", "changed", "retryable", "details"}
INIT = {"store", "store_id", "format", "created", "changed"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


@pytest.fixture
def lived_in(cli: Any) -> Any:
    """A store with something of everything."""
    cli("session", "start", "--pid", str(os.getpid()), "--agent", "claude")
    cli("put", "k", "v", "-m", "why")
    cli("checkpoint", "create", "c", "-m", "named")
    cli("claim", "job", "-m", "mine")
    return cli


@pytest.mark.parametrize(
    "words",
    [
        ("put", "new", "v"),
        ("put", "k", "v"),
        ("rm", "k"),
        ("mv", "k", "m"),
        ("append", "log", "line"),
        ("add", "finding/", "x"),
        ("batch",),
        ("undo", "head~1"),
        ("import", "."),
        ("config", "set", "claims.ttl_s", "60"),
        ("config", "reset"),
        ("release", "job"),
        ("checkpoint", "restore", "c"),
        ("put", "new", "v", "--dry-run"),
    ],
    ids=" ".join,
)
def test_every_write_answers_with_the_same_fields(lived_in: Any, words: tuple[str, ...]) -> None:
    found = lived_in(*words, "--json", stdin=b'{"op": "put", "key": "b", "value": "1"}').json
    assert found.keys() >= WRITE
    assert all(entry.keys() >= {"key", "etag"} for entry in found["entries"])
    assert re.fullmatch("[0-9a-f]{40}", found["revision"])
    assert isinstance(found["superseded"], list)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (("get", "k"), GET),
        (("get", "k", "--at", "c"), GET),
        (("ls",), {"key", "etag", "size"}),
        (("log",), LOG),
        (("log", "-p"), {*LOG, "changes"}),
        (("show", "head"), {*LOG, "changes", "parents"}),
        (("diff", "head~1"), {"key", "kind", "before", "after", "diff"}),
        (("checkpoint", "list"), CHECKPOINT),
        (("checkpoint", "show", "c"), CHECKPOINT),
        (("checkpoint", "create", "d"), CHECKPOINT),
        (("checkpoint", "delete", "c"), CHECKPOINT),
        (("session", "list"), SESSION),
        (("session", "show"), SESSION),
        (("session", "beat"), SESSION),
        (("session", "end"), SESSION),
        (("claims",), CLAIM),
        (("changes",), WATCHED),
        (("watch", ".gitctx/", "--since", "head~1", "-n", "1", "--timeout", "30"), WATCHED),
        (("wait", "k", "--timeout", "0"), {"key", "value", "etag", "revision"}),
        (("claim", "other"), CLAIM),
        (("verify",), VERIFY),
        (("verify", "--full"), VERIFY),
        (("init",), INIT),
        (("status",), {"store", "store_id", "format", "epoch", "head", "entries", "sessions", "claims", "checkpoints"}),
        (("config", "list"), {"name", "value", "set"}),
        (("config", "get", "claims.ttl_s"), {"name", "value", "set"}),
        (("export", "out"), {"folder", "revision", "written", "unchanged", "skipped"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_reading_command_answers_with_its_fields(lived_in: Any, words: tuple[str, ...], fields: set[str]) -> None:
    found = lived_in(*words, "--json").jsons
    assert found
    assert all(each.keys() >= fields for each in found)


def test_times_are_rfc_3339_in_utc(lived_in: Any) -> None:
    times = [
        lived_in("get", "k", "--json").json["written_at"],
        lived_in("claims", "--json").json["expires_at"],
        lived_in("session", "list", "--json").json["last_beat_at"],
        lived_in("checkpoint", "list", "--json").json["created_at"],
        *(each["written_at"] for each in lived_in.log()),
    ]
    assert all(_TIME.fullmatch(each) for each in times)


def test_get_tells_who_wrote_the_value_last_and_when(lived_in: Any) -> None:
    written = lived_in.changed("put", "k", "v2", "--actor", "coder-1")["revision"]
    lived_in("put", "other", "x")
    found = lived_in("get", "k", "--json").json
    assert found["changed_at_revision"] == written
    assert found["revision"] == lived_in.log("-n1")[0]["revision"]
    assert (found["key"], found["value"], found["actor"], found["git_path"]) == ("k", "v2", "coder-1", "k")


def test_get_at_a_checkpoint_tells_of_the_write_that_made_the_value(lived_in: Any) -> None:
    written = lived_in("get", "k", "--json").json["changed_at_revision"]
    lived_in("put", "k", "v2")
    found = lived_in("get", "k", "--at", "c", "--json").json
    assert (found["value"], found["changed_at_revision"], found["actor"]) == ("v", written, "planner")


def test_a_value_that_isnt_utf8_is_base64(lived_in: Any) -> None:
    lived_in("put", "b", "-", stdin=b"\xff\0")
    found = lived_in("get", "b", "--json").json
    assert found["base64"] == "/wA="
    assert "value" not in found


def test_a_key_in_a_wide_folder_has_another_path_for_git(cli: Any) -> None:
    lines = b"\n".join(b'{"op": "put", "key": "w/%d", "value": "x"}' % number for number in range(300))
    cli("batch", stdin=lines)
    assert re.fullmatch("w/~[0-9a-f]{2}/7", cli("get", "w/7", "--json").json["git_path"])


def test_an_error_is_one_json_object_on_standard_error(lived_in: Any) -> None:
    failed = lived_in("get", "nope", "--json", code=3)
    assert failed.out == b""
    assert failed.error.keys() == ERROR
    assert (failed.error["code"], failed.error["changed"], failed.error["retryable"]) == (
        "entry_not_found",
        "no",
        False,
    )
    assert lived_in("--json", "claim", "job", code=4).error["details"].keys() >= {"name", "actor", "holder_state"}


def test_a_usage_error_is_json_too_where_json_was_asked_for(cli: Any) -> None:
    for words in (
        ("put", "--json"),
        ("--json", "nonsense"),
        ("ls", "-n", "x", "--json"),
        ("--json",),
        ("log", "--json", "--no"),
    ):
        assert cli(*words, code=2).error["code"] == "usage"
    assert cli("rm", "--", "--json", "x", code=2).err.startswith("error: ")
