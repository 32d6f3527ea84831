"""What is to be surveyed, and how it is cut into pieces that agents can claim."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitctx.format.documents import format_time
from gitctx.format.keys import MAX_KEY_BYTES, segment_fault
from gitctx.repository.project import ProjectCommit, TrackedFile
from gitctx_cli.demo.wording import many

OPEN = "plan/open/"
DONE = "plan/done/"
GOAL = "plan/goal.md"
FINDINGS = "finding/"
SUMMARY = "summary.json"
LOG = "status/log"
ADVICE = "decision/read-first.md"
CHECKPOINT = "surveyed"
WRAP_UP = "wrap-up"

_PIECES = 40
_MAX_FILES_IN_PIECE = 1000
_SUFFIX = ".json"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True, slots=True)
class Item:
    """One file to survey: its path as text, the key of its finding, and what the plan knows of it already."""

    path: str
    key: str
    blob: str
    size_bytes: int | None
    last_commit: Mapping[str, str] | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the plan."""
        return {
            "path": self.path,
            "key": self.key,
            "blob": self.blob,
            "size_bytes": self.size_bytes,
            "last_commit": self.last_commit,
        }


@dataclass(frozen=True, slots=True)
class Piece:
    """A share of the work; `name` is also the name of its claim."""

    name: str
    items: tuple[Item, ...]

    @property
    def open_key(self) -> str:
        """Where it stands until it is done."""
        return f"{OPEN}{self.name}.json"

    @property
    def done_key(self) -> str:
        """Where it stands when it is done."""
        return f"{DONE}{self.name}.json"

    def to_json(self) -> dict[str, Any]:
        """As it stands in the plan."""
        return {"claim": self.name, "files": [item.to_json() for item in self.items]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Piece:
        """A piece as the plan has it."""
        return cls(value["claim"], tuple(Item(**item) for item in value["files"]))


def choose(files: Sequence[TrackedFile], limit: int) -> Sequence[TrackedFile]:
    """At most `limit` files, those nearest to the project's top first."""
    nearest = sorted(files, key=lambda file: (file.path.count(b"/"), file.path))
    return sorted(nearest[:limit], key=lambda file: file.path)


def cut(items: Sequence[Item]) -> Sequence[Piece]:
    """The items in pieces of neighbours: about forty pieces, fewer for a small project, more for a huge one."""
    count = min(len(items), max(8, len(items) // 8), _PIECES)
    count = max(count, -(-len(items) // _MAX_FILES_IN_PIECE))
    bounds = [len(items) * number // count for number in range(count + 1)]
    width = len(str(count))
    return [
        Piece(f"survey-{number + 1:0{width}}", tuple(items[bounds[number] : bounds[number + 1]]))
        for number in range(count)
    ]


def items_of(files: Iterable[TrackedFile], commits: Mapping[bytes, ProjectCommit]) -> Sequence[Item]:
    """The files as items of a plan."""
    return [
        Item(shown(file.path), finding_key(file.path), file.blob, file.size, _commit_json(commits.get(file.path)))
        for file in files
    ]


def _commit_json(commit: ProjectCommit | None) -> Mapping[str, str] | None:
    if commit is None:
        return None
    return {"id": commit.id, "author": commit.author, "at": format_time(commit.at)}


def shown(path: bytes) -> str:
    """A path as printable text; what isn't text is shown by its bytes."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def finding_key(path: bytes) -> str:
    """The key of the finding about a file: `finding/<path>.json`, with %XX for what a key can't hold.

    Two paths never share a key: undoing the %XX gives the path back (of a path that is too long, its digest is used).
    """
    *folders, name = path.split(b"/")
    segments = [_escaped(folder, "") for folder in folders] + [_escaped(name, _SUFFIX)]
    key = FINDINGS + "/".join(segments)
    if len(key.encode()) > MAX_KEY_BYTES or any(segment_fault(segment) for segment in segments):
        return f"{FINDINGS}%long-{hashlib.sha256(path).hexdigest()[:32]}{_SUFFIX}"
    return key


def _escaped(segment: bytes, suffix: str) -> str:
    try:
        text = segment.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and unicodedata.is_normalized("NFC", text):
        text = "".join(each if each.isprintable() and each not in "%\\" else _percent(each.encode()) for each in text)
        text = text if suffix else _not_like_a_finding(text)
        if segment_fault(text + suffix) is None:
            return text + suffix
    middle = range(1, len(segment) - 1)
    kept = (byte in _PLAIN or (byte in b".-" and place in middle) for place, byte in enumerate(segment))
    text = "".join(chr(byte) if keep else f"%{byte:02X}" for byte, keep in zip(segment, kept, strict=True))
    return text + suffix if suffix else _not_like_a_finding(text)


def _not_like_a_finding(folder: str) -> str:
    """A folder's name so that no finding can have it: `data.json/` beside the finding about `data`."""
    return folder.removesuffix(_SUFFIX) + "%2Ejson" if folder.endswith(_SUFFIX) else folder


def _percent(data: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in data)


def part_of(piece: str) -> str:
    """Why a finding is written: the message of its commit."""
    return f"part of {piece}"


def add_to_summary(
    summary: Mapping[str, Any] | None, piece: str, findings: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The shared summary with the findings of one piece counted in, once."""
    if summary is None:
        summary = {"files": 0, "lines": 0, "todo": 0, "languages": {}, "imported": {}, "pieces": []}
    if piece in summary["pieces"]:
        return summary
    languages, imported = dict(summary["languages"]), Counter(summary["imported"])
    for finding in findings:
        name, known = finding["language"], languages.get(finding["language"], {"files": 0, "lines": 0})
        languages[name] = {"files": known["files"] + 1, "lines": known["lines"] + (finding["lines"] or 0)}
        imported.update(each["file"] for each in finding["imports"])
    return {
        "files": summary["files"] + len(findings),
        "lines": summary["lines"] + sum(finding["lines"] or 0 for finding in findings),
        "todo": summary["todo"] + sum(len(finding["todo"]) for finding in findings),
        "languages": languages,
        "imported": dict(imported),
        "pieces": [*summary["pieces"], piece],
    }


def advice(findings: Sequence[Mapping[str, Any]]) -> str:
    """What somebody new to the project might read first, as Markdown."""
    importers = Counter(each["file"] for finding in findings for each in finding["imports"])
    lines = ["# What to read first", ""]
    lines += [f"- `{path}`, imported by {many(count, 'file')}" for path, count in importers.most_common(10)]
    if not importers:
        largest = sorted(findings, key=lambda finding: -(finding["lines"] or 0))[:10]
        lines += [f"- `{finding['path']}`, {many(finding['lines'] or 0, 'line')}" for finding in largest]
    marked = sorted((finding for finding in findings if finding["todo"]), key=lambda finding: -len(finding["todo"]))
    if marked:
        lines += ["", "# Where work was left", ""]
        lines += [f"- `{finding['path']}`: {len(finding['todo'])} TODO or FIXME" for finding in marked[:10]]
    return "\n".join(lines) + "\n"
