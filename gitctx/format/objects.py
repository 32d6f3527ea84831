"""Git's object encoding: ids, trees, and the two layouts that a store writes objects in (loose and packed).

Source: git's documentation, gitformat-pack(5) and "Git Internals - Git Objects".
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal["commit", "tree", "blob", "tag"]

BLOB = "100644"
TREE = "40000"
_ENTRY_MODES = frozenset({"100644", "100755", "100664"})
_PACK_TYPES: dict[str, int] = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_COMPRESSION = 1


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


def tree_row(name: str, node: Node) -> tuple[bytes, bytes]:
    """Where an entry stands in git's order (a sub-tree sorts as if its name ended in a slash), and its raw bytes."""
    raw = name.encode("utf-8", "surrogateescape")
    mode, oid = node
    return raw + b"/" if mode == TREE else raw, b"%s %s\0%s" % (mode.encode(), raw, bytes.fromhex(oid))


def serialise_tree(entries: Mapping[str, Node]) -> bytes:
    """The raw tree."""
    return b"".join(row for _, row in sorted(tree_row(name, node) for name, node in entries.items()))


def loose_bytes(item: Object) -> bytes:
    """The content of a loose object file."""
    return zlib.compress(b"%s %d\0%s" % (item.kind.encode(), len(item.data), item.data), _COMPRESSION)


def pack_bytes(objects: Sequence[Object]) -> tuple[bytes, bytes, str]:
    """A pack of these objects (no deltas), its version 2 index, and the name of both: the pack's checksum in hex."""
    chunks = [struct.pack(">4sII", b"PACK", 2, len(objects))]
    offset = 12
    rows: list[tuple[bytes, int, int]] = []
    for item in objects:
        chunk = _pack_header(_PACK_TYPES[item.kind], len(item.data)) + zlib.compress(item.data, _COMPRESSION)
        rows.append((bytes.fromhex(item.oid), zlib.crc32(chunk), offset))
        chunks.append(chunk)
        offset += len(chunk)
    body = b"".join(chunks)
    checksum = hashlib.sha1(body, usedforsecurity=False).digest()
    return body + checksum, _pack_index(rows, checksum), checksum.hex()


def _pack_header(kind: int, size: int) -> bytes:
    byte = (kind << 4) | (size & 0x0F)
    size >>= 4
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)


def _pack_index(rows: Iterable[tuple[bytes, int, int]], checksum: bytes) -> bytes:
    ordered = sorted(rows)
    fanout = [0] * 256
    for oid, _, _ in ordered:
        fanout[oid[0]] += 1
    total = 0
    for position, count in enumerate(fanout):
        total += count
        fanout[position] = total
    large = [offset for _, _, offset in ordered if offset >= 0x80000000]
    offsets = []
    seen_large = 0
    for _, _, offset in ordered:
        if offset >= 0x80000000:
            offsets.append(0x80000000 | seen_large)
            seen_large += 1
        else:
            offsets.append(offset)
    index = b"".join(
        [
            b"\xfftOc\x00\x00\x00\x02",
            struct.pack(">256I", *fanout),
            b"".join(oid for oid, _, _ in ordered),
            struct.pack(f">{len(ordered)}I", *(crc for _, crc, _ in ordered)),
            struct.pack(f">{len(offsets)}I", *offsets),
            struct.pack(f">{len(large)}Q", *large),
            checksum,
        ]
    )
    return index + hashlib.sha1(index, usedforsecurity=False).digest()
