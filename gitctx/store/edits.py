"""Edits: what a caller wants done to entries, planned against the head that a write is built on.

Several edits in one write are applied one after the other; each sees what the ones before it left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitctx.config import DEFAULT_MAX_VALUE_BYTES
from gitctx.errors import (
    AlreadyExists,
    EntryNotFound,
    EntryTooLarge,
    GitctxError,
    MergeConflict,
    ObjectMissing,
    PreconditionFailed,
)
from gitctx.format.keys import RESERVED, check_key
from gitctx.format.objects import blob_id
from gitctx.format.settings import Settings
from gitctx.format.strategies import Sides, Strategy, Unsettled, strategy_named
from gitctx.store.request import Planned
from gitctx.store.view import View
from gitctx.values import Etag

_as_text = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode

StrategyChoice = str | Strategy | None
"""A strategy by name, a function of one's own, or None for what the store's settings say."""
Bases = Mapping[str, Etag | None]
"""Key -> the etag that the caller built its change on (None: the entry was absent). A key that isn't there: no base."""


@dataclass(frozen=True, slots=True)
class Put:
    """Put bytes at a key, if the preconditions hold."""

    key: str
    value: bytes
    if_match: str | None = None
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class PutEtag:
    """Put bytes at a key that the store holds already, by their etag."""

    key: str
    etag: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the entry at a key. With `missing_ok` an absent one is fine."""

    key: str
    if_match: str | None = None
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """Move an entry, or with slashes at both ends all entries of a folder."""

    source: str
    target: str
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """Add a line at the end of an entry; never in conflict."""

    key: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """Put what a function makes of the entry's bytes (None: absent; to remove it return None)."""

    key: str
    function: Callable[[bytes | None], bytes | None] = field(compare=False)


Edit = Put | PutEtag | Remove | Move | Append | Update


def plan_edits(
    view: View, edits: Sequence[Edit], *, bases: Bases, strategy: StrategyChoice, expected_head: str | None = None
) -> Planned:
    """What edits do to a head. Raises the typed error of the first one that can't be done; then nothing is written.

    Of several edits, the error's `details["edit"]` counts which one it was, from 0.
    """
    if expected_head is not None and view.revision != expected_head:
        raise PreconditionFailed(
            f"the head is {view.revision[:10]} and {expected_head[:10]} was expected",
            hint="read again what the change builds on, then repeat it",
            details={"expected_head": expected_head, "head": view.revision},
        )
    if isinstance(strategy, str):
        strategy = strategy_named(strategy)
    planning = _Planning(view, bases, strategy)
    for number, edit in enumerate(edits):
        try:
            planning.apply(edit)
        except GitctxError as error:
            if len(edits) > 1:
                error.details["edit"] = number
            raise
    return planning.result()


class _Planning:
    """The content as the edits so far leave it, laid over the head."""

    def __init__(self, view: View, bases: Bases, strategy: StrategyChoice) -> None:
        self._view = view
        self._bases = bases
        self._strategy = strategy
        self._settings: Settings | None = None
        self._values: dict[str, bytes | None] = {}
        self._etags: dict[str, str] = {}
        self._superseded: list[Etag] = []

    def result(self) -> Planned:
        return Planned(
            changes=self._values,
            etags=self._etags,
            entries=tuple({**self._values, **self._etags}),
            superseded=tuple(dict.fromkeys(self._superseded)),
        )

    def apply(self, edit: Edit) -> None:
        match edit:
            case Put(key, value, if_match, if_absent):
                self._check_size(key, value)
                self._check(key, if_match, if_absent)
                self._settle(key, value, guarded=if_match is not None or if_absent)
            case PutEtag(key, etag):
                self._values.pop(key, None)
                self._etags[key] = etag
            case Remove(key, if_match, missing_ok):
                if self._etag(key) is None and if_match is None:
                    if missing_ok:
                        return
                    self._view.entry(key)
                    raise EntryNotFound(f"'{key}' was removed earlier in this batch", hint="remove it once")
                self._check(key, if_match, False)
                self._settle(key, None, guarded=if_match is not None)
            case Move(source, target, overwrite):
                self._move(source, target, overwrite)
            case Append(key, line):
                before = self._value(key)
                joint = b"" if not before or before.endswith(b"\n") else b"\n"
                value = (before or b"") + joint + line.removesuffix(b"\n") + b"\n"
                self._check_size(key, value)
                self._set(key, value)
            case Update(key, function):
                after = function(self._value(key))
                if after is not None:
                    self._check_size(key, after)
                if after is not None or self._etag(key) is not None:
                    self._set(key, after)

    def _set(self, key: str, value: bytes | None) -> None:
        self._etags.pop(key, None)
        self._values.pop(key, None)
        self._values[key] = value

    def _etag(self, key: str) -> Etag | None:
        if key in self._etags:
            return Etag(self._etags[key])
        if key in self._values:
            value = self._values[key]
            return Etag(blob_id(value)) if value is not None else None
        return self._view.etag(key)

    def _value(self, key: str) -> bytes | None:
        if key in self._values:
            return self._values[key]
        etag = self._etag(key)
        return self._view.blob(etag) if etag is not None else None

    def _check_size(self, key: str, value: bytes) -> None:
        if self._settings is None:
            self._settings = self._view.settings()
        limit = self._settings.max_value_bytes
        if key.startswith(RESERVED + "/"):
            limit = max(limit, DEFAULT_MAX_VALUE_BYTES)
        if len(value) > limit:
            raise EntryTooLarge(
                f"the value of '{key}' has {len(value)} bytes and the store allows {limit}",
                hint="store a reference instead, or raise it: gitctx config set limits.max_value_bytes N",
                details={"key": key, "size": len(value), "max_value_bytes": limit},
            )

    def _check(self, key: str, if_match: str | None, if_absent: bool) -> None:
        if if_match is None and not if_absent:
            return
        current = self._etag(key)
        if if_absent and current is not None:
            raise PreconditionFailed(
                f"'{key}' holds an entry already",
                hint="read it first, then put with --if-match",
                details={"key": key, "etag": current, "if_absent": True},
            )
        if if_match is not None and current != if_match:
            holds = f"has etag {current}" if current is not None else "holds no entry"
            raise PreconditionFailed(
                f"'{key}' {holds} and {if_match} was expected",
                hint="someone was faster: read it again, then repeat the change on what it holds now",
                details={"key": key, "etag": current, "if_match": if_match},
            )

    def _settle(self, key: str, value: bytes | None, *, guarded: bool) -> None:
        """Set a value; where the entry changed since the caller's base, as the strategy says."""
        if guarded or key in self._values or key not in self._bases:
            self._set(key, value)
            return
        theirs, base = self._view.etag(key), self._bases[key]
        ours = Etag(blob_id(value)) if value is not None and base != theirs else None
        if base == theirs or ours == theirs:
            self._set(key, value)
            return
        if self._settings is None:
            self._settings = self._view.settings()
        chosen = self._strategy or self._settings.strategy_for(key)
        settle = strategy_named(chosen) if isinstance(chosen, str) else chosen
        base_value = self._base_value(base, removing=value is None)
        theirs_value = self._view.blob(theirs) if theirs is not None else None
        outcome = settle(Sides(key, base_value, value, theirs_value, self._settings.rules_for(key)))
        if isinstance(outcome, Unsettled):
            raise MergeConflict(
                f"'{key}' changed since {'etag ' + base if base else 'it was found absent'}",
                key=key,
                base=base,
                ours=ours,
                theirs=theirs,
                hint="read it again and repeat the change, or say --strategy merge (or last-write-wins)",
            )
        if outcome.superseded and theirs is not None:
            self._superseded.append(theirs)
        if outcome.value is not None:
            self._check_size(key, outcome.value)
        self._set(key, outcome.value)

    def _base_value(self, base: Etag | None, *, removing: bool) -> bytes | None:
        """What the caller's base held. It may be so old that it was rotated away and its grace has ended: then the two
        sides are merged as if each had made the entry; who removes it, removes something that others changed.
        """
        if base is None:
            return None
        try:
            return self._view.blob(base)
        except ObjectMissing:
            return b"" if removing else None

    def _move(self, source: str, target: str, overwrite: bool) -> None:
        pairs = [(source, target)]
        if source.endswith("/"):
            pairs = [(key, check_key(target + key.removeprefix(source))) for key in self._keys_below(source)]
            if not pairs:
                raise EntryNotFound(f"there is nothing below '{source}'", hint="`gitctx ls` lists the keys")
        moved: list[tuple[str, Etag, bytes | None]] = []
        for old, new in pairs:
            etag = self._etag(old)
            if etag is None:
                self._view.entry(old)
                raise EntryNotFound(f"'{old}' was removed earlier in this batch", hint="move what is there")
            moved.append((new, etag, self._values.get(old)))
        leaving = {old for old, _ in pairs} if source.endswith("/") else set()
        for new, _, _ in moved:
            if new not in leaving and self._etag(new) is not None and not overwrite:
                raise AlreadyExists(
                    f"'{new}' holds an entry already",
                    hint="remove it first, or say --force",
                    details={"key": new},
                )
        for old, _ in pairs:
            self._set(old, None)
        for new, etag, value in moved:
            if value is not None:
                self._set(new, value)
            else:
                self._values.pop(new, None)
                self._etags[new] = etag

    def _keys_below(self, folder: str) -> list[str]:
        """Keys below a folder as the edits so far leave it, sorted."""
        keys = {key for key, _ in self._view.etags(folder)}
        keys.update(key for key in (*self._values, *self._etags) if key.startswith(folder))
        return sorted(key for key in keys if self._etag(key) is not None)


def keys_of(edit: Edit) -> tuple[str, ...]:
    """The keys that an edit names."""
    if isinstance(edit, Move):
        return (edit.source, edit.target)
    return (edit.key,)


def weight_of(edits: Sequence[Edit]) -> int:
    """How many bytes of values edits bring."""
    weight = 0
    for edit in edits:
        if isinstance(edit, Put):
            weight += len(edit.value)
        elif isinstance(edit, Append):
            weight += len(edit.line)
    return weight


def digest_of(op: str, edits: Sequence[Edit], **more: Any) -> str:
    """What tells two changes with one id apart: 16 hex digits over operation, keys, values and preconditions."""
    rows: list[list[Any]] = []
    for edit in edits:
        match edit:
            case Put(key, value, if_match, if_absent):
                rows.append(["put", key, blob_id(value), if_match, if_absent])
            case PutEtag(key, etag):
                rows.append(["put", key, etag])
            case Remove(key, if_match, _):
                rows.append(["remove", key, if_match])
            case Move(source, target, _):
                rows.append(["move", source, target])
            case Append(key, line):
                rows.append(["append", key, blob_id(line)])
            case Update(key, _):
                rows.append(["update", key])
    return hashlib.sha256(_as_text([op, rows, more]).encode("ascii")).hexdigest()[:16]
