"""Git's object encoding: ids and trees.

Source: git's documentation, "Git Internals - Git Objects".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha1 as _sha1
from typing import Literal, NamedTuple

Kind = Literal["commit", "tree", "blob", "tag"]

BLOB = "100644"
TREE = "40000"
_MODES = {b"100644": BLOB, b"40000": TREE}
_ROWS = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL).findall
_IDS = re.compile(r".{40}").findall
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


# Not Node(...) for each: a named tuple's own constructor takes three times as long, and a tree has up to 256 entries.
_new_node: Callable[[tuple[str, str]], Node] = partial(tuple.__new__, Node)


class Object(NamedTuple):
    """A git object, not yet compressed."""

    oid: str
    kind: Kind
    data: bytes


_STARTS: dict[Kind, bytes] = {"commit": b"commit", "tree": b"tree", "blob": b"blob", "tag": b"tag"}
_COPIED_BYTES = 16_384


def make_object(kind: Kind, data: bytes) -> Object:
    """The object with its id."""
    size = len(data)
    if size <= _COPIED_BYTES:
        return Object(_sha1(b"%b %d\0%b" % (_STARTS[kind], size, data), usedforsecurity=False).hexdigest(), kind, data)
    digest = _sha1(b"%b %d\0" % (_STARTS[kind], size), usedforsecurity=False)
    digest.update(data)
    return Object(digest.hexdigest(), kind, data)


def blob_id(data: bytes) -> str:
    """The etag of these bytes."""
    return make_object("blob", data).oid


def split_tree(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Mode, name and id of each entry of a raw tree, as bytes and in its order. Raises ValueError if it is torn."""
    rows = _ROWS(data)
    if not rows:
        if data:
            raise ValueError("the tree holds something that isn't an entry")
        return []
    modes, names, _ = zip(*rows, strict=True)
    if sum(map(len, modes)) + sum(map(len, names)) + 22 * len(rows) != len(data):
        raise ValueError("the tree holds something that isn't an entry")
    return rows


def parse_tree(data: bytes) -> tuple[dict[str, Node], list[bytes] | None]:
    """Names and nodes of a raw tree, and the names as git sorts them (None if they don't lie like that, or if a mode is
    written in another way than ours). Bytes that aren't UTF-8 become lone surrogates. Raises ValueError if torn.
    """
    rows = split_tree(data)
    if not rows:
        return {}, []
    modes, names, oids = zip(*rows, strict=True)
    texts = b"\0".join(names).decode("utf-8", "surrogateescape").split("\0")
    plain = [_MODES.get(mode) or mode.decode().lstrip("0") for mode in modes]
    nodes = dict(zip(texts, map(_new_node, zip(plain, _IDS(b"".join(oids).hex()), strict=True)), strict=True))
    order = [name + b"/" if mode == b"40000" else name for mode, name, _ in rows]
    proper = len(nodes) == len(rows) and order == sorted(order) and not any(mode[0] == 48 for mode in set(modes))
    return nodes, order if proper else None


def tree_row(name: str, node: Node) -> tuple[bytes, bytes]:
    """Where an entry stands in git's order (a sub-tree sorts as if its name ended in a slash), and its raw bytes."""
    raw = name.encode("utf-8", "surrogateescape")
    mode, oid = node
    return raw + b"/" if mode == TREE else raw, b"%s %s\0%s" % (mode.encode(), raw, bytes.fromhex(oid))


def serialise_tree(entries: Mapping[str, Node]) -> bytes:
    """The raw tree."""
    return b"".join(row for _, row in sorted(tree_row(name, node) for name, node in entries.items()))
