"""Which keys a write changed, by its subject alone: all that is left of a revision that can't be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gitctx.format.keys import CLAIMS_PREFIX, SETTINGS_KEY

_PUTS = ("put", "update", "append", "add")
_MORE = re.compile(r"(.*) and \d+ more")


@dataclass(slots=True)
class Named:
    """Keys that were put, removed, or one of both; `exact` says that these are all."""

    put: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    either: set[str] = field(default_factory=set)
    exact: bool = True

    def add(self, other: Named) -> None:
        """Add what another write, a later one, changed."""
        self.put |= other.put
        self.removed |= other.removed
        self.either |= other.either
        self.exact = self.exact and other.exact


def named_keys(subject: str) -> Named:
    """The keys in a commit's subject, or in the message of its line in the reflog."""
    subject = subject.removeprefix("gitctx: ")
    more = _MORE.fullmatch(subject)
    if more is not None:
        found = named_keys(more[1])
        found.exact = False
        return found
    op, _, rest = subject.partition(" ")
    if not rest:
        return Named(exact=False)
    if op in _PUTS:
        return Named(put={rest})
    if op == "remove":
        return Named(removed={rest})
    if op == "claim":
        return Named(put={CLAIMS_PREFIX + rest})
    if op == "release":
        return Named(removed={CLAIMS_PREFIX + rest})
    if op == "config":
        return Named(either={SETTINGS_KEY})
    if op == "batch":
        return Named(either=set(rest.split(", ")))
    source, arrow, target = rest.partition(" to ")
    if op == "move" and arrow and " to " not in target and not source.endswith("/"):
        return Named(put={target}, removed={source})
    return Named(exact=False)
