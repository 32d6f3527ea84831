"""What makes a folder a git repository at all: HEAD, the configuration, the folders that have to be there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitctx.errors import CorruptStore, GitctxError, NotAStore, StorageError, StoreNotFound
from gitctx.format.messages import FORMAT
from gitctx.repository import Repository
from gitctx.repository.translate import translated
from gitctx.store.identity import CONTEXT, REQUIRED_CONFIG, SESSIONS
from gitctx.values import Finding

HEAD = f"ref: refs/heads/{CONTEXT}\n".encode()
FOLDERS = ("objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags", "logs", "logs/refs/heads")
_REGROW = ("objects/info", "refs/tags", "logs/refs/heads")
"""Folders that git makes itself when it needs them: to lack one isn't damage."""
_STORE_ID = re.compile(rb"^\s*store\s*=\s*([0-9A-HJKMNP-TV-Z]{26})\s*$", re.MULTILINE)
_SECTION = re.compile(r'\[[A-Za-z0-9.-]+( +"[^"\n]*")?\]')
_SETTING = re.compile(r"\s*[A-Za-z][A-Za-z0-9-]*\s*(=[^\0]*)?")
_BASIC = {"core.repositoryformatversion": "0", "core.filemode": "true", "core.bare": "true"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What is wrong with the frame. `config` is the damaged configuration as it lies there (None: nothing is)."""

    folders: tuple[str, ...]
    head: bool
    config: bytes | None
    store_id: str | None
    findings: tuple[Finding, ...]


def look(path: Path) -> Frame:
    """Look at the frame of a store. Raises StoreNotFound and NotAStore where there is nothing to recover."""
    with translated(path):
        if not path.exists():
            raise StoreNotFound(
                f"there is no store at {path}", hint="`gitctx init` makes one", details={"path": str(path)}
            )
        if not path.is_dir() or not _has_been_a_store(path):
            raise NotAStore(
                f"nothing at {path} tells that it has ever been a gitctx store",
                hint="give the path of a store (a bare repository named store.git)",
                details={"path": str(path)},
            )
        folders = tuple(name for name in FOLDERS if not (path / name).is_dir())
        head = _read(path / "HEAD") != HEAD
        raw = _read(path / "config")
        faults = list(_config_faults(path, raw))
    match = _STORE_ID.search(raw or b"")
    findings = [Finding("folder", name, f"the folder {name} is gone") for name in folders if name not in _REGROW]
    if head:
        findings.append(Finding("head", "HEAD", f"HEAD doesn't name the branch {CONTEXT}"))
    findings += [Finding("config", "config", fault) for fault in faults]
    return Frame(folders, head, (raw or b"") if faults else None, match[1].decode() if match else None, tuple(findings))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _has_been_a_store(path: Path) -> bool:
    """Whether something of gitctx's own is left: a user's project may have branches of any name."""
    if not (path / "objects").is_dir() and not (path / "logs").is_dir():
        return False
    if _STORE_ID.search(_read(path / "config") or b"") or (path / "gitctx" / "queue").is_dir():
        return True
    return any(b"\tgitctx: " in (_read(path / "logs" / "refs" / "heads" / name) or b"") for name in (CONTEXT, SESSIONS))


def _config_faults(path: Path, raw: bytes | None) -> Iterator[str]:
    """What is wrong with the configuration. A value that was set to something else is the user's business."""
    if raw is None:
        yield "the configuration is gone"
        return
    try:
        if b"\0" in raw:
            raise CorruptStore("it holds NUL bytes")
        known = Repository(path).config()
    except GitctxError as error:
        if isinstance(error, StorageError) and error.details.get("errno"):
            raise
        yield f"the configuration can't be read: {error.message}"
        return
    needed = [*_BASIC, *REQUIRED_CONFIG, "gitctx.format", "gitctx.store"]
    missing = [name for name in needed if name not in known and name != "core.filemode"]
    if missing:
        yield f"the configuration lacks {', '.join(missing)}"


def rebuilt_config(raw: bytes, store_id: str) -> bytes:
    """The configuration with what init sets, and with every other line of the damaged one that can still be read."""
    required = {**_BASIC, **REQUIRED_CONFIG, "gitctx.format": str(FORMAT), "gitctx.store": store_id}
    sections: dict[str, list[str]] = {}
    for name, value in required.items():
        section, _, key = name.rpartition(".")
        sections.setdefault(f"[{section}]", []).append(f"\t{key} = {value}")
    header = ""
    for line in raw.decode("utf-8", "replace").splitlines():
        if _SECTION.fullmatch(line.strip()):
            header = line.strip()
        elif not _SETTING.fullmatch(line) or "\ufffd" in line:
            header = header if not line.strip() else ""
        elif header and f"{header[1:-1]}.{line.partition('=')[0].strip()}".lower() not in required:
            sections.setdefault(header, []).append(line.rstrip())
    return "".join("\n".join([name, *lines, ""]) for name, lines in sections.items()).encode()


def make_folders(path: Path, names: tuple[str, ...]) -> None:
    """Make the folders that are missing."""
    for name in names:
        os.makedirs(path / name, exist_ok=True)
