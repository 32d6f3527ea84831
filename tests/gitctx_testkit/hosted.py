"""Repositories on a server, as a forge would host them."""

from __future__ import annotations

from pathlib import Path

from gitctx_testkit.git import git


class Hosted:
    """An empty bare repository at `path`, which plain git can push to. Its hooks can be set and taken away."""

    def __init__(self, path: Path, **settings: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        git(path.parent, "init", "-q", "--bare", "-b", "main", str(path))
        self.path = path
        for name, value in settings.items():
            git(path, "config", name.replace("__", "."), value)

    def git(self, *words: str) -> str:
        """Run git in it."""
        return git(self.path, *words)

    def head(self, ref: str) -> str | None:
        """The id that a ref has; None if there is no such ref."""
        return git(self.path, "for-each-ref", "--format=%(objectname)", ref) or None

    def hook(self, name: str, script: str) -> None:
        """Have git run a shell script as the hook of that name."""
        place = self.path / "hooks" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)

    def refuse_all(self, because: str = "this server takes nothing") -> None:
        """Refuse every push as a whole, as a quota or a rule for all does."""
        self.hook("pre-receive", f"echo '{because}' >&2; exit 1")

    def refuse_ref(self, pattern: str, because: str = "this ref is protected") -> None:
        """Refuse the refs that fit a shell pattern, and take the others, as branch protection does."""
        self.hook("update", f'case "$1" in {pattern}) echo "{because}" >&2; exit 1 ;; esac')

    def refuse_nothing(self) -> None:
        """Take away all hooks."""
        for each in (self.path / "hooks").iterdir():
            each.unlink()
