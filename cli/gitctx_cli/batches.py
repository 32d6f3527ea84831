"""`gitctx batch`: JSON Lines in, one write out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from gitctx.errors import GitctxError, InvalidInput
from gitctx.format.documents import to_bytes
from gitctx.format.keys import check_key
from gitctx.store.edits import Append, Edit, Move, Put, Remove, keys_of
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.env import Env
from gitctx_cli.inputs import read_file
from gitctx_cli.parameters import DryRun, ExpectedHead, Id, Message, Strategy, UnderClaim

_VALUES = ("value", "json", "base64")


def batch(
    env: Env,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", show_default=False)] = "-",
    *,
    strategy: Strategy = None,
    claim: UnderClaim = None,
    expected_head: ExpectedHead = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    r"""Make many changes one write: all of them, or none.

    FILE (or standard input) holds JSON Lines, one change each:
    `{"op": "put", "key": K, "value": TEXT}` (or `"json": VALUE`, or `"base64": BYTES`; with `"if_match": ETAG` or
    `"if_absent": true`), `{"op": "rm", "key": K}` (`"if_match"`, `"missing_ok"`), `{"op": "append", "key": K, "value":
    TEXT}`, `{"op": "mv", "key": K, "to": K}` (`"force"`). Each sees what the ones before it left.

    Examples:
      gitctx batch changes.jsonl -m "split the plan"
      printf '%s\n' '{"op": "put", "key": "a", "value": "1"}' '{"op": "rm", "key": "b"}' | gitctx batch --dry-run
    """
    numbered = parse(read_file(env, file))
    edits = [edit for _, edit in numbered]
    context = env.context(dry_run=dry_run)
    try:
        written = context.apply(
            edits, message=message, expected_head=expected_head, strategy=strategy, claim=claim, id=id
        )
    except GitctxError as error:
        raise _with_line(error, numbered) from error
    acknowledge(env, "batch", written, dry_run=dry_run)


def parse(data: bytes) -> list[tuple[int, Edit]]:
    """The changes in JSON Lines, with their line numbers. Raises InvalidInput (or a kind of it) naming the line."""
    numbered: list[tuple[int, Edit]] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            numbered.append((number, _edit(_object(line))))
        except GitctxError as error:
            raise _at(error, number) from error
    return numbered


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"it isn't JSON: {error}", hint="write one JSON object a line") from error
    if not isinstance(found, dict):
        raise InvalidInput("it isn't a JSON object", hint='write {"op": "put", "key": "a", "value": "1"}')
    return found


def _edit(fields: dict[str, Any]) -> Edit:
    op = fields.pop("op", None)
    known = _OPS.get(op) if isinstance(op, str) else None
    if known is None:
        raise InvalidInput(f"there is no op {op!r}", hint=f"use one of {', '.join(_OPS)}")
    allowed, make = known
    unknown = sorted(set(fields) - {"key", *allowed})
    if unknown:
        raise InvalidInput(f"{op} takes no {unknown[0]!r}", hint=f"it takes key, {', '.join(allowed)}")
    return make(check_key(fields.get("key", "")), fields)


def _put(key: str, fields: Mapping[str, Any]) -> Edit:
    if_match, if_absent = _text(fields, "if_match"), _flag(fields, "if_absent")
    if if_match is not None and if_absent:
        raise InvalidInput("if_match and if_absent contradict each other", hint="write one of them")
    return Put(key, _value(fields), if_match, if_absent)


def _remove(key: str, fields: Mapping[str, Any]) -> Edit:
    return Remove(key, _text(fields, "if_match"), _flag(fields, "missing_ok"))


def _append(key: str, fields: Mapping[str, Any]) -> Edit:
    return Append(key, _value(fields))


def _move(key: str, fields: Mapping[str, Any]) -> Edit:
    return Move(key, check_key(_text(fields, "to") or ""), _flag(fields, "force"))


_OPS: dict[str, tuple[tuple[str, ...], Callable[[str, Mapping[str, Any]], Edit]]] = {
    "put": ((*_VALUES, "if_match", "if_absent"), _put),
    "rm": (("if_match", "missing_ok"), _remove),
    "append": (_VALUES, _append),
    "mv": (("to", "force"), _move),
}


def _value(fields: Mapping[str, Any]) -> bytes:
    given = [name for name in _VALUES if name in fields]
    if len(given) != 1:
        raise InvalidInput("it needs one of value, json and base64", hint="value is text, json any JSON value")
    value = fields[given[0]]
    if given[0] == "json":
        return to_bytes(value) if not isinstance(value, str) else to_bytes(json.dumps(value, ensure_ascii=False) + "\n")
    if not isinstance(value, str):
        raise InvalidInput(f"{given[0]} has to be text", hint="for other JSON values write json instead of value")
    if given[0] == "value":
        return to_bytes(value)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise InvalidInput(f"base64 can't be decoded: {error}", hint="write standard base64") from error


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name} has to be text", hint="put it in quotes")
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} has to be true or false", hint="without quotes")
    return value


def _with_line(error: GitctxError, numbered: list[tuple[int, Edit]]) -> GitctxError:
    """The error with the line it comes from, where that can be told."""
    index = error.details.pop("edit", 0 if len(numbered) == 1 else None)
    if index is not None:
        return _at(error, numbered[index][0])
    key = error.details.get("key")
    lines = [number for number, edit in numbered if isinstance(key, str) and _concerns(edit, key)]
    return _at(error, lines[-1]) if lines else error


def _concerns(edit: Edit, key: str) -> bool:
    return any(f"{each}/".startswith(f"{key}/") for each in keys_of(edit))


def _at(error: GitctxError, line: int) -> GitctxError:
    error.message = f"line {line}: {error.message}"
    error.details["line"] = line
    return error
