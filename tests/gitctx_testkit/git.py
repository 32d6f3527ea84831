"""Plain git, as a user would run it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel

LOCAL_VARIABLES = tuple(
    subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout.split()
)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without git's local variables and gitctx's own, with a fixed identity."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in LOCAL_VARIABLES and not name.startswith(("GITCTX_", "GIT_AUTHOR_", "GIT_COMMITTER_"))
    }
    identity = {"GIT_AUTHOR_NAME": "somebody", "GIT_AUTHOR_EMAIL": "somebody@example.com"}
    identity |= {"GIT_COMMITTER_NAME": "somebody", "GIT_COMMITTER_EMAIL": "somebody@example.com"}
    return {**kept, **identity, **more}


def git(
    folder: Path,
    *arguments: str,
    stdin: str | None = None,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run git in a folder, with more in its environment if wanted; its output without the last newline."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=clean_environment(**(environment or {})),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"git {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout.rstrip("\n")


def make_loose(store: Path) -> None:
    """Turn every pack into loose objects, such as a push leaves behind."""
    for pack in list((store / "objects" / "pack").glob("pack-*.pack")):
        aside = store / pack.name
        pack.rename(aside)
        pack.with_suffix(".idx").unlink()
        with aside.open("rb") as source:
            subprocess.run(
                ["git", "unpack-objects", "-q"], cwd=store, env=clean_environment(), stdin=source, check=True
            )
        aside.unlink()


def no_settings_for_libgit2(home: Path) -> None:
    """Have libgit2, which looks at the environment only once, take its settings from an (empty) home."""
    for level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        pygit2.settings.search_path[level] = str(home)
