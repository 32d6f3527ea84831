"""What this store and a remote last had in common, ref by ref, in refs of the store: `.../agreed/heads/context` and
`.../agreed/tags/<name>` beside what was fetched.

What was fetched doesn't tell: an exchange may have ended right after its fetch, and plain git fetches as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitctx.repository import Repository
from gitctx.repository.remotes import tracking


class Agreed:
    """The refs that both sides had alike, by name (`heads/context`, `tags/before`). `save` writes them down."""

    def __init__(self, repository: Repository, remote: str) -> None:
        self._repository = repository
        self._prefix = f"{tracking(remote)}agreed/"
        self._saved: dict[str, str] = {}
        for ref in repository.ref_names(self._prefix):
            oid = repository.read_ref(ref)
            if oid is not None:
                self._saved[ref.removeprefix(self._prefix)] = oid
        self._now = dict(self._saved)

    def get(self, name: str) -> str | None:
        """What both had there; None if they never had the same."""
        return self._now.get(name)

    def below(self, kind: str) -> Mapping[str, str]:
        """All of a kind (`tags/`), by their names below it."""
        return {name.removeprefix(kind): oid for name, oid in self._now.items() if name.startswith(kind)}

    def set(self, name: str, oid: str) -> None:
        """Both have it."""
        self._now[name] = oid

    def forget(self, name: str) -> None:
        """Nothing is known of it any more."""
        self._now.pop(name, None)

    def save(self, kind: str = "") -> None:
        """Write down what changed, perhaps of one kind (`tags/`) only. Raises GitFailed."""
        saved, now = (
            {name: oid for name, oid in all_.items() if name.startswith(kind)} for all_ in (self._saved, self._now)
        )
        lines = [f"update {self._prefix}{name} {oid}\n" for name, oid in now.items() if saved.get(name) != oid]
        lines += [f"delete {self._prefix}{name}\n" for name in saved.keys() - now.keys()]
        if lines:
            self._repository.git("update-ref", "--stdin", stdin="".join(sorted(lines)).encode())
            self._saved = {**{name: oid for name, oid in self._saved.items() if name not in saved}, **now}
