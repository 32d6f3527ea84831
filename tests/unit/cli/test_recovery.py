"""`gitctx recovery`, and commands that meet a damaged store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitctx.store import Store
from gitctx_testkit.damage import CONTEXT, contents, empty, loose
from gitctx_testkit.git import git

SCAN = {"healthy", "damage", "best", "source", "lost", "stale", "resurrected", "tried"}


@pytest.fixture
def path(store: Store) -> Path:
    return store.path


def test_a_scan_answers_with_the_documented_fields_and_changes_nothing(cli: Any, path: Path) -> None:
    cli("put", "k", "v")
    (path / CONTEXT).write_bytes(b"")
    before = contents(path)
    found = cli("recovery", "scan", "--json").json
    assert contents(path) == before
    assert found.keys() >= SCAN
    assert (found["healthy"], found["source"]) == (False, "queue")
    assert all(each.keys() >= {"code", "subject", "text"} for each in found["damage"])
    assert all(each.keys() >= {"branch", "source", "revision", "verdict"} for each in found["tried"])
    cli("recovery", "apply")


def test_a_recovery_tells_what_it_gave_back_and_what_it_could_not(cli: Any, path: Path) -> None:
    cli("put", "k", "old")
    lost = cli.changed("put", "k", "new")["revision"]
    loose("context:k", empty)(path)
    assert "stale: k of " + lost in cli("recovery", "scan").text
    done = cli("recovery", "apply", "--json").json
    assert done.keys() >= {*SCAN, "id", "changed", "revision", "rescue", "quarantine"}
    assert done["stale"] == [{"branch": "context", "revision": lost, "key": "k"}]
    assert done["rescue"] == [f"refs/gitctx/rescue/{done['id']}/context"]
    assert cli("get", "k").out == b"old"
    assert cli.log("-n1")[0]["actor"] == "planner"
    again = cli("recovery", "apply", "--json").json
    assert (again["healthy"], again["changed"], again["id"]) == (True, False, None)
    assert cli("recovery", "apply").text.startswith("sound")
    cli("recovery", "undo", done["id"], "-m", "stale")
    cli("get", "k", code=3)
    assert cli.log("-n1")[0]["message"] == "stale"


def test_a_command_that_meets_damage_recovers_says_so_and_does_what_was_asked(cli: Any, path: Path) -> None:
    cli("put", "k", "v")
    (path / CONTEXT).write_bytes(b"")
    found = cli("get", "k")
    assert found.out == b"v"
    assert "the store was damaged and has been recovered" in found.err
    assert "gitctx recovery undo" in found.err
    assert cli("get", "k").err == ""


def test_what_was_piped_into_a_command_is_not_lost_by_the_recovery(cli: Any, path: Path) -> None:
    cli("put", "k", "v")
    (path / CONTEXT).unlink()
    assert "recovered" in cli("put", "piped", "-", stdin=b"through").err
    assert cli("get", "piped").out == b"through"
    assert git(path, "log", "--format=%s", "-3", "context").splitlines() == ["put piped", "recover context", "put k"]


def test_an_object_that_is_missing_in_the_middle_of_a_command_is_recovered_too(cli: Any, path: Path) -> None:
    cli("put", "k", "old")
    cli("put", "k", "new")
    loose("context:k", empty)(path)
    found = cli("get", "k")
    assert found.out == b"old"
    assert "1 stale" in found.err


def test_recovering_by_itself_can_be_switched_off(cli: Any, path: Path) -> None:
    cli("put", "k", "v")
    (path / CONTEXT).write_bytes(b"")
    failed = cli("get", "k", "--json", code=7, environ={"GITCTX_AUTO_RECOVER": "0"}).error
    assert failed["code"] == "broken_history"
    assert "gitctx recovery apply" in failed["hint"]
    assert (path / CONTEXT).read_bytes() == b""
    cli("recovery", "apply")


def test_verify_tells_of_damage_and_recovers_nothing(cli: Any, path: Path) -> None:
    cli("put", "k", "v")
    (path / CONTEXT).write_bytes(b"")
    cli("verify", code=7)
    assert (path / CONTEXT).read_bytes() == b""
    cli("recovery", "apply")
    cli("verify", "--full")


def test_damage_beyond_recovery_is_told_with_what_was_tried(cli: Any, path: Path, tmp_path: Path) -> None:
    import shutil

    copied = tmp_path / "copied.git"
    shutil.copytree(path, copied)
    shutil.rmtree(copied / "objects")
    (copied / "objects").mkdir()
    failed = cli("--store", copied, "recovery", "apply", "--json", code=7).error
    assert failed["code"] == "recovery_impossible"
    assert {each["source"] for each in failed["details"]["tried"]} >= {"ref"}


def test_no_store_is_no_damage(cli: Any, tmp_path: Path) -> None:
    assert cli("--store", tmp_path / "none", "recovery", "scan", "--json", code=3).error["code"] == "store_not_found"
    (tmp_path / "folder").mkdir()
    assert cli("--store", tmp_path / "folder", "recovery", "apply", "--json", code=3).error["code"] == "not_a_store"
