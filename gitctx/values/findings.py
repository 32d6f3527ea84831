"""What a check of a store found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem or oddity that `verify` found: a stable `code`, what it is about, and a sentence with what to do."""

    code: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`: `commits` and `objects` are how many were checked."""

    ok: bool
    commits: int
    objects: int
    problems: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
