"""What a base knows of each key that lived when it was made: the last write before it.

`refs/gitctx/base/<epoch>` is a commit whose tree has, at each key, a small JSON document instead of the value. So
`get`, `log KEY` and `why` still answer when the write itself was squashed and its grace has ended.
"""

from __future__ import annotations

import json
from typing import Any

from gitctx.format import layout, messages
from gitctx.format.documents import format_time, parse_time, to_canonical_json
from gitctx.format.messages import Commit
from gitctx.repository import Repository
from gitctx.store.rotated import BASES, original_of
from gitctx.values import Revision, SessionId, Write, WriteId

_FORMAT = 1


def encode_record(revision: str, commit: Commit) -> bytes:
    """The document of a key whose last write that commit is."""
    return to_canonical_json(
        {
            "format": _FORMAT,
            "revision": original_of(commit) or revision,
            "op": commit.trailer(messages.OP),
            "actor": commit.author.name,
            "session": commit.trailer(messages.SESSION),
            "id": commit.trailer(messages.ID),
            "subject": commit.subject,
            "message": commit.message,
            "written_at": format_time(commit.author.at),
        }
    )


def read_record(repository: Repository, base: Commit, key: str) -> Write | None:
    """The last write of a key before a base; None if the base doesn't know (it isn't recorded yet, or not readable)."""
    ref = repository.read_ref(f"{BASES}{base.trailer(messages.EPOCH)}")
    if ref is None:
        return None
    entry = layout.find(repository, repository.read_commit(ref).tree, key).entry
    if entry is None:
        return None
    try:
        fields: dict[str, Any] = json.loads(repository.read_blob(entry.oid))
        session, id, op = fields["session"], fields["id"], fields["op"]
        return Write(
            revision=Revision(str(fields["revision"])),
            op=str(op) if op is not None else None,
            keys=(key,),
            actor=str(fields["actor"]),
            session=SessionId(str(session)) if session is not None else None,
            id=WriteId(str(id)) if id is not None else None,
            message=str(fields["message"]),
            written_at=parse_time(str(fields["written_at"])),
            subject=str(fields["subject"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
