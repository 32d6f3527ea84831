"""Making kept writes anew on a base: same content, author, time and message, other parents, and the original's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitctx.format import messages
from gitctx.format.messages import rewritten
from gitctx.format.objects import Object, make_object
from gitctx.repository import Repository
from gitctx.store.rotated import original_of


class Rewriting:
    """Commits made anew, each once. `made` maps an old revision to the new one; `objects` are the new commits."""

    def __init__(self, repository: Repository, made: Mapping[str, str]) -> None:
        self._repository = repository
        self.made = dict(made)
        self.objects: list[Object] = []

    def add(self, commits: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Make commits anew, parents before children; a parent that wasn't made anew stays as it is."""
        for oid, parents in commits:
            _, data = self._repository.read(oid)
            commit = messages.decode_commit(data)
            # Two that stand for one place (both sides of a merge began below the cut) are one parent.
            new = list(dict.fromkeys(self.made.get(parent, parent) for parent in parents))
            original = None if original_of(commit) is not None else oid
            item = make_object("commit", rewritten(data, tree=commit.tree, parents=new, original=original))
            self.made[oid] = item.oid
            self.objects.append(item)

    def take(self) -> list[Object]:
        """The commits made since the last call."""
        objects, self.objects = self.objects, []
        return objects
