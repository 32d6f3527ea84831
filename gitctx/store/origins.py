"""Which write made what a key holds, looked for in the commits that one side of a merge has and the other hasn't."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gitctx.format import layout, messages
from gitctx.format.messages import Commit
from gitctx.repository import Repository

_FEW = 8
"""Of so few keys each is looked up in a commit; of more, the commit is compared with the one before it."""


_LOOK_CLOSER_AT = frozenset(2**power for power in range(3, 20))
"""So many keys left to find: then the folders of those that were found needn't be looked into any more."""


class Origin(NamedTuple):
    """The write behind a value. By `at`, `id` and `revision` the later one is the last, on every machine."""

    at: datetime
    id: str
    revision: str
    actor: str
    session: str | None


def find_origins(repository: Repository, head: str, hide: Sequence[str], keys: Iterable[str]) -> Mapping[str, Origin]:
    """The origin of what each key holds (or that it is gone) at `head`, among the commits that `hide` doesn't reach.

    A merge commit only counts where it holds what none of its parents holds. A key that no commit there touched comes
    from the head itself.
    """
    top = repository.read_commit(head)
    wanted = {key: _etag(repository, top.tree, key) for key in keys}
    found: dict[str, Origin] = {}
    places = _places(wanted)
    for revision, commit in repository.walk(head, hide):
        if not wanted:
            break
        for key in _touched(repository, commit, wanted, places):
            if _etag(repository, commit.tree, key) == wanted[key]:
                found[key] = _origin(revision, commit)
                del wanted[key]
                places = _places(wanted) if len(wanted) in _LOOK_CLOSER_AT else places
    return {**dict.fromkeys(wanted, _origin(head, top)), **found}


def _places(keys: Iterable[str]) -> frozenset[str]:
    """The keys, and all folders above them (each ending in a slash)."""
    places = set(keys)
    for key in keys:
        segments = key.split("/")
        places.update("/".join(segments[:count]) + "/" for count in range(1, len(segments)))
    return frozenset(places)


def _touched(
    repository: Repository, commit: Commit, wanted: Mapping[str, str | None], places: Container[str]
) -> list[str]:
    parents = [repository.read_commit(parent).tree for parent in commit.parents]
    if not parents:
        return [key for key in wanted if _etag(repository, commit.tree, key) is not None]
    if len(wanted) <= _FEW:
        return [
            key
            for key in wanted
            if all(_etag(repository, tree, key) != _etag(repository, commit.tree, key) for tree in parents)
        ]
    touched = set(wanted)
    for tree in parents:
        touched &= {key for key, _, _ in layout.compare(repository, (tree,), (commit.tree,), places=places)}
    return sorted(touched)


def _etag(repository: Repository, tree: str, key: str) -> str | None:
    entry = layout.find(repository, tree, key).entry
    return entry.oid if entry is not None else None


def _origin(revision: str, commit: Commit) -> Origin:
    id = commit.trailer(messages.ID) or revision
    return Origin(commit.author.at, id, revision, commit.author.name, commit.trailer(messages.SESSION))
