"""Places in JSON values: which of them fit, and what is no declaration."""

from __future__ import annotations

from typing import Any

import pytest

from gitctx.format.merge_rules import APPENDS, COUNTERS, NO_RULES, SETS, MergeRules, read_rules

RULES = MergeRules(
    counters=("/done", "/agents/*/runs", "/a~1b/m~0n", ""),
    sets=("/tags", "/lists/*"),
    appends=("/log", "/lists/log", "/*/log", "/"),
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ((), COUNTERS),
        (("done",), COUNTERS),
        (("done", "x"), None),
        (("agents", "a", "runs"), COUNTERS),
        (("agents", "a", "b", "runs"), None),
        (("agents", "*", "runs"), COUNTERS),
        (("a/b", "m~n"), COUNTERS),
        (("tags",), SETS),
        (("lists", "x"), SETS),
        (("lists", "log"), APPENDS),
        (("other", "log"), APPENDS),
        (("",), APPENDS),
        (("other",), None),
    ],
)
def test_a_place_is_a_pointer_and_a_star_is_any_one_key(path: tuple[str, ...], kind: str | None) -> None:
    assert RULES.at(path) == kind
    assert NO_RULES.at(path) is None


def test_of_two_that_fit_the_first_kind_counts() -> None:
    assert MergeRules(sets=("/*/b",), appends=("/a/*",)).at(("a", "b")) == SETS


def test_what_is_declared_can_be_read_again() -> None:
    document = {"counters": ["/done"], "appends": ["/log", "/*/log"]}
    assert read_rules(document).as_document() == document
    assert read_rules({}) == NO_RULES


@pytest.mark.parametrize(
    "document",
    [
        None,
        5,
        "counters",
        ["/done"],
        {"counter": ["/done"]},
        {"counters": "/done"},
        {"counters": [5]},
        {"counters": ["done"]},
        {"counters": ["/a~2"]},
        {"counters": ["/a~"]},
        {"counters": ["/a", "/a"]},
        {"sets": ["/a"], "appends": ["/a"]},
    ],
)
def test_what_is_no_declaration_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"twice|table|none of|list of places|JSON Pointer"):
        read_rules(document)
