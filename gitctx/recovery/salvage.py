"""Reading what is left of a broken pack, object by object: each one that is given back has been hashed.

Source: git's documentation, gitformat-pack(5).
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from gitctx.errors import ObjectMissing
from gitctx.format.objects import Kind, Object, make_object
from gitctx.recovery.shadow import Shadow

_KINDS: dict[int, Kind] = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET_DELTA, _NAMED_DELTA = 6, 7
_FAN_OUT_END = 8 + 256 * 4
_LARGE = 0x80000000
_GROUP_BYTES = 8 << 20
_DEEPEST = 300
_CHUNK = 4096
_REMEMBERED = 256
_LARGEST = 2 << 20


class IndexRow(NamedTuple):
    """One object that a pack should hold, and where."""

    oid: str
    offset: int


def rows_of(index: bytes) -> list[IndexRow] | None:
    """What a version 2 index tells, in the order of the pack; None if it can't be read. Nothing of it is trusted: it
    may be damaged itself.
    """
    if index[:8] != b"\xfftOc\x00\x00\x00\x02" or len(index) < _FAN_OUT_END:
        return None
    number = int.from_bytes(index[_FAN_OUT_END - 4 : _FAN_OUT_END])
    names_end = _FAN_OUT_END + 20 * number
    offsets_at = names_end + 4 * number
    if len(index) < offsets_at + 4 * number:
        return None
    offsets = struct.unpack_from(f">{number}I", index, offsets_at)
    large_at = offsets_at + 4 * number
    rows = []
    for place, offset in enumerate(offsets):
        if offset & _LARGE:
            start = large_at + 8 * (offset & ~_LARGE)
            offset = int.from_bytes(index[start : start + 8])
        at = _FAN_OUT_END + 20 * place
        rows.append(IndexRow(index[at : at + 20].hex(), offset))
    return sorted(rows, key=lambda row: row.offset)


def salvage(pack: bytes | mmap.mmap, rows: Sequence[IndexRow] | None, shadow: Shadow) -> tuple[int, set[str]]:
    """Put down in the shadow what of a pack can be read and isn't there yet: how many objects, and the ids of those
    that can't be read. Without an index it is read from the beginning; after a fault, the next object is looked for.
    """
    reader = _Reader(pack, shadow, dict(rows or ()))
    group: list[Object] = []
    saved, weight = 0, 0
    lost: set[str] = set()
    for oid, offset in rows if rows is not None else reader.sequence():
        if oid and shadow.repository.has(oid):
            continue
        item = reader.read(offset)
        if item is None or (oid and item.oid != oid):
            lost.add(oid)
            continue
        group.append(item)
        weight += len(item.data)
        saved += 1
        if weight > _GROUP_BYTES:
            shadow.put_down(group)
            group, weight = [], 0
    shadow.put_down(group)
    return saved, lost - {""}


class _Reader:
    """A pack's bytes, read at offsets."""

    def __init__(self, pack: bytes | mmap.mmap, shadow: Shadow, places: dict[str, int]) -> None:
        self._pack = pack
        self._shadow = shadow
        self._places = places
        self._recent: dict[int, Object] = {}
        self._end = 12

    def sequence(self) -> list[tuple[str, int]]:
        """The offsets at which objects begin, as far as one can be told from the other."""
        found = []
        offset = 12
        while offset < len(self._pack) - 20:
            item = self.read(offset)
            if item is None:
                offset = self._next_after(offset)
                continue
            self._places[item.oid] = offset
            found.append(("", offset))
            offset = self._end
        return found

    def _next_after(self, offset: int) -> int:
        """Where the next object that can be read begins after one that can't; the end of the pack, if none does."""
        end = len(self._pack) - 20
        for at in range(offset + 1, min(end, offset + _LARGEST)):
            try:
                _, _, start = self._header(at)
                looks_packed = self._pack[start] & 15 == 8 and int.from_bytes(self._pack[start : start + 2]) % 31 == 0
            except IndexError:
                break
            if looks_packed and self.read(at) is not None:
                return at
        return end

    def read(self, offset: int, depth: int = 0) -> Object | None:
        """The object that begins at an offset; None if it can't be read."""
        known = self._recent.get(offset)
        if known is not None and depth:
            return known
        try:
            item = self._read(offset, depth) if depth < _DEEPEST else None
        except (IndexError, KeyError, ValueError, zlib.error, ObjectMissing, RecursionError):
            return None
        if item is not None:
            if len(self._recent) >= _REMEMBERED:
                self._recent.clear()
            self._recent[offset] = item
        return item

    def _read(self, offset: int, depth: int) -> Object | None:
        kind, size, at = self._header(offset)
        base: Object | None = None
        if kind == _OFFSET_DELTA:
            back, at = self._distance(at)
            base = self.read(offset - back, depth + 1) if 0 < back <= offset else None
        elif kind == _NAMED_DELTA:
            base, at = self._named(self._pack[at : at + 20].hex(), depth), at + 20
        data = self._inflated(at)
        if len(data) != size:
            return None
        if kind in _KINDS:
            return make_object(_KINDS[kind], data)
        return make_object(base.kind, apply_delta(base.data, data)) if base is not None else None

    def _named(self, oid: str, depth: int) -> Object | None:
        """The base of that id: in this pack, or wherever the store has it."""
        if oid in self._places:
            item = self.read(self._places[oid], depth + 1)
            if item is not None and item.oid == oid:
                return item
        if self._shadow.repository.has(oid):
            return Object(oid, *self._shadow.repository.read(oid))
        return None

    def _inflated(self, at: int) -> bytes:
        stream = zlib.decompressobj()
        parts = []
        while not stream.eof:
            chunk = self._pack[at : at + _CHUNK]
            if not chunk:
                raise ValueError("the pack ends too early")
            parts.append(stream.decompress(chunk))
            at += len(chunk)
        self._end = at - len(stream.unused_data)
        return b"".join(parts)

    def _header(self, at: int) -> tuple[int, int, int]:
        """Kind and size of the object at an offset, and where its bytes begin."""
        byte = self._pack[at]
        kind, size, shift = (byte >> 4) & 7, byte & 15, 4
        while byte & 0x80:
            at += 1
            byte = self._pack[at]
            size |= (byte & 0x7F) << shift
            shift += 7
        return kind, size, at + 1

    def _distance(self, at: int) -> tuple[int, int]:
        byte = self._pack[at]
        distance = byte & 0x7F
        while byte & 0x80:
            at += 1
            byte = self._pack[at]
            distance = ((distance + 1) << 7) | (byte & 0x7F)
        return distance, at + 1


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """What a delta makes of its base. Raises ValueError and IndexError if it doesn't fit."""
    at = 0
    sizes = []
    for _ in range(2):
        size = shift = 0
        while True:
            byte = delta[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        sizes.append(size)
    if sizes[0] != len(base):
        raise ValueError("the delta belongs to another base")
    parts = []
    while at < len(delta):
        code = delta[at]
        at += 1
        if code & 0x80:
            start = length = 0
            for place in range(4):
                if code & (1 << place):
                    start |= delta[at] << (8 * place)
                    at += 1
            for place in range(3):
                if code & (0x10 << place):
                    length |= delta[at] << (8 * place)
                    at += 1
            parts.append(base[start : start + (length or 0x10000)])
        else:
            parts.append(delta[at : at + code])
            at += code
    made = b"".join(parts)
    if len(made) != sizes[1]:
        raise ValueError("the delta is damaged")
    return made
