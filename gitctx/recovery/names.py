"""Ref files, packed refs and reflogs as they lie on the disk, damaged or not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gitctx.repository.disk import raise_unless_gone
from gitctx.repository.reflog import NO_OBJECT
from gitctx.values import Finding

_OID = re.compile(rb"[0-9a-f]{40}")
_PACKED = re.compile(rb"([0-9a-f]{40}) (refs/[^\0\n]+)\n")
_LINE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40})([^\0\n]*)\n")
_NOTE = re.compile(rb"([0-9a-f]{40}) [0-9a-f]{40}\n")
_NOTE_AT = 16


class Line(NamedTuple):
    """A line of a reflog; `rest` is who, when and why."""

    old: str
    new: str
    rest: bytes

    @property
    def message(self) -> str:
        """What the line says of the move."""
        return self.rest.partition(b"\t")[2].decode("utf-8", "replace")

    def raw(self) -> bytes:
        """The line as it is written."""
        return b"%s %s%s\n" % (self.old.encode(), self.new.encode(), self.rest)


@dataclass(slots=True)
class Names:
    """All that names revisions: refs (a loose one hides a packed one), and reflogs by the ref's name."""

    loose: dict[str, str] = field(default_factory=dict)
    packed: dict[str, str] = field(default_factory=dict)
    broken: dict[str, bytes] = field(default_factory=dict)
    packed_broken: bool = False
    logs: dict[str, Sequence[Line]] = field(default_factory=dict)
    torn_logs: dict[str, bytes] = field(default_factory=dict)

    def value(self, ref: str) -> str | None:
        """What a ref holds, as far as it can be read."""
        if ref in self.broken:
            return None
        return self.loose.get(ref) or self.packed.get(ref)

    def refs(self) -> dict[str, str]:
        """Every ref that can be read."""
        return {**{name: oid for name, oid in self.packed.items() if name not in self.broken}, **self.loose}

    def findings(self) -> list[Finding]:
        """What is wrong with the files themselves."""
        found = [
            Finding("checkpoint" if name.startswith("refs/tags/") else "ref", name, f"{name} holds {data[:40]!r}")
            for name, data in sorted(self.broken.items())
        ]
        if self.packed_broken:
            found.append(
                Finding("packed_refs", "packed-refs", "packed-refs is cut off or holds lines that aren't refs")
            )
        found += [
            Finding("reflog", f"logs/{name}", f"the reflog of {name} holds bytes that are no line")
            for name in sorted(self.torn_logs)
        ]
        return found


def read(path: Path) -> Names:
    """Read all of them. Raises OSError."""
    names = Names()
    for name, data in _files(path, "refs"):
        value = data.strip()
        if _OID.fullmatch(value):
            names.loose[name] = value.decode()
        elif not (data.startswith(b"ref: refs/") and b"\0" not in data and not name.startswith("refs/heads/")):
            names.broken[name] = data
    with suppress(FileNotFoundError):
        names.packed, names.packed_broken = parse_packed((path / "packed-refs").read_bytes())
    for place, data in _files(path, "logs"):
        name = place.removeprefix("logs/")
        names.logs[name], whole = parse_log(data)
        if not whole:
            names.torn_logs[name] = data
    return names


def _files(path: Path, place: str) -> Iterable[tuple[str, bytes]]:
    for folder, _, files in os.walk(path / place, onerror=raise_unless_gone):
        for file in files:
            if file.endswith(".lock"):
                continue
            full = Path(folder, file)
            try:
                yield full.relative_to(path).as_posix(), full.read_bytes()
            except FileNotFoundError:
                continue


def parse_packed(data: bytes) -> tuple[dict[str, str], bool]:
    """The refs in a packed-refs file, and whether anything else than refs is in it."""
    found: dict[str, str] = {}
    broken = False
    for line in data.splitlines(keepends=True):
        match = _PACKED.fullmatch(line)
        if match is not None:
            found[match[2].decode("utf-8", "surrogateescape")] = match[1].decode()
        elif not (line.startswith(b"#") and line.endswith(b"\n")) and not re.fullmatch(rb"\^[0-9a-f]{40}\n", line):
            broken = True
    return found, broken


def packed_text(refs: dict[str, str]) -> bytes:
    """A packed-refs file of these refs."""
    lines = [f"{oid} {name}\n" for name, oid in sorted(refs.items())]
    return "".join(["# pack-refs with: sorted \n", *lines]).encode("utf-8", "surrogateescape")


def parse_log(data: bytes) -> tuple[list[Line], bool]:
    """The lines of a reflog that can be read, and whether that is all there is in it."""
    found = _LINE.findall(data)
    lines = [Line(old.decode(), new.decode(), rest) for old, new, rest in found]
    return lines, sum(82 + len(rest) for _, _, rest in found) == len(data)


def read_note(path: Path, branch: str) -> str | None:
    """The head that gitctx published last, as its writer queue noted it."""
    try:
        with open(path / "gitctx" / "queue" / branch, "rb") as file:
            match = _NOTE.match(file.read(256), _NOTE_AT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return match[1].decode() if match is not None and match[1] != NO_OBJECT.encode() else None
