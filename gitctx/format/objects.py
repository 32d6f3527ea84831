"""Git's object encoding: ids and trees.

Source: git's documentation, "Git Internals - Git Objects".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["commit", "tree", "blob", "tag"]

BLOB = "100644"
TREE = "40000"
_ENTRY_MODES = frozenset({"100644", "100755", "100664"})


class Node(NamedTuple):
    """What a name in a tree stands for: `mode` in octal without leading zeros, `oid` 40 hex digits."""

    mode: str
    oid: str

    @property
    def is_tree(self) -> bool:
        """Whether it is a sub-tree."""
        return self.mode == TREE

    @property
    def is_entry(self) -> bool:
        """Whether it is a regular file (symbolic links and submodules are not entries)."""
        return self.mode in _ENTRY_MODES


class Object(NamedTuple):
    """A git object, not yet compressed."""

    oid: str
    kind: Kind
    data: bytes


def make_object(kind: Kind, data: bytes) -> Object:
    """The object with its id."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return Object(digest.hexdigest(), kind, data)


def blob_id(data: bytes) -> str:
    """The etag of these bytes."""
    return make_object("blob", data).oid


def parse_tree(data: bytes) -> dict[str, Node]:
    """Names and nodes of a raw tree. Bytes that aren't UTF-8 become lone surrogates. Raises ValueError if torn."""
    entries: dict[str, Node] = {}
    position, size = 0, len(data)
    while position < size:
        space = data.index(b" ", position)
        end = data.index(b"\0", space)
        oid = data[end + 1 : end + 21]
        if len(oid) != 20:
            raise ValueError("a tree ends in the middle of an entry")
        name = data[space + 1 : end].decode("utf-8", "surrogateescape")
        entries[name] = Node(data[position:space].decode("ascii").lstrip("0"), oid.hex())
        position = end + 21
    return entries


def serialise_tree(entries: Mapping[str, Node]) -> bytes:
    """The raw tree, in git's order (a sub-tree sorts as if its name ended in a slash)."""
    rows = []
    for name, (mode, oid) in entries.items():
        raw = name.encode("utf-8", "surrogateescape")
        rows.append((raw + b"/" if mode == TREE else raw, b"%s %s\0%s" % (mode.encode(), raw, bytes.fromhex(oid))))
    rows.sort()
    return b"".join(row for _, row in rows)
