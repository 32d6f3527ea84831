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
    packs = sorted((folder / "pack").glob("*.pack"))
    aside = store.path / "aside"
    aside.mkdir()
    for pack in packs:
        for part in (folder / "pack").glob(f"{pack.stem}.*"):
            os.rename(part, aside / part.name)
    for pack in aside.glob("*.pack"):
        with pack.open("rb") as file:
            subprocess.run(["git", "--git-dir", str(store.path), "unpack-objects", "-q"], stdin=file, check=True)
    path = folder / oid[:2] / oid[2:]
    assert path.exists(), git(store.path, "cat-file", "-t", oid)
    return path


def spoil(path: Path) -> None:
    """Let a loose object hold something else than its name says."""
    os.chmod(path, 0o644)
    path.write_bytes(zlib.compress(b"blob 3\0bad"))
