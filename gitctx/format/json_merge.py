"""A three-way merge of JSON values, key by key. Pure: from three values to one, and whether anything gave way.

A conflict is settled where it is, and only there, for ours. Of numbers and lists that are declared (`merge_rules`) both
sides' changes count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from gitctx.format.merge_rules import APPENDS, COUNTERS, SETS, MergeRules

ABSENT: Any = object()
"""No value at a place. `None` is JSON's null, which is a value."""


def merge_json(base: Any, ours: Any, theirs: Any, rules: MergeRules) -> tuple[Any, bool]:
    """The merged value, and whether a change of theirs gave way to ours. `base` may be ABSENT."""
    merging = _Merging(rules)
    return merging.at((), base, ours, theirs), merging.gave_way


class _Merging:
    def __init__(self, rules: MergeRules) -> None:
        self._rules = rules
        self.gave_way = False

    def at(self, path: tuple[str, ...], base: Any, ours: Any, theirs: Any) -> Any:
        """What three values at one place come to."""
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return self._objects(path, base if isinstance(base, dict) else {}, ours, theirs)
        if same(ours, base):
            return theirs
        if same(theirs, base):
            return ours
        kind = self._rules.at(path)
        found = _counted(base, ours, theirs) if kind == COUNTERS else ABSENT
        if isinstance(ours, list) and isinstance(theirs, list):
            found = _lists(kind, base, ours, theirs)
        if found is not ABSENT:
            return found
        if not same(ours, theirs):
            self.gave_way = True
        return ours

    def _objects(
        self, path: tuple[str, ...], base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
    ) -> dict[str, Any]:
        merged = {
            key: self.at((*path, key), *(side.get(key, ABSENT) for side in (base, ours, theirs)))
            for key in {**ours, **theirs}
        }
        return {key: value for key, value in merged.items() if value is not ABSENT}


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1, 1.0 and true are not, nor are 0.0 and -0.0."""
    if one is other:
        return True
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(same, one, other))
    return not isinstance(one, float) or repr(one) == repr(other)


# -- numbers ----------------------------------------------------------------------------------------------------------


def _counted(base: Any, ours: Any, theirs: Any) -> Any:
    """The base and both differences; ABSENT where these aren't all numbers. A counter that is new began at 0.

    Whole numbers stay whole. Others are added up as the decimals that JSON shows, and rounded once.
    """
    numbers = [0 if base is ABSENT else base, ours, theirs]
    if any(type(number) not in (int, float) for number in numbers):
        return ABSENT
    if all(type(number) is int for number in numbers):
        return ours + theirs - numbers[0]
    began, mine, others = (Fraction(repr(number)) for number in numbers)
    try:
        return float(mine + others - began)
    except OverflowError:
        return ABSENT


# -- lists ------------------------------------------------------------------------------------------------------------


def _lists(kind: str | None, base: Any, ours: list[Any], theirs: list[Any]) -> Any:
    """What two lists that both changed come to; ABSENT where they can't be joined."""
    if kind in (SETS, APPENDS):
        join = _united if kind == SETS else _appended
        return join(base if isinstance(base, list) else [], ours, theirs)
    if same(ours, theirs):
        return ours
    return _guessed(base, ours, theirs) if isinstance(base, list) else ABSENT


def _united(base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
    """What is left of the base on both sides, in its order, then what either side added, by its canonical JSON."""
    before, mine, others = _by_text(base), _by_text(ours), _by_text(theirs)
    added = {text: value for text, value in {**others, **mine}.items() if text not in before}
    kept = [value for text, value in before.items() if text in mine and text in others]
    return kept + [added[text] for text in sorted(added)]


def _appended(base: list[Any], ours: list[Any], theirs: list[Any]) -> Any:
    """What they added after what was there, then what we added. A side that rewrote the rest has its way with that."""
    mine, others = _after(base, ours), _after(base, theirs)
    if mine is not None:
        return theirs + mine
    return ours + others if others is not None else ABSENT


def _guessed(base: list[Any], ours: list[Any], theirs: list[Any]) -> Any:
    """A list of which nothing is declared: joined where that is what both surely meant.

    Without repeated elements: if each side only added or only removed some. Else: if both only added at the end.
    """
    before, mine, others = _texts(base), _texts(ours), _texts(theirs)
    if all(len(set(texts)) == len(texts) for texts in (before, mine, others)):
        if any(set(side) - set(before) and set(before) - set(side) for side in (mine, others)):
            return ABSENT
        values = _by_text([*theirs, *ours])
        woven = _woven(set(before), mine, others)
        return ABSENT if woven is None else [values[text] for text in woven]
    if _after(base, ours) is not None and _after(base, theirs) is not None:
        return _appended(base, ours, theirs)
    return ABSENT


def _woven(before: set[str], ours: Sequence[str], theirs: Sequence[str]) -> list[str] | None:
    """Both sequences without what either removed; between elements of both first theirs, then ours. None: the elements
    of both have two orders.
    """
    in_ours, in_theirs = set(ours), set(theirs)
    mine = [each for each in ours if each in in_theirs or each not in before]
    others = [each for each in theirs if each in in_ours or each not in before]
    woven: list[str] = []
    ahead: list[str] = []
    position = 0
    for each in mine:
        if each not in in_theirs:
            ahead.append(each)
            continue
        try:
            met = others.index(each, position)
        except ValueError:
            return None
        woven += [*others[position:met], *ahead, each]
        position, ahead = met + 1, []
    return [*woven, *others[position:], *ahead]


def _after(base: list[Any], side: list[Any]) -> list[Any] | None:
    return side[len(base) :] if same(side[: len(base)], base) else None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _texts(values: Iterable[Any]) -> list[str]:
    return [_text(value) for value in values]


def _by_text(values: Iterable[Any]) -> dict[str, Any]:
    return {_text(value): value for value in values}
