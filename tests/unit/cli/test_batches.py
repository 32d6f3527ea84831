"""`gitctx batch`: many changes, one write, and errors that name the line."""

from __future__ import annotations

import json
from typing import Any

import pytest


def _lines(*changes: dict[str, Any]) -> bytes:
    return "\n".join(json.dumps(change) for change in changes).encode()


def test_all_ops_become_one_write(cli: Any) -> None:
    cli("put", "gone", "x")
    cli("put", "old", "moved")
    head = cli.log("-n1")[0]["revision"]
    done = cli.changed(
        "batch",
        "-m",
        "split",
        stdin=_lines(
            {"op": "put", "key": "text", "value": "käse"},
            {"op": "put", "key": "object", "json": {"b": [1], "a": None}},
            {"op": "put", "key": "string", "json": "quoted"},
            {"op": "put", "key": "bytes", "base64": "/wA="},
            {"op": "rm", "key": "gone"},
            {"op": "append", "key": "log", "value": "one"},
            {"op": "append", "key": "log", "value": "two"},
            {"op": "mv", "key": "old", "to": "new"},
        ),
    )
    assert cli("show", done["revision"], "--json").json["parents"] == [head]
    assert cli("get", "text").out == "käse".encode()
    assert cli("get", "object").out == b'{\n  "a": null,\n  "b": [\n    1\n  ]\n}\n'
    assert cli("get", "string").out == b'"quoted"\n'
    assert cli("get", "bytes").out == b"\xff\0"
    assert cli("get", "log").out == b"one\ntwo\n"
    assert cli("ls").lines == ["bytes", "log", "new", "object", "string", "text"]


def test_a_file_works_as_well_and_empty_lines_count(cli: Any) -> None:
    (cli.folder / "changes.jsonl").write_bytes(b'\n{"op": "put", "key": "a", "value": "1"}\r\n\n')
    cli("batch", "changes.jsonl")
    assert cli("get", "a").out == b"1"


def test_nothing_to_do_is_no_write(cli: Any) -> None:
    assert cli.changed("batch", stdin=b"\n")["changed"] is False


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"nonsense", "it isn't JSON"),
        (b"[1]", "isn't a JSON object"),
        (b"\xff", "it isn't JSON"),
        (b'{"key": "a"}', "there is no op None"),
        (b'{"op": ["put"], "key": "a"}', "there is no op"),
        (b'{"op": "put", "key": "a"}', "one of value, json and base64"),
        (b'{"op": "put", "key": "a", "value": "1", "json": 1}', "one of value, json and base64"),
        (b'{"op": "put", "key": "a", "value": 1}', "value has to be text"),
        (b'{"op": "put", "key": "a", "base64": "?"}', "base64 can't be decoded"),
        (b'{"op": "put", "key": "a", "vlaue": "1"}', "takes no 'vlaue'"),
        (b'{"op": "put", "key": "a", "value": "1", "if_absent": "yes"}', "if_absent has to be true or false"),
        (b'{"op": "put", "key": "a", "value": "1", "if_match": "x", "if_absent": true}', "contradict"),
        (b'{"op": "put", "key": ".git/a", "value": "1"}', "can be taken for git's own"),
        (b'{"op": "put", "key": 7, "value": "1"}', "a key is text"),
        (b'{"op": "put", "key": "a", "json": {"x": NaN}}', "can't be written as JSON"),
        (b'{"op": "rm", "key": "a", "if_match": 7}', "if_match has to be text"),
        (b'{"op": "mv", "key": "a"}', "is refused"),
        (b'{"op": "rm", "key": "nope"}', "'nope' holds no entry"),
        (b'{"op": "put", "key": "there", "value": "1", "if_absent": true}', "holds an entry already"),
        (b'{"op": "put", "key": "there/below", "value": "1"}', "both an entry and a folder"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(cli: Any, line: bytes, told: str) -> None:
    head = cli.changed("put", "there", "v")["head"]
    data = b'{"op": "put", "key": "fine", "value": "1"}\n\n' + line + b'\n{"op": "put", "key": "z", "value": "1"}\n'
    failed = cli("batch", "--json", stdin=data, code=None).error
    assert failed["message"].startswith("line 3: ")
    assert told in failed["message"]
    assert failed["details"]["line"] == 3
    assert cli.log("-n1")[0]["revision"] == head


def test_the_only_line_is_named_too(cli: Any) -> None:
    assert cli("batch", "--json", stdin=b'\n{"op": "rm", "key": "a"}', code=3).error["details"] == {
        "key": "a",
        "revision": cli.log("-n1")[0]["revision"],
        "line": 2,
    }


def test_an_error_of_no_line_in_particular_stays_as_it_is(cli: Any) -> None:
    head = cli.log("-n1")[0]["revision"]
    cli("put", "k", "v")
    lines = _lines({"op": "put", "key": "a", "value": "1"}, {"op": "put", "key": "b", "value": "1"})
    failed = cli("batch", "--expected-head", head, "--json", stdin=lines, code=4).error
    assert (failed["code"], "line" in failed["details"]) == ("precondition_failed", False)
