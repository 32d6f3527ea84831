"""What is declared about places in JSON values, so that `merge` knows what a number or a list there stands for.

A place is a JSON Pointer (RFC 6901) from the root of the value; a segment `*` stands for any one key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

COUNTERS = "counters"
SETS = "sets"
APPENDS = "appends"
KINDS = (COUNTERS, SETS, APPENDS)

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")


@dataclass(frozen=True, slots=True)
class MergeRules:
    """The places that are counters, the lists that are sets, and the lists that are only added to at their end."""

    counters: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    appends: tuple[str, ...] = ()

    def at(self, path: Sequence[str]) -> str | None:
        """The kind (one of KINDS) declared for the place that these keys lead to.

        Where several places fit, the one with the fewest `*` counts, then the first of KINDS.
        """
        fitting = [
            (place.count("*"), number)
            for number, kind in enumerate((self.counters, self.sets, self.appends))
            for place in map(_segments, kind)
            if len(place) == len(path) and all(one in ("*", key) for one, key in zip(place, path, strict=True))
        ]
        return KINDS[min(fitting)[1]] if fitting else None

    def as_document(self) -> dict[str, list[str]]:
        """The declaration as it stands in the settings."""
        kinds = {COUNTERS: self.counters, SETS: self.sets, APPENDS: self.appends}
        return {kind: list(places) for kind, places in kinds.items() if places}


NO_RULES = MergeRules()


def read_rules(document: Any) -> MergeRules:
    """The rules that `{"counters": [...], "sets": [...], "appends": [...]}` declares. Raises ValueError, saying why."""
    if not isinstance(document, Mapping):
        raise ValueError(f"{document!r} isn't a table")
    seen: set[str] = set()
    for kind, places in document.items():
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        if not isinstance(places, (list, tuple)):
            raise ValueError(f"{kind} isn't a list of places")
        for place in places:
            if not isinstance(place, str) or not _POINTER.fullmatch(place):
                raise ValueError(f"{place!r} is no JSON Pointer")
            if place in seen:
                raise ValueError(f"{place!r} is declared twice")
            seen.add(str(place))
    return MergeRules(**{kind: tuple(map(str, places)) for kind, places in document.items()})


@lru_cache(maxsize=256)
def _segments(place: str) -> tuple[str, ...]:
    return tuple(segment.replace("~1", "/").replace("~0", "~") for segment in place.split("/")[1:])
