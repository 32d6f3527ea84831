"""`gitctx maintain`, and the slice that a command leaves behind when it is due."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

from gitctx.maintenance import thresholds
from gitctx.maintenance.maintenance import Maintenance
from gitctx.store import Store
from gitctx_cli import growing
from gitctx_testkit.children import eventually
from gitctx_testkit.maintained import everything_is_due


def test_a_store_that_needs_nothing_is_told_so(cli: Any) -> None:
    done = cli("maintain")
    assert (done.code, done.out) == (0, b"")
    assert "nothing is due" in done.err


def test_a_dry_run_says_what_full_would_do_and_full_does_it(cli: Any, store: Store) -> None:
    cli("put", "plan/a.md", "a")
    before = sorted((store.path / "objects").rglob("*"))
    planned = cli("maintain", "--dry-run", "--full", "--json").json
    assert {each["state"] for each in planned["steps"]} == {"due"}
    assert sorted((store.path / "objects").rglob("*")) == before
    done = cli("maintain", "--full", "--json").json
    assert list(done) == ["ran", "steps", "bytes_before", "bytes_after", "kept"]
    assert [each["name"] for each in done["steps"]] == [each["name"] for each in planned["steps"]]
    assert {each["state"] for each in done["steps"]} == {"done"}
    assert list(done["steps"][0]) == ["name", "why", "state", "text"]
    assert len(list((store.path / "objects/pack").glob("*.pack"))) == 1
    assert cli("get", "plan/a.md").text == "a"


def test_lines_go_to_standard_output_and_talk_to_standard_error(cli: Any) -> None:
    cli("put", "plan/a.md", "a")
    done = cli("maintain", "--full")
    assert [line.split()[0] for line in done.lines] == ["deltas", "unreachable"]
    assert "MiB before" in done.err
    assert cli("-q", "maintain", "--full").err == ""


def test_while_another_program_maintains_it_says_so_and_does_nothing(cli: Any, store: Store) -> None:
    told: list[Any] = []
    Maintenance(store).run(full=True, on_progress=lambda *_: told.append(cli("maintain", "--full")))
    assert {(each.code, each.out) for each in told} == {(0, b"")}
    assert "another program" in told[0].err


def test_a_command_that_wrote_leaves_a_slice_behind_when_it_is_due_and_only_then(cli: Any, store: Store) -> None:
    started: list[Path] = []
    with mock.patch.object(growing, "start_apart", started.append):
        cli("put", "plan/a.md", "a")
        assert started == []
        with everything_is_due():
            cli("put", "plan/a.md", "b")
            assert started == [store.path]
            cli("config", "set", "maintenance.auto", "false")
            started.clear()
            cli("put", "plan/a.md", "c")
            assert started == []


def test_the_slice_runs_in_a_process_of_its_own(cli: Any, store: Store) -> None:
    for number in range(8):
        cli("put", f"plan/{number}.md", "a")
    stale = store.path / "objects/pack/tmp_pack_aB3xYz"
    stale.touch()
    os.utime(stale, (time.time() - 7200,) * 2)
    growing.start_apart(store.path)
    eventually(lambda: not stale.exists(), "the slice removed what a killed program left")


def test_doctor_finds_overdue_maintenance_and_mends_it(cli: Any, store: Store) -> None:
    cli("put", "plan/a.md", "a")
    with mock.patch.multiple(thresholds, FRESH_PACKS=2):
        found = {each["code"]: each for each in cli("doctor", "--json").json["findings"]}
        assert "maintenance is due: deltas" in found["packs"]["text"]
        assert found["packs"]["fixable"]
        fixed = cli("doctor", "--fix", "--json").json
        assert [each["code"] for each in fixed["fixed"]] == ["packs"]
        assert "packs" not in {each["code"] for each in fixed["findings"]}
