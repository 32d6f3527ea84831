"""The benchmarks, with tiny counts: a change of gitctx must not leave them broken until somebody wants figures."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.growth import SHAPES, age, shaped, sow
from benchmarks.measure import Check, Point, Row, Section, interleave
from benchmarks.report import save, table
from benchmarks.sections import NAMES, measure
from benchmarks.workload import agent_steps
from benchmarks.writers import servers
from gitctx import Context
from gitctx.store import Store


@pytest.mark.parametrize("name", NAMES)
def test_each_section_runs_and_its_contenders_did_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    section = measure(name, tmp_path / "data", "tiny")
    assert section.name == name
    assert all(min(row.samples) > 0 for row in section.rows)
    assert section.ratio(section.row(section.reference)) == 1
    assert section.title in table(section)
    saved = json.loads(save(tmp_path, {"cores": 2}, "tiny", [section]).read_text())
    assert [row["name"] for row in saved["sections"][0]["rows"]] == [row.name for row in section.rows]
    assert len({row.name for row in section.rows}) == len(section.rows)
    assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")


def test_a_server_that_is_not_installed_is_left_out_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "installed", lambda program: program == "etcd")
    assert list(servers.servers()) == [servers.ETCD]
    assert servers.notes() == [f"{servers.REDIS} isn't installed here, so it wasn't measured"]


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
    assert "| ours / theirs | at least 1 |  | 0.500 | **no** |" in (tmp_path / "promises.md").read_text()


@pytest.mark.parametrize(
    ("check", "kept", "reached"),
    [
        (Check("speed", 1.8, at_least=1.5, aim=2.5), True, False),
        (Check("speed", 2.6, at_least=1.5, aim=2.5), True, True),
        (Check("cost", 1.1, at_most=2, aim=1.2), True, True),
        (Check("cost", 2.1, at_most=2, aim=1.2), False, False),
        (Check("measured only", 9.0), True, None),
    ],
)
def test_an_aim_lies_on_the_side_of_its_limit(check: Check, kept: bool, reached: bool | None) -> None:
    assert (check.kept, check.aim_reached) == (kept, reached)


def test_points_are_drawn_as_lines_in_a_panel_each(tmp_path: Path) -> None:
    rows = [
        Row(f"{line} {x} {panel}", (0.5 * x,), point=Point(panel, line, x))
        for panel, line in (("keys", "deep & wide"), ("keys", "flat"), ("bytes", "flat"))
        for x in (1, 1000, 1_000_000)
    ]
    save(tmp_path, {}, "tiny", [Section("curve", "Title", "what", "ms", rows, rows[0].name)])
    drawing = ElementTree.parse(tmp_path / "curve.svg")
    lines = drawing.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 3, 3]
    texts = {text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {"keys", "bytes", "deep & wide", "flat", "1 M"} <= texts


def test_agents_do_the_same_steps_for_the_same_seed_and_never_write_a_value_twice() -> None:
    keys = [f"note-{number}.md" for number in range(20)]

    def steps(number: int, seed: int) -> list[object]:
        return list(islice(agent_steps(keys, number=number, seed=seed), 300))

    assert steps(0, 1) == steps(0, 1)
    assert steps(0, 1) != steps(1, 1)
    assert {type(step).__name__ for step in steps(0, 1)} == {"Read", "Write", "Append", "Together"}
    values = [step.update.value for number in range(2) for step in steps(number, 1) if hasattr(step, "update")]
    assert len(values) == len(set(values))
    assert max(map(len, values)) > 20_000


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sown_store_is_sound_and_holds_each_key_once(shape: str, tmp_path: Path) -> None:
    context = Context(Store.open(sow(tmp_path / "store.git", shape, 600)), actor="planner")
    key = shaped(shape, 600)
    assert {info.key for info in context.list()} == {key(number) for number in range(600)}
    assert context.verify(full=True).ok
    assert context.put(key(599), "next").revision == context.head


def test_an_aged_store_is_sound_and_each_of_its_commits_changes_one_key(tmp_path: Path) -> None:
    context = Context(Store.open(age(tmp_path / "store.git", 90, keys=20)), actor="planner")
    writes = list(context.log(limit=88))
    assert [len(write.keys) for write in writes] == [1] * 88
    assert context.verify(full=True).ok
