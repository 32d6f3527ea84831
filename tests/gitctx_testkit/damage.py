"""Damage to single objects of a store."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

from gitctx.store import Store
from gitctx_testkit.git import git


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
