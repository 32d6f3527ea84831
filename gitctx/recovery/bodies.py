"""The objects of a store as they lie on the disk: loose files, packs with their indexes, and what git derives of them.

Every file is read and hashed in full. What is whole is linked into the shadow; of the rest it is told what it is.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gitctx.errors import GitctxError
from gitctx.format.packs import packs_in_multi_index
from gitctx.recovery import salvage
from gitctx.recovery.shadow import Shadow
from gitctx.repository.packs import by_name
from gitctx.values import Finding

_FAN = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{38}")
_CHUNK = 1 << 20
_IN_FLIGHT_S = 10.0
_PATIENCE_S = 0.5
_KEEP_AGE_S = 600.0
_DERIVED = {"rev", "bitmap", "mtimes"}


@dataclass(slots=True)
class Bodies:
    """What was found.

    `broken` are the files to be moved aside (paths in the store), `rebuilt` the indexes that were made anew (in the
    shadow, by the name of the pack), `salvaged` packs in the shadow with what could be read of broken packs. `suspects`
    are the ids of objects that are there and can't be read; `unknown` says that there are more, nobody knows which.
    """

    store: Path
    findings: list[Finding] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    rebuilt: dict[str, Path] = field(default_factory=dict)
    salvaged: list[str] = field(default_factory=list)
    suspects: set[str] = field(default_factory=set)
    unknown: bool = False
    stamp: set[tuple[object, ...]] = field(default_factory=set)
    _seen: dict[str, tuple[int, ...] | None] = field(default_factory=dict)

    def report(self, code: str, place: str, text: str, *, also: tuple[str, ...] = ()) -> None:
        """Note a broken file, and those that have to go with it."""
        self.findings.append(Finding(code, place, text))
        for each in (place, *also):
            self.broken.append(each)
            self._seen[each] = _stamp(self.store / each)

    def is_unchanged(self, place: str) -> bool:
        """Whether a broken file is still the one that was looked at: somebody may have written it anew."""
        return place not in self._seen or _stamp(self.store / place) == self._seen[place]


def look(store: Path, shadow: Shadow) -> Bodies:
    """Look at every file, and link what is whole into the shadow. Raises OSError."""
    found = Bodies(store)
    _look_at_packs(store, shadow, found)
    _look_at_loose(store, shadow, found)
    _look_at_derived(store, found)
    return found


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


# -- loose objects ----------------------------------------------------------------------------------------------------


def _look_at_loose(store: Path, shadow: Shadow, found: Bodies) -> None:
    objects = store / "objects"
    for fan in sorted(name for name in _listing(objects) if _FAN.fullmatch(name)):
        whole: list[str] = []
        names = [name for name in _listing(objects / fan) if _REST.fullmatch(name)]
        for name in names:
            fault = _loose_fault(objects / fan / name, fan + name)
            if fault is None:
                whole.append(name)
            elif fault:
                found.report("object", f"objects/{fan}/{name}", f"the loose object {fan}{name} {fault}")
                found.suspects.add(fan + name)
        found.stamp.add((fan, *whole))
        if whole:
            shadow.link_loose(fan, None if len(whole) == len(names) else whole)


def _listing(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _loose_fault(path: Path, oid: str) -> str | None:
    """What is wrong with a loose object; None if nothing is, "" if it is gone meanwhile."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        return ""
    if not packed:
        return "is empty"
    try:
        data = zlib.decompress(packed)
    except zlib.error as error:
        return f"can't be unpacked ({error})"
    if hashlib.sha1(data, usedforsecurity=False).hexdigest() != oid:
        return "doesn't hold what its name says"
    return None


# -- packs ------------------------------------------------------------------------------------------------------------


def _look_at_packs(store: Path, shadow: Shadow, found: Bodies) -> None:
    folder = store / "objects" / "pack"
    if not folder.is_dir():
        return
    torn: list[tuple[str, bool]] = []
    seen: set[str] = set()
    gone = True
    while gone:  # what a merge of packs took away meanwhile is in one that it made
        gone = False
        for name, kinds in sorted(by_name(str(folder)).items()):
            if name in seen or "pack" not in kinds:
                continue
            seen.add(name)
            index_state = _index_state(folder, name, kinds)
            if index_state == "in flight":
                continue
            pack = folder / f"{name}.pack"
            try:
                status, trailer = pack.stat(), pack_trailer(pack)
                fits = trailer is not None and index_state == "there" and index_fits(folder / f"{name}.idx", trailer)
                if index_state == "there" and not fits:
                    (folder / f"{name}.idx").stat()  # gone: it is being taken away
            except FileNotFoundError:
                gone = True
                continue
            if trailer is None:
                torn.append((name, index_state == "there"))
            elif fits:
                shadow.link_pack(name)
                found.stamp.add((name, status.st_ino, status.st_size, status.st_mtime_ns))
            else:
                _rebuild_index(folder, shadow, name, index_state, found)
    for name, indexed in torn:
        _salvage(folder, shadow, name, indexed, found)


def _index_state(folder: Path, name: str, kinds: set[str]) -> str:
    """Whether a pack has an index: `there`, `gone`, or `in flight` while a writer is at it."""
    if "idx" in kinds:
        return "there"
    pack, index = folder / f"{name}.pack", folder / f"{name}.idx"
    until = time.monotonic() + _PATIENCE_S
    while not index.exists():
        try:
            age = time.time() - pack.stat().st_mtime
        except FileNotFoundError:
            return "in flight"
        if "keep" in kinds and age < _KEEP_AGE_S:
            return "in flight"
        if age > _IN_FLIGHT_S or time.monotonic() > until:
            return "gone"
        time.sleep(0.01)
    return "there"


def pack_trailer(pack: Path) -> bytes | None:
    """The checksum at the end of a pack; None if the pack doesn't add up to it."""
    size = pack.stat().st_size
    if size < 32:
        return None
    digest = hashlib.sha1(usedforsecurity=False)
    with open(pack, "rb") as file:
        start = file.read(12)
        if start[:4] != b"PACK" or start[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            return None
        digest.update(start)
        left = size - 32
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                return None
            digest.update(chunk)
            left -= len(chunk)
        trailer = file.read(20)
    return trailer if digest.digest() == trailer else None


def _mapped(pack: Path) -> bytes | mmap.mmap:
    """The bytes of a pack that may be larger than the memory."""
    with open(pack, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if pack.stat().st_size else b""


def index_fits(index: Path, trailer: bytes) -> bool:
    """Whether an index adds up and belongs to the pack with that checksum."""
    try:
        data = index.read_bytes()
    except FileNotFoundError:
        return False
    return _sums_up(data) and data[-40:-20] == trailer


def _sums_up(data: bytes) -> bool:
    return len(data) > 40 and hashlib.sha1(memoryview(data)[:-20], usedforsecurity=False).digest() == data[-20:]


def _rebuild_index(folder: Path, shadow: Shadow, name: str, state: str, found: Bodies) -> None:
    target = shadow.path / "objects" / "pack" / f"{name}.idx"
    status, _, talk = shadow.git("index-pack", "-o", str(target), str(folder / f"{name}.pack"))
    if status != 0:
        found.report("pack", f"objects/pack/{name}.pack", f"{name}.pack can't be indexed: {talk.strip()[-200:]}")
        found.unknown = True
        return
    place = f"objects/pack/{name}.idx"
    if state == "there":
        found.report("index", place, f"{name}.idx is damaged; its pack is whole")
    else:
        found.findings.append(Finding("index", place, f"{name}.pack has no index; the pack is whole"))
    found.rebuilt[name] = target
    shadow.link_pack(name, index=target)


def _salvage(folder: Path, shadow: Shadow, name: str, indexed: bool, found: Bodies) -> None:
    """Bring into the shadow what of a broken pack can still be read."""
    data = _mapped(folder / f"{name}.pack")
    index = (folder / f"{name}.idx").read_bytes() if indexed else b""
    rows = salvage.rows_of(index)
    sure = rows is not None and _sums_up(index)
    before = set(_listing(shadow.path / "objects" / "pack"))
    count, lost = salvage.salvage(data, rows, shadow) if rows is not None else (0, set[str]())
    if not sure:  # what a damaged index tells may be wrong
        count += salvage.salvage(data, None, shadow)[0]
        lost = set()
    made = set(_listing(shadow.path / "objects" / "pack")) - before
    found.salvaged += sorted(each.removesuffix(".idx") for each in made if each.endswith(".idx"))
    found.suspects |= lost
    found.unknown = found.unknown or not sure
    what = f"{len(lost)} of its objects can't be read" if sure else "nobody knows what else it held"
    siblings = [each for each in _listing(folder) if each.startswith(f"{name}.") and not each.endswith(".pack")]
    text = f"{name}.pack is damaged; {count} objects saved, {what}"
    found.report("pack", f"objects/pack/{name}.pack", text, also=tuple(f"objects/pack/{each}" for each in siblings))


# -- what git derives -------------------------------------------------------------------------------------------------


def _look_at_derived(store: Path, found: Bodies) -> None:
    gone = {place.rpartition("/")[2].removesuffix(".pack") for place in found.broken if place.endswith(".pack")}
    for code, place in _derived(store):
        if place in found.broken:
            continue
        try:
            data = (store / place).read_bytes()
        except FileNotFoundError:
            continue
        if place.endswith("multi-pack-index"):
            fault = _multi_index_fault(store, data, gone)
        elif place.endswith("-chain"):
            fault = None if re.fullmatch(rb"([0-9a-f]{40}\n)+", data) else "isn't a list of graphs"
        else:
            fault = None if _sums_up(data) else "is damaged"
        if fault is not None:
            found.report(code, place, f"{place} {fault}; git can make it anew")
    if any("/commit-graphs/" in place for place in found.broken):  # a chain is of use only as a whole
        found.broken += [place for place in commit_graphs(store) if place not in found.broken]


def _derived(store: Path) -> Iterator[tuple[str, str]]:
    pack = "objects/pack"
    for name in sorted(_listing(store / pack)):
        if name.startswith("multi-pack-index") and not name.endswith(".lock"):
            yield "multi_pack_index", f"{pack}/{name}"
        elif name.startswith("pack-") and name.rpartition(".")[2] in _DERIVED:
            yield "derived", f"{pack}/{name}"
    for place in commit_graphs(store):
        yield "commit_graph", place


def commit_graphs(store: Path) -> list[str]:
    """The files of the commit-graph, one or a chain."""
    info = "objects/info"
    found = [f"{info}/commit-graph"] if (store / info / "commit-graph").exists() else []
    chain = f"{info}/commit-graphs"
    return found + [f"{chain}/{name}" for name in sorted(_listing(store / chain)) if not name.endswith(".lock")]


def _multi_index_fault(store: Path, data: bytes, gone: set[str]) -> str | None:
    if not _sums_up(data):
        return "is damaged"
    try:
        names = [name.removesuffix(".idx") for name in packs_in_multi_index(data)]
    except (ValueError, IndexError, GitctxError):
        return "is damaged"
    missing = [name for name in names if name in gone or not (store / "objects" / "pack" / f"{name}.pack").exists()]
    return f"names the pack {missing[0]}, which isn't there" if missing else None
