"""Merging two heads by key: what one side alone changed is taken, what both changed is settled by its strategy.

Sides are told apart by time, not by where they are: of two writes to a key the later one (by author time, then write
id, then revision) is `ours` to a strategy. So every machine that merges the same two heads gets the same tree. Claims
alone go by place: the one that the remote has already was published first, and stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitctx.errors import InvalidKey
from gitctx.format import layout
from gitctx.format.conflicts import about_key, conflict_id, encode_conflict, waiting_key
from gitctx.format.keys import CLAIMS_PREFIX, MAX_KEY_BYTES, MAX_SEGMENT_BYTES, SETTINGS_KEY
from gitctx.format.objects import Object, make_object
from gitctx.format.settings import Settings, parse_settings
from gitctx.format.strategies import LAST_WRITE_WINS, Settled, Sides, Strategy, strategy_named
from gitctx.store.draft import Draft
from gitctx.store.origins import Origin
from gitctx.values import Etag, Revision
from gitctx.values.sync import ConflictSide, KeyMoved, KeySettled, OpenConflict

OWN_FUNCTION = "own function"
FIRST_PUBLISHED = "first published"
_DIGEST_DIGITS = 16


class Side(NamedTuple):
    """One side of a merge: a root tree, and where what it holds comes from, key by key."""

    tree: str
    origins: Callable[[Iterable[str]], Mapping[str, Origin]]


@dataclass
class Merged:
    """The root tree of a merge, blobs that it needs and that are new, and what was decided on the way."""

    root: str
    blobs: list[Object] = field(default_factory=list)
    settled: list[KeySettled] = field(default_factory=list)
    moved: list[KeyMoved] = field(default_factory=list)
    opened: list[OpenConflict] = field(default_factory=list)

    @property
    def superseded(self) -> list[Etag]:
        """The etags that lost, each once."""
        return list(dict.fromkeys(each.superseded for each in self.settled if each.superseded is not None))


class _Clash(NamedTuple):
    """An entry of one side in the place of a folder of the other."""

    key: str
    entry_is_local: bool


class Merge:
    """One merge of `local` with `published` (what the remote has), since `base` (a root tree; None: nothing in common).

    `strategy` settles every key (None: as the settings of the merged store say). `draft` takes the new trees.
    """

    def __init__(
        self,
        draft: Draft,
        base: str | None,
        local: Side,
        published: Side,
        *,
        strategy: str | Strategy | None = None,
    ) -> None:
        self._draft = draft
        self._base: layout.Folder = (base,) if base is not None else ()
        self._local = local
        self._published = published
        self._strategy = strategy
        self._settings = Settings()
        self._changes: dict[str, str | None] = {}
        self._merged = Merged(local.tree)

    def run(self) -> Merged:
        """Do it. Raises what a strategy of one's own raises."""
        draft, local, published = self._draft, self._local.tree, self._published.tree
        mine = {key: (before, after) for key, before, after in layout.compare(draft, self._base, (local,))}
        theirs = {key: (before, after) for key, before, after in layout.compare(draft, self._base, (published,))}
        conflicts = sorted(key for key in mine.keys() & theirs.keys() if mine[key][1] != theirs[key][1])
        self._changes = {key: after for key, (_, after) in theirs.items() if key not in mine}
        here, there = self._local.origins(conflicts), self._published.origins(conflicts)
        if SETTINGS_KEY in conflicts:  # first of all: they say how to settle the others
            self._settle(SETTINGS_KEY, mine[SETTINGS_KEY], theirs[SETTINGS_KEY][1], here, there, LAST_WRITE_WINS)
        self._settings = self._settings_to_be()
        for key in conflicts:
            if key.startswith(CLAIMS_PREFIX):
                self._settle_claim(key, mine[key][1], theirs[key][1], here[key], there[key])
            elif key != SETTINGS_KEY:
                chosen = self._strategy if self._strategy is not None else self._settings.strategy_for(key)
                self._settle(key, mine[key], theirs[key][1], here, there, chosen)
        try:
            self._merged.root = layout.apply(draft, local, self._changes)
        except InvalidKey:
            self._clear_the_way()
            self._merged.root = layout.apply(draft, local, self._changes)
        self._merged.root = layout.carry_foreign(draft, self._base, self._merged.root, published)
        return self._merged

    # -- keys that both sides changed ---------------------------------------------------------------------------------

    def _settle(
        self,
        key: str,
        mine: tuple[str | None, str | None],
        theirs: str | None,
        here: Mapping[str, Origin],
        there: Mapping[str, Origin],
        chosen: str | Strategy,
    ) -> None:
        base, own = mine
        local_is_later = here[key][:3] > there[key][:3]
        later, earlier = (own, theirs) if local_is_later else (theirs, own)
        later_origin, earlier_origin = (here[key], there[key]) if local_is_later else (there[key], here[key])
        strategy = strategy_named(chosen) if isinstance(chosen, str) else chosen
        name = chosen if isinstance(chosen, str) else OWN_FUNCTION
        outcome = strategy(
            Sides(key, self._bytes(base), self._bytes(later), self._bytes(earlier), self._settings.rules_for(key))
        )
        if not isinstance(outcome, Settled):
            self._leave_open(key, base, (earlier, earlier_origin), (later, later_origin))
            self._set(key, earlier)
            return
        etag, superseded = later, outcome.superseded
        if outcome.value is None:
            etag = None
        elif outcome.value != self._bytes(later):
            etag = self._new_blob(outcome.value)
            if len(outcome.value) > self._settings.max_value_bytes:
                etag, superseded = later, True
        self._set(key, etag)
        self._merged.settled.append(
            KeySettled(
                key,
                name,
                Revision(later_origin.revision),
                Revision(earlier_origin.revision),
                Etag(earlier) if superseded and earlier is not None else None,
            )
        )

    def _settle_claim(self, key: str, own: str | None, theirs: str | None, here: Origin, there: Origin) -> None:
        """Claims are never merged: the one published first stands."""
        self._set(key, theirs)
        lost = Etag(own) if own is not None else None
        kept = KeySettled(key, FIRST_PUBLISHED, Revision(there.revision), Revision(here.revision), lost)
        self._merged.settled.append(kept)

    def _leave_open(
        self, key: str, base: str | None, standing: tuple[str | None, Origin], waiting: tuple[str | None, Origin]
    ) -> None:
        id = conflict_id(key, base, standing[0], waiting[0])
        conflict = OpenConflict(id, key, Etag(base) if base else None, _side(*standing), _side(*waiting))
        self._set(about_key(id), self._new_blob(encode_conflict(conflict)))
        if waiting[0] is not None:
            self._set(waiting_key(id), waiting[0])
        self._merged.opened.append(conflict)

    def _settings_to_be(self) -> Settings:
        etag = self._etag_to_be(SETTINGS_KEY)
        return parse_settings(self._draft.read_blob(etag)) if etag is not None else Settings()

    # -- entries and folders in one another's way ---------------------------------------------------------------------

    def _clear_the_way(self) -> None:
        """Move aside what came later, wherever one side has an entry and the other a folder of that name."""
        for clash in self._clashes():
            local_keys, published_keys = self._below(self._local, clash.key), self._below(self._published, clash.key)
            entry_side = self._local if clash.entry_is_local else self._published
            folder_side = self._published if clash.entry_is_local else self._local
            below = published_keys if clash.entry_is_local else local_keys
            below = [key for key in below if self._etag_to_be(key) is not None]
            if not below or self._etag_to_be(clash.key) is None:
                continue
            if clash.key.startswith(CLAIMS_PREFIX):
                self._drop_local([clash.key] if clash.entry_is_local else below)
                continue
            entry = entry_side.origins([clash.key])[clash.key]
            folder = min(folder_side.origins(below).values(), key=lambda each: each[:3])
            if entry[:3] > folder[:3]:
                self._move(clash.key, _fitting(self._free_aside(clash.key, entry.id), clash.key, entry.id))
            else:
                beside = self._free_aside(clash.key, folder.id)
                for key in below:
                    self._move(key, _fitting(beside + key.removeprefix(clash.key), key, folder.id))

    def _clashes(self) -> list[_Clash]:
        """Places where an entry of one side stands above keys of the other, the shortest first."""
        found: dict[str, _Clash] = {}
        for key, etag in self._changes.items():
            if etag is None:
                continue
            segments = key.split("/")
            for count in range(1, len(segments)):
                above = "/".join(segments[:count])
                if above not in found and self._etag_to_be(above) is not None:
                    found[above] = _Clash(above, above not in self._changes)
            if key not in found and self._has_local_below(key):
                found[key] = _Clash(key, False)
        return [found[key] for key in sorted(found, key=len)]

    def _has_local_below(self, key: str) -> bool:
        folder = layout.find(self._draft, self._local.tree, key).folder
        return any(
            self._changes.get(below, node.oid) is not None
            for below, node in layout.walk(self._draft, folder, key + "/")
        )

    def _below(self, side: Side, key: str) -> list[str]:
        folder = layout.find(self._draft, side.tree, key).folder
        return [below for below, _ in layout.walk(self._draft, folder, key + "/")]

    def _move(self, key: str, target: str) -> None:
        etag = self._etag_to_be(key)
        self._set(key, None)
        self._changes[target] = etag
        self._merged.moved.append(KeyMoved(key, target))

    def _free_aside(self, key: str, id: str) -> str:
        """A name beside a key that nothing has: an id that a caller chose may be in a name already."""
        number, name = 1, aside(key, id)
        while self._etag_to_be(name) is not None or self._has_local_below(name):
            number += 1
            name = aside(key, f"{id}-{number}")
        return name

    def _drop_local(self, keys: Sequence[str]) -> None:
        for key in keys:
            lost = self._etag_to_be(key)
            here = self._local.origins([key])[key]
            self._set(key, None)
            revision = Revision(here.revision)
            etag = Etag(lost) if lost is not None else None
            self._merged.settled.append(KeySettled(key, FIRST_PUBLISHED, revision, revision, etag))

    # -- what the result holds ----------------------------------------------------------------------------------------

    def _set(self, key: str, etag: str | None) -> None:
        if etag == self._local_etag(key):
            self._changes.pop(key, None)
        else:
            self._changes[key] = etag

    def _etag_to_be(self, key: str) -> str | None:
        return self._changes[key] if key in self._changes else self._local_etag(key)

    def _local_etag(self, key: str) -> str | None:
        entry = layout.find(self._draft, self._local.tree, key).entry
        return entry.oid if entry is not None else None

    def _bytes(self, etag: str | None) -> bytes | None:
        return self._draft.read_blob(etag) if etag is not None else None

    def _new_blob(self, data: bytes) -> str:
        blob = make_object("blob", data)
        self._draft.keep_blob(blob)
        self._merged.blobs.append(blob)
        return blob.oid


def aside(key: str, id: str) -> str:
    """The name beside a key: with an id at its end, the name itself cut where that would be too long."""
    folder, slash, name = key.rpartition("/")
    ending = f".{id.rstrip('.')}"
    room = min(MAX_SEGMENT_BYTES, MAX_KEY_BYTES - len((folder + slash).encode("utf-8"))) - len(ending)
    cut = name.encode("utf-8")[: max(room, 1)].decode("utf-8", "ignore").rstrip(". ")
    return f"{folder}{slash}{cut}{ending}"


def _fitting(target: str, key: str, id: str) -> str:
    """Where a key moves to: below other folders a name may become too long for a key, then it moves to the top."""
    if len(target.encode("utf-8")) <= MAX_KEY_BYTES:
        return target
    digest = hashlib.sha256(key.encode("utf-8")).hexdigest()[:_DIGEST_DIGITS]
    return aside(key.partition("/")[0], f"{id}-{digest}")


def _side(etag: str | None, origin: Origin) -> ConflictSide:
    return ConflictSide(
        Etag(etag) if etag is not None else None, Revision(origin.revision), origin.actor, origin.session, origin.at
    )
