"""Settings: a bad file warns and falls back and never stops a write; editing keeps what the user wrote."""

from __future__ import annotations

from typing import Any

import pytest

from gitctx.config import DEFAULT_MAX_VALUE_BYTES
from gitctx.errors import ConfigInvalid
from gitctx.format.merge_rules import NO_RULES, MergeRules
from gitctx.format.settings import DEFAULTS, check, edit_settings, parse_settings
from gitctx.format.strategies import FAIL, LAST_WRITE_WINS, MERGE

GOOD = b"""\
# what the team agreed on
[strategies]
"decision/" = "fail"   # never lose one
"plan" = "last-write-wins"

[limits]
max_value_bytes = 4096  # small on purpose

[claims]
ttl_s = 60
"""


def test_a_good_file_is_in_force_without_complaint() -> None:
    settings = parse_settings(GOOD)
    assert settings.problems == ()
    assert (settings.max_value_bytes, settings.claim_ttl_s) == (4096, 60.0)
    assert settings.strategies == {"decision/": FAIL, "plan/": LAST_WRITE_WINS}


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_settings(b"") == DEFAULTS
    assert DEFAULTS.strategy_for("anything") == LAST_WRITE_WINS


@pytest.mark.parametrize(
    "data",
    [b"[", b"x", b"\xff\xfe", b"\0", b"a = 1\na = 2\n", b"x = " + b"[" * 100_000, b"<<<<<<< HEAD\n"],
    ids=["bracket", "word", "no text", "nul", "twice", "nested", "merge markers"],
)
def test_a_file_that_is_no_toml_falls_back_to_the_defaults_and_says_so(data: bytes) -> None:
    settings = parse_settings(data)
    assert settings.strategies == {}
    assert (settings.max_value_bytes, settings.claim_ttl_s) == (DEFAULT_MAX_VALUE_BYTES, 1800.0)
    assert len(settings.problems) == 1
    assert "isn't TOML" in settings.problems[0]


BAD_LINES = [
    ("limits", 'max_value_bytes = "big"'),
    ("limits", "max_value_bytes = 0"),
    ("limits", "max_value_bytes = -5"),
    ("limits", "max_value_bytes = true"),
    ("limits", "max_value_bytes = nan"),
    ("limits", "max_value_bytes = inf"),
    ("limits", "max_value_bytes = 1073741825"),
    ("limits", "max_value_bytes = [5]"),
    ("limits", "max_values = 5"),
    ("claims", "ttl_s = 0.5"),
    ("claims", "ttl_s = -inf"),
    ("claims", "ttl_s = 2026-01-01"),
    ("claims", "ttl_s = {a = 1}"),
    ("sessions", "take_over_silent_after_s = 7199"),
    ("sessions", 'take_over_silent_after_s = "a day"'),
    ("strategies", '"plan/" = "newest"'),
    ("strategies", '"plan/" = 5'),
    ("strategies", '"plan/" = ["fail"]'),
    ("strategies", '"plan/" = {a = "fail"}'),
    ("strategies", '"../x" = "fail"'),
    ("strategies", '".git/" = "fail"'),
    ("strategies", '"a\\u0000b" = "fail"'),
    ("merge", '"plan/" = "merge"'),
    ("merge", '"plan/" = ["/done"]'),
    ("merge", '"plan/" = {counters = "/done"}'),
    ("merge", '"plan/" = {counters = ["done"]}'),
    ("merge", '"plan/" = {counters = [5]}'),
    ("merge", '"plan/" = {numbers = ["/done"]}'),
    ("merge", '"plan/" = {sets = ["/a"], appends = ["/a"]}'),
    ("merge", '"../x" = {counters = ["/done"]}'),
    ("merge", 'counters = ["/done"]'),
    ("alerts", "x = 1"),
]


@pytest.mark.parametrize(("table", "line"), BAD_LINES)
def test_one_bad_value_is_told_and_the_others_stay_in_force(table: str, line: str) -> None:
    good = {"limits": "max_value_bytes = 4096", "claims": "ttl_s = 60", "strategies": '"decision/" = "fail"'}
    lines = {name: [text] for name, text in good.items()}
    name = line.partition(" =")[0]
    if table in good and name in good[table]:
        lines[table] = []
    lines.setdefault(table, []).append(line)
    settings = parse_settings("".join(f"[{name}]\n" + "\n".join(rows) + "\n" for name, rows in lines.items()).encode())
    assert len(settings.problems) == 1
    assert settings.problems[0].startswith(".gitctx/settings.toml: ")
    spoilt = [name for name in good if good[name] not in lines[name]]
    assert settings.max_value_bytes == (DEFAULT_MAX_VALUE_BYTES if "limits" in spoilt else 4096)
    assert settings.claim_ttl_s == (1800.0 if "claims" in spoilt else 60.0)
    assert settings.strategies == {"decision/": FAIL}


@pytest.mark.parametrize("data", [b"limits = 5\n", b"strategies = []\n", b"[[claims]]\nttl_s = 5\n"])
def test_a_table_that_is_none_is_told_and_passed_over(data: bytes) -> None:
    settings = parse_settings(data)
    assert len(settings.problems) == 1
    assert settings == type(settings)(problems=settings.problems)


@pytest.mark.parametrize(
    ("key", "strategy"),
    [
        ("a", LAST_WRITE_WINS),
        ("plan", FAIL),
        ("plan/x", FAIL),
        ("plan/draft/x", LAST_WRITE_WINS),
        ("plan/draft/final/x", FAIL),
        ("plan/drafty", FAIL),
        ("planet/x", LAST_WRITE_WINS),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_longest_prefix_counts_whatever_its_place_in_the_file(key: str, strategy: str, backwards: bool) -> None:
    lines = ['"plan" = "fail"', '"plan/draft/" = "last-write-wins"', '"plan/draft/final" = "fail"']
    text = "[strategies]\n" + "\n".join(lines[::-1] if backwards else lines)
    assert parse_settings(text.encode()).strategy_for(key) == strategy


def test_the_whole_store_may_have_a_strategy_and_prefixes_still_overrule_it() -> None:
    settings = parse_settings(b'[strategies]\n"/" = "fail"\n"log/" = "last-write-wins"\n')
    assert settings.problems == ()
    assert settings.strategy_for("anything") == FAIL
    assert settings.strategy_for("log/x") == LAST_WRITE_WINS


def test_what_merge_is_told_of_places_counts_by_the_longest_prefix() -> None:
    text = """
        [strategies]
        "status/" = "merge"
        [merge]
        "/" = {counters = ["/n"]}
        "status" = {counters = ["/done", "/agents/*/runs"], sets = ["/tags"], appends = ["/log"]}
        [merge."status/old/"]
    """
    settings = parse_settings(text.encode())
    assert settings.problems == ()
    assert settings.strategy_for("status/a") == MERGE
    assert settings.rules_for("plan/a") == MergeRules(("/n",))
    assert settings.rules_for("status/a") == MergeRules(("/done", "/agents/*/runs"), ("/tags",), ("/log",))
    assert settings.rules_for("status/old/a") == NO_RULES
    assert DEFAULTS.rules_for("plan/a") == NO_RULES


@pytest.mark.parametrize(
    "data", [b"", GOOD, b"merge = {}\n", b'[merge."plan/"]\nsets = ["/a"]\n', b"merge.a.sets = []\n"]
)
def test_rules_for_merge_that_were_edited_in_are_in_force_and_can_be_taken_out(data: bytes) -> None:
    places = {"counters": ["/done", "/a~1b"], "appends": []}
    edited = edit_settings(data, "merge.dotted.name/", places)
    assert parse_settings(edited).problems == ()
    assert parse_settings(edited).rules_for("dotted.name/x") == MergeRules(("/done", "/a~1b"))
    assert parse_settings(edit_settings(edited, "merge.dotted.name/", None)) == parse_settings(data)


def test_editing_changes_one_value_and_leaves_every_comment_and_line_alone() -> None:
    edited = edit_settings(GOOD, "limits.max_value_bytes", 8192)
    assert edited == GOOD.replace(b"4096", b"8192")
    removed = edit_settings(GOOD, "strategies.plan", None)
    assert removed == GOOD.replace(b'"plan" = "last-write-wins"\n', b"")


@pytest.mark.parametrize("data", [b"", GOOD, b'strategies = {plan = "fail"}\n', b'strategies.plan = "fail"\n'])
@pytest.mark.parametrize("prefix", ["new/", "a b/", 'quo"te/', "\u00e9/", "dotted.name/", "#no/", "a=b/"])
def test_what_was_edited_in_is_in_force_afterwards_and_can_be_taken_out(data: bytes, prefix: str) -> None:
    edited = edit_settings(data, f"strategies.{prefix}", FAIL)
    assert parse_settings(edited).strategies == {**parse_settings(data).strategies, prefix: FAIL}
    assert parse_settings(edited).problems == ()
    taken_out = edit_settings(edited, f"strategies.{prefix}", None)
    assert parse_settings(taken_out) == parse_settings(data)


REFUSED: list[tuple[bytes, str, Any]] = [
    (GOOD, "limits.max_value_bytes", "big"),
    (GOOD, "claims.ttl_s", float("nan")),
    (GOOD, "claims.nothing", 5),
    (GOOD, "strategies", "fail"),
    (GOOD, "strategies.", "fail"),
    (GOOD, "strategies.plan", ["fail"]),
    (GOOD, "strategies.../x", "fail"),
    (GOOD, "merge.plan/", "counters"),
    (GOOD, "merge.plan/", {"counters": ["done"]}),
    (GOOD, "merge.../x", {"counters": ["/done"]}),
    (GOOD, "merge", {"counters": ["/done"]}),
    (GOOD, "strategies.nothing", None),
    (GOOD, "nothing.at.all", None),
    (GOOD, "limits", None),
    (b"[", "claims.ttl_s", 60),
    (b"\xff", "claims.ttl_s", 60),
    (b"claims = 5\n", "claims.ttl_s", 60),
    (b"claims = 5\n", "claims.ttl_s", None),
    (b"[[claims]]\n", "claims.ttl_s", 60),
]


@pytest.mark.parametrize(("data", "name", "value"), REFUSED)
def test_an_edit_that_makes_no_sense_is_refused_with_a_hint(data: bytes, name: str, value: Any) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        edit_settings(data, name, value)
    assert caught.value.hint


def test_values_have_the_types_that_code_relies_on() -> None:
    assert type(check("limits.max_value_bytes", 5.0)) is int
    assert type(check("claims.ttl_s", 60)) is float
