"""Git's packs, as far as a store writes them: every object whole (no deltas), with a version 2 index.

Source: git's documentation, gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from itertools import pairwise
from mmap import mmap
from operator import itemgetter
from typing import NamedTuple

from gitctx.format.objects import Kind, Object

_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_DELTAS = frozenset({6, 7})
_HEADER_BYTES = 12
_CHECKSUM_BYTES = 20
_INDEX_START = b"\xfftOc\x00\x00\x00\x02"
_FAN_OUT_END = 8 + 256 * 4
_ROW_BYTES = 20 + 4 + 4
_LARGE = 0x80000000
_STORED_BYTES = 1024
_STORED_TREE_BYTES = 32_768
_SMALL_BYTES = 4096

_WORD = struct.Struct(">I")
_LENGTHS = struct.Struct("<HH")

Row = tuple[bytes, int, int]
"""One line of an index: the id, the CRC-32 of the packed entry, where it begins in the pack."""


class Pack(NamedTuple):
    """The bytes of a pack and of its index."""

    pack_bytes: bytes
    index_bytes: bytes


class Source(NamedTuple):
    """A pack that can be merged with others: its bytes, and its index in the order of the pack."""

    pack_bytes: bytes
    rows: list[Row]


def make_pack(objects: Iterable[Object]) -> Pack:
    """A pack of these objects, each once."""
    chunks = []
    offset = _HEADER_BYTES
    rows: list[Row] = []
    for oid, kind, data in {item.oid: item for item in objects}.values():
        size = len(data)
        first = _TYPES[kind] << 4 | size & 15
        if size < 16:
            header = b"%c" % first
        elif size < 2048:
            header = b"%c%c" % (first | 128, size >> 4)
        else:
            header = _long_header(first, size >> 4)
        chunk = header + _packed(kind, data, size)
        rows.append((bytes.fromhex(oid), zlib.crc32(chunk), offset))
        chunks.append(chunk)
        offset += len(chunk)
    return _assembled(chunks, rows)


def read_source(pack: Pack) -> Source | None:
    """The pack, to be merged; None if it holds deltas, or if the two files aren't whole and of one another."""
    data, index = pack
    if len(data) < _HEADER_BYTES + _CHECKSUM_BYTES or not _sums_up(data) or not _sums_up(index):
        return None
    number = int.from_bytes(data[8:12])
    end = _FAN_OUT_END + number * _ROW_BYTES
    if index[:8] != _INDEX_START or len(index) != end + 2 * _CHECKSUM_BYTES or index[end : end + 20] != data[-20:]:
        return None
    oids_end = _FAN_OUT_END + number * 20
    crcs = struct.unpack_from(f">{number}I", index, oids_end)
    offsets = struct.unpack_from(f">{number}I", index, oids_end + number * 4)
    oids = [index[at : at + 20] for at in range(_FAN_OUT_END, oids_end, 20)]
    if any((data[offset] >> 4) & 7 in _DELTAS for offset in offsets):
        return None
    return Source(data, sorted(zip(oids, crcs, offsets, strict=True), key=itemgetter(2)))


def merge(sources: Iterable[Source]) -> Pack:
    """One pack of all that several hold, each object once; the entries are copied as they are."""
    chunks: list[bytes] = []
    offset = _HEADER_BYTES
    rows: list[Row] = []
    seen: set[bytes] = set()
    for data, found in sources:
        ends = [start for _, _, start in found[1:]] + [len(data) - _CHECKSUM_BYTES]
        for (oid, crc, start), end in zip(found, ends, strict=False):
            if oid not in seen:
                seen.add(oid)
                rows.append((oid, crc, offset))
                chunks.append(data[start:end])
                offset += end - start
    return _assembled(chunks, rows)


def count_by_size(index_bytes: int) -> int:
    """How many objects an index of that size has (if its pack is smaller than 2 GiB)."""
    return max(0, index_bytes - _FAN_OUT_END - 2 * _CHECKSUM_BYTES) // _ROW_BYTES


def packs_in_multi_index(data: bytes | mmap) -> list[str]:
    """The names (`pack-....idx`) that a multi-pack-index lists. Raises ValueError if it isn't one."""
    if data[:4] != b"MIDX" or len(data) < _HEADER_BYTES:
        raise ValueError("that is no multi-pack-index")
    chunks = [struct.unpack_from(">4sQ", data, _HEADER_BYTES + 12 * number) for number in range(data[6] + 1)]
    for (name, start), (_, end) in pairwise(chunks):
        if name == b"PNAM":
            return [part.decode("utf-8", "surrogateescape") for part in data[start:end].split(b"\0") if part]
    raise ValueError("that multi-pack-index names no packs")


def _packed(kind: Kind, data: bytes, size: int) -> bytes:
    """Compressed, where that pays: what is small, and trees (mostly ids that can't be compressed), is stored as it is.

    A repack by git makes deltas of trees and compresses the rest. For what is a little larger, a small window costs a
    third of zlib's usual one to set up.
    """
    if size <= _STORED_BYTES or (kind == "tree" and size <= _STORED_TREE_BYTES):
        return b"\x78\x01\x01%b%b%b" % (_LENGTHS.pack(size, size ^ 0xFFFF), data, _WORD.pack(zlib.adler32(data)))
    if size > _SMALL_BYTES:
        return zlib.compress(data, 1)
    stream = zlib.compressobj(1, zlib.DEFLATED, 12, 5)
    return stream.compress(data) + stream.flush()


def _long_header(byte: int, size: int) -> bytes:
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)


def _assembled(chunks: list[bytes], rows: list[Row]) -> Pack:
    body = b"".join([struct.pack(">4sII", b"PACK", 2, len(rows)), *chunks])
    checksum = hashlib.sha1(body, usedforsecurity=False).digest()
    return Pack(body + checksum, _index(rows, checksum))


def _index(rows: Iterable[Row], checksum: bytes) -> bytes:
    ordered = sorted(rows)
    number = len(ordered)
    offsets = [offset for _, _, offset in ordered]
    large = [offset for offset in offsets if offset >= _LARGE]
    if large:
        places = iter(range(_LARGE, _LARGE + len(large)))
        offsets = [next(places) if offset >= _LARGE else offset for offset in offsets]
    index = b"".join(
        [
            _INDEX_START,
            _fan_out([oid[0] for oid, _, _ in ordered]),
            *[oid for oid, _, _ in ordered],
            struct.pack(f">{number}I", *[crc for _, crc, _ in ordered]),
            struct.pack(f">{number}I", *offsets),
            struct.pack(f">{len(large)}Q", *large),
            checksum,
        ]
    )
    return index + hashlib.sha1(index, usedforsecurity=False).digest()


def _fan_out(first_bytes: list[int]) -> bytes:
    """For each byte, how many ids begin with it or a lower one; the bytes are sorted."""
    parts = []
    before = 0
    for count, byte in enumerate(first_bytes):
        if byte != before:
            parts.append(_WORD.pack(count) * (byte - before))
            before = byte
    parts.append(_WORD.pack(len(first_bytes)) * (256 - before))
    return b"".join(parts)


def _sums_up(data: bytes) -> bool:
    return hashlib.sha1(data[:-_CHECKSUM_BYTES], usedforsecurity=False).digest() == data[-_CHECKSUM_BYTES:]
