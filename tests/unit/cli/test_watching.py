"""`watch`, `changes` and `wait`, in this very process."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx.sync.switch import pause

FIELDS = ["revision", "key", "kind", "etag", "actor", "session", "last_of_revision"]


def test_changes_tells_each_with_the_documented_fields(cli: Any) -> None:
    first = cli.changed("put", "plan/a", "1")
    second = cli.changed("rm", "plan/a")
    told = cli("changes", "--json").jsons
    assert [list(each) for each in told] == [FIELDS, FIELDS]
    assert told[0] == {
        "revision": first["revision"],
        "key": "plan/a",
        "kind": "added",
        "etag": first["entries"][0]["etag"],
        "actor": "planner",
        "session": None,
        "last_of_revision": True,
    }
    assert (told[1]["kind"], told[1]["etag"]) == ("removed", None)
    assert cli("changes", "--since", first["revision"][:10]).lines == [
        f"{second['revision'][:10]}  planner  removed plan/a"
    ]


def test_changes_takes_a_prefix_and_a_number(cli: Any) -> None:
    for key in ("a", "plan/a", "plan/b"):
        cli("put", key, "1")
    assert [each["key"] for each in cli("changes", "plan/", "-n", "1", "--json").jsons] == ["plan/a"]


def test_in_a_session_changes_begins_where_that_began_and_can_leave_out_its_own(store: Store, cli: Any) -> None:
    cli("put", "before", "1")
    session = Context(store, actor="coder-1").sessions.start(actor="coder-1", hold=False).id
    own = {"GITCTX_SESSION": session, "GITCTX_ACTOR": ""}
    cli("put", "own", "1", environ=own)
    cli("put", "others", "1", "--session", "")
    assert [each["key"] for each in cli("changes", "--json", environ=own).jsons] == ["own", "others"]
    told = cli("changes", "--json", "--exclude-self", environ=own).jsons
    assert [(each["key"], each["actor"]) for each in told] == [("others", "planner")]
    told = cli("watch", "--json", "--exclude-self", "--since", "head~2", "--timeout", "0", environ=own).jsons
    assert [each["key"] for each in told] == ["others"]


@pytest.mark.parametrize("words", [("changes",), ("watch", "--timeout", "0")])
def test_without_a_session_there_is_no_self_to_leave_out(cli: Any, words: tuple[str, ...]) -> None:
    assert "leave --exclude-self out" in cli(*words, "--exclude-self", code=3).err


def test_watch_prints_so_many_changes_and_ends(cli: Any) -> None:
    since = cli.changed("put", "a", "1")["revision"]
    cli("put", "plan/a", "1")
    cli("put", "plan/b", "1")
    told = cli("watch", "plan/", "--since", since, "-n", "1", "--json").jsons
    assert [(list(each), each["key"]) for each in told] == [(FIELDS, "plan/a")]
    told = cli("watch", "--since", told[0]["revision"], "--timeout", "0.3", "--json").jsons
    assert [each["key"] for each in told] == ["plan/b"]


def test_a_revision_that_is_gone_is_told_with_what_to_do(cli: Any) -> None:
    error = cli("watch", "--since", "1" * 40, "--timeout", "1", "--json", code=3).error
    assert (error["code"], "go on from the head" in error["hint"]) == ("revision_not_found", True)


def test_wait_prints_what_the_key_holds_then(cli: Any) -> None:
    written = cli.changed("put", "a", "one")
    assert cli("wait", "a", "--timeout", "0").out == b"one"
    assert cli("wait", "b", "--until", "absent", "--timeout", "0").out == b""
    assert cli("wait", "b", "--until", "absent", "--timeout", "0", "--json").json == {
        "key": "b",
        "etag": None,
        "revision": None,
    }
    cli("put", "a", "two")
    told = cli("wait", "a", "--until", "changed", "--since", written["revision"], "--timeout", "30", "--json").json
    assert (told["key"], told["value"], list(told)) == ("a", "two", ["key", "value", "etag", "revision"])


def test_wait_ends_when_somebody_writes(store: Store, cli: Any) -> None:
    timer = threading.Timer(0.1, lambda: Context(store, actor="coder-1").put("a", "there"))
    timer.start()
    assert cli("wait", "a", "--timeout", "30").out == b"there"
    timer.join()


def test_a_wait_that_takes_too_long_exits_with_6(store: Store, cli: Any) -> None:
    result = cli("wait", "a", "--timeout", "0", code=6)
    assert "'a' didn't come to be within 0 s" in result.err
    pause(store.path, actor="planner", at=store.config.clock())
    error = cli("wait", "a", "--timeout", "0", "--json", code=6).error
    assert (error["code"], error["changed"], error["retryable"]) == ("wait_timeout", "no", True)
    assert "sync resume" in error["hint"]


@pytest.mark.parametrize(
    "words",
    [
        ("wait", "a", "--until", "never"),
        ("wait", "a", "--since", "head"),
        ("wait", "a", "--timeout", "soon"),
        ("watch", "--timeout", "soon"),
        ("watch", "-n", "-1"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(cli: Any, words: tuple[str, ...]) -> None:
    cli(*words, code=2)
