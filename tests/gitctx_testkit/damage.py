"""Files to damage: what a power cut, a bad disk, a killed program or a stray command does to a store."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from gitctx.store import Store
from gitctx_testkit.git import git, make_loose

Damage = Callable[[Path], object]
CONTEXT = "refs/heads/context"
SESSIONS = "refs/heads/sessions"


def overwrite(path: Path, data: bytes) -> None:
    """Put other bytes into a file, whatever its permissions."""
    path.chmod(0o644)
    path.write_bytes(data)


def empty(path: Path) -> None:
    """A file of no bytes, as a power cut leaves one that wasn't synced."""
    overwrite(path, b"")


def cut(path: Path, share: float = 0.5) -> None:
    """Only the beginning of a file."""
    data = path.read_bytes()
    overwrite(path, data[: int(len(data) * share)])


def flip(path: Path, at: int = -1) -> None:
    """One bit of a file turned over; by default in its middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at == -1 else at] ^= 0x10
    overwrite(path, bytes(data))


def blank(path: Path) -> None:
    """As many NUL bytes as the file had bytes."""
    overwrite(path, b"\0" * path.stat().st_size)


def both(*damages: Damage) -> Damage:
    """Several kinds of damage, one after the other."""

    def act(store: Path) -> None:
        for damage in damages:
            damage(store)

    return act


def on(name: str, how: Callable[[Path], object]) -> Damage:
    """Damage one file of the store."""
    return lambda store: how(store / name)


def loose(expression: str, how: Callable[[Path], object]) -> Damage:
    """Damage the loose file of the object that an expression names; all objects are made loose for it."""

    def act(store: Path) -> None:
        if any((store / "objects" / "pack").glob("*.pack")):
            make_loose(store)
        oid = git(store, "rev-parse", expression)
        how(store / "objects" / oid[:2] / oid[2:])

    return act


def pack(how: Callable[[Path], object], end: str = ".pack") -> Damage:
    """Damage the only pack of a store (all is packed for it), or its index."""

    def act(store: Path) -> None:
        git(store, "repack", "-adq")
        (found,) = (store / "objects" / "pack").glob("*.pack")
        how(found.with_suffix(end))

    return act


def packed(expression: str) -> Damage:
    """Turn a bit of one object in the only pack of a store, which holds no deltas."""

    def act(store: Path) -> None:
        oid = git(store, "rev-parse", expression)
        git(store, "repack", "-adqF", "--window=0")
        (found,) = (store / "objects" / "pack").glob("*.pack")
        lines = git(store, "verify-pack", "-v", str(found)).splitlines()
        offset = next(int(line.split()[4]) for line in lines if line.startswith(oid))
        flip(found, offset + 5)

    return act


def pack_of(expression: str, how: Callable[[Path], object]) -> Damage:
    """Damage the pack of the publication that wrote an object."""

    def act(store: Path) -> None:
        oid = git(store, "rev-parse", expression)
        for index in (store / "objects" / "pack").glob("*.idx"):
            if bytes.fromhex(oid) in index.read_bytes():
                how(index.with_suffix(".pack"))

    return act


def remove_pack(path: Path) -> None:
    """A pack with its index."""
    path.unlink()
    path.with_suffix(".idx").unlink()


def unlink(path: Path) -> None:
    """No such file any more."""
    path.unlink()


def stale_lock(name: str, data: bytes = b"", age_s: float = 7200.0) -> Damage:
    """A lock file that a killed git left long ago."""

    def act(store: Path) -> None:
        lock = store / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_bytes(data)
        os.utime(lock, (time.time() - age_s, time.time() - age_s))

    return act


def old(path: Path, age_s: float = 3600.0) -> None:
    """Nobody has touched it for long."""
    os.utime(path, (time.time() - age_s, time.time() - age_s))


def contents(store: Path) -> dict[str, str]:
    """A digest of every file and the target of every link of a store: equal if nothing was changed."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(store):
        for name in (*folders, *files):
            path = Path(folder, name)
            data = path.read_bytes() if path.is_file() else b"folder"
            found[path.relative_to(store).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def loose_copy(store: Store, oid: str) -> Path:
    """Have an object lie there as a file of its own and nowhere else; its path."""
    folder = store.path / "objects"
    aside = store.path / "aside"
    aside.mkdir(exist_ok=True)
    for pack in sorted((folder / "pack").glob("*.pack")):
        for part in (folder / "pack").glob(f"{pack.stem}.*"):
            os.rename(part, aside / part.name)
        with (aside / pack.name).open("rb") as file:
            command = ["git", "--git-dir", str(store.path), "unpack-objects", "-q"]
            subprocess.run(command, stdin=file, check=True)
    path = folder / oid[:2] / oid[2:]
    assert path.exists(), git(store.path, "cat-file", "-t", oid)
    return path


def spoil(path: Path) -> None:
    """Let a loose object hold something else than its name says."""
    os.chmod(path, 0o644)
    path.write_bytes(zlib.compress(b"blob 3\0bad"))


def tear(path: Path) -> None:
    """Cut a loose object off."""
    os.chmod(path, 0o644)
    path.write_bytes(path.read_bytes()[:12])
