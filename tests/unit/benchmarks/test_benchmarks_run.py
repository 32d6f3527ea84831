"""The benchmarks, with tiny counts: a change of gitctx must not leave them broken until somebody wants figures."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.measure import Check, Row, Section, interleave
from benchmarks.report import save, table
from benchmarks.sections import NAMES, measure


@pytest.mark.parametrize("name", NAMES)
def test_each_section_runs_and_its_contenders_did_the_work(name: str, tmp_path: Path) -> None:
    section = measure(name, tmp_path, "tiny")
    assert section.name == name
    assert all(min(row.samples) > 0 for row in section.rows)
    assert section.ratio(section.row(section.reference)) == 1
    assert section.title in table(section)


def test_contenders_take_turns_so_that_a_drifting_machine_is_fair_to_all() -> None:
    order: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    interleave({name: lambda name=name: turn(name) for name in "abc"}, rounds=3)  # type: ignore[misc]
    assert "".join(order) == "abcbcacab"


def test_a_ratio_compares_within_rounds_not_across_a_drift() -> None:
    slowing = Row("ours", (10.0, 20.0, 400.0))
    beside = Row("theirs", (5.0, 10.0, 200.0))
    assert slowing.ratio_to(beside) == 2


def test_a_missed_promise_is_shown_and_saved(tmp_path: Path) -> None:
    rows = [Row("gitctx <x>", (2.0, 2.0), {"p99_ms": 3.0}), Row("other", (1.0, 4.0))]
    check = Check("ours / theirs", 0.5, at_least=1.0)
    section = Section("name", "Title", "what & why", "ms", rows, "other", [check])
    assert "NO" in table(section)
    saved = json.loads(save(tmp_path, {"cores": 2}, "tiny", [section]).read_text())
    assert saved["sections"][0]["checks"][0]["kept"] is False
    assert saved["sections"][0]["rows"][0]["p99_ms"] == 3
    assert ElementTree.parse(tmp_path / "name.svg").getroot().tag.endswith("svg")
