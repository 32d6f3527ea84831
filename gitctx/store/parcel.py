"""Requests and their acknowledgements as bytes, so that one program can make the write of another.

A parcel is a JSON header with its length before it, and raw bytes after it. Never a pickle: it comes from a file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

from gitctx.store.edits import Append, Bases, Edit, Move, Put, PutEtag, Remove, StrategyChoice, Update
from gitctx.store.pending import Pending
from gitctx.store.request import Planned, Request
from gitctx.store.view import View
from gitctx.values import EntryEtag, Etag, Revision, WriteId, Written

VERSION = 1

PlanMaker = Callable[[bytes, str | None], Callable[[View], Planned]]
"""Makes the plan of a request from its parcel and its session."""


_as_text = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _join(header: Any, *bodies: bytes) -> bytes:
    text = _as_text(header).encode("ascii")
    return b"".join((struct.pack(">I", len(text)), text, *bodies))


def _split(data: bytes) -> tuple[Any, bytes]:
    (size,) = struct.unpack_from(">I", data)
    return json.loads(data[4 : 4 + size]), data[4 + size :]


# -- plans ------------------------------------------------------------------------------------------------------------


def is_portable(edits: Sequence[Edit], strategy: StrategyChoice) -> bool:
    """Whether no function is among what decides on edits, so that `pack_plan` can tell all of it."""
    return not callable(strategy) and not any(isinstance(edit, Update) for edit in edits)


def pack_plan(edits: Sequence[Edit], bases: Bases, strategy: StrategyChoice, expected_head: str | None) -> bytes:
    """Edits with all that decides on them. Only for what `is_portable`."""
    rows: list[list[Any]] = []
    values: list[bytes] = []
    for edit in edits:
        match edit:
            case Put(key, value, if_match, if_absent):
                rows.append(["put", key, len(value), if_match, if_absent])
                values.append(value)
            case PutEtag(key, etag):
                rows.append(["etag", key, etag])
            case Remove(key, if_match, missing_ok):
                rows.append(["remove", key, if_match, missing_ok])
            case Move(source, target, overwrite):
                rows.append(["move", source, target, overwrite])
            case Append(key, line):
                rows.append(["append", key, len(line)])
                values.append(line)
            case Update(key, _):
                raise ValueError(f"the change of '{key}' is a function")
    return _join([rows, dict(bases), strategy, expected_head], *values)


def unpack_plan(data: bytes) -> tuple[Sequence[Edit], Bases, str | None, str | None]:
    """What `pack_plan` was given. Raises ValueError, struct.error, TypeError for anything else."""
    (rows, bases, strategy, expected_head), values = _split(data)
    edits: list[Edit] = []
    position = 0
    for kind, key, *rest in rows:
        if kind in ("put", "append"):
            value = values[position : position + rest[0]]
            position += rest[0]
            edits.append(Put(key, value, rest[1], rest[2]) if kind == "put" else Append(key, value))
        elif kind == "etag":
            edits.append(PutEtag(key, *rest))
        elif kind == "remove":
            edits.append(Remove(key, *rest))
        elif kind == "move":
            edits.append(Move(key, *rest))
        else:
            raise ValueError(f"no edit {kind!r}")
    return (
        edits,
        {key: Etag(etag) if etag is not None else None for key, etag in bases.items()},
        strategy,
        expected_head,
    )


# -- requests ---------------------------------------------------------------------------------------------------------


def pack_requests(pendings: Sequence[Pending], *, durable: bool) -> bytes:
    """Writes that another program may make. Only for requests whose `parcel` isn't None."""
    rows, plans = [], []
    for pending in pendings:
        request = pending.request
        plan = request.parcel() if request.parcel is not None else b""
        plans.append(plan)
        rows.append(
            [
                pending.id,
                request.id is not None,
                request.op,
                request.subject,
                request.actor,
                request.message,
                request.session,
                request.digest,
                request.trailers,
                request.always,
                len(plan),
            ]
        )
    return _join([VERSION, durable, rows], *plans)


def unpack_requests(data: bytes, make_plan: PlanMaker) -> tuple[list[Pending], bool]:
    """The writes, and whether they have to be durable. Raises ValueError, struct.error, TypeError for anything else."""
    (version, durable, rows), plans = _split(data)
    if version != VERSION:
        raise ValueError(f"no parcel version {version!r}")
    pendings = []
    position = 0
    for id, named, op, subject, actor, message, session, digest, trailers, always, size in rows:
        plan = plans[position : position + size]
        position += size
        request = Request(
            op=op,
            subject=subject,
            actor=actor,
            plan=make_plan(plan, session),
            message=message,
            session=session,
            id=id if named else None,
            digest=digest,
            trailers=tuple((name, value) for name, value in trailers),
            always=always,
            weight=size,
        )
        pendings.append(Pending(request, id))
    return pendings, bool(durable)


# -- acknowledgements -------------------------------------------------------------------------------------------------


def pack_outcomes(outcomes: Sequence[Written | None]) -> bytes:
    """An acknowledgement for each write, None for one that wasn't made."""
    return _join([_row(outcome) if outcome is not None else None for outcome in outcomes])


def _row(written: Written) -> list[Any]:
    entries = [[entry.key, entry.etag] for entry in written.entries]
    return [
        written.revision,
        written.head,
        written.id,
        written.changed,
        written.retries,
        list(written.superseded),
        entries,
    ]


def unpack_outcomes(data: bytes) -> list[Written | None]:
    """What `pack_outcomes` was given. Raises ValueError, struct.error, TypeError for anything else."""
    return [_written(*row) if row is not None else None for row in _split(data)[0]]


def _written(
    revision: str,
    head: str,
    id: str,
    changed: bool,
    retries: int,
    superseded: Sequence[str],
    entries: Sequence[tuple[str, str | None]],
) -> Written:
    return Written(
        Revision(revision),
        Revision(head),
        WriteId(id),
        changed,
        retries,
        tuple(Etag(etag) for etag in superseded),
        tuple(EntryEtag(key, Etag(etag) if etag is not None else None) for key, etag in entries),
    )
