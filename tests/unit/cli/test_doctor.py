"""`gitctx doctor`: each judgement on its own, and each thing that --fix mends through the command."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitctx.store import Store
from gitctx.store.identity import REQUIRED_CONFIG
from gitctx.values import Finding, RecoveryScan
from gitctx_cli.doctor_facts import Condition, Environment, People
from gitctx_cli.doctor_judgements import judge_environment, judge_people, judge_store
from gitctx_testkit.damage import CONTEXT

GOOD = Environment(
    "2.39.5", "1.21.0", "1.9.7", "3.11.7", 1, 1, True, "ext4", True, True, 1.8e9, 1.8e9, 1.7e9, 1 << 40, 10**6
)
SOUND = Condition(None, RecoveryScan(True, (), "a" * 40, "ref"), None, dict(REQUIRED_CONFIG))


def _scan(code: str) -> RecoveryScan:
    return RecoveryScan(False, (Finding(code, "x", "text"),), None, None)


@pytest.mark.parametrize(
    ("change", "code", "level"),
    [
        ({"git": None}, "git", "problem"),
        ({"git": "2.30.2"}, "git", "warning"),
        ({"git": "2.51.0"}, "git", "warning"),
        ({"git": "2.51.1"}, "git", "ok"),
        ({"pygit2": "1.9.0"}, "pygit2", "problem"),
        ({"python": "3.10.2"}, "python", "problem"),
        ({"owner": 2}, "owner", "warning"),
        ({"writable": False}, "owner", "problem"),
        ({"file_system": "nfs4"}, "network_file_system", "note"),
        ({"file_system": "vfat"}, "no_journal", "note"),
        ({"hard_links": False}, "no_hard_links", "note"),
        ({"kernel_locks": False}, "no_kernel_locks", "note"),
        ({"now": 1.0, "head_time": None}, "clock", "problem"),
        ({"head_time": 1.8e9 + 3600}, "clock", "warning"),
        ({"file_time": 1.8e9 + 3600}, "clock", "warning"),
        ({"free_bytes": 1 << 20}, "disk", "problem"),
        ({"free_bytes": 100 << 20}, "disk", "warning"),
        ({"free_inodes": 10}, "disk", "warning"),
    ],
)
def test_the_environment_is_judged_by_its_facts(change: dict[str, Any], code: str, level: str) -> None:
    assert (code, level) in [(each.code, each.level) for each in judge_environment(replace(GOOD, **change))]
    assert {each.level for each in judge_environment(GOOD)} == {"ok"}


@pytest.mark.parametrize(
    ("change", "code", "level"),
    [
        ({"config": {}}, "config", "problem"),
        ({"scan": _scan("stale_lock")}, "stale_lock", "warning"),
        ({"scan": _scan("ref")}, "damage_ref", "problem"),
        ({"scan": None, "scan_error": ("storage", "t", "h")}, "storage", "problem"),
        ({"error": ("format_unsupported", "t", "h")}, "format_unsupported", "problem"),
        ({"missing_reflogs": ("context",)}, "reflog", "warning"),
        ({"leftovers": ("x",)}, "leftovers", "warning"),
        ({"keeps": ("x",)}, "keep", "warning"),
        ({"packs": 70, "mergeable_packs": 70}, "packs", "warning"),
        ({"packs": 900}, "packs", "problem"),
        ({"rescue_refs": 1}, "rescue", "note"),
        ({"quarantines": 1}, "quarantine", "note"),
    ],
)
def test_the_store_is_judged_by_its_facts(change: dict[str, Any], code: str, level: str) -> None:
    assert (code, level) in [(each.code, each.level) for each in judge_store(replace(SOUND, **change))]
    assert {each.level for each in judge_store(SOUND)} == {"ok"}


@pytest.mark.parametrize(
    ("seen", "code", "level"),
    [
        (People(dead=("s",)), "dead_session", "warning"),
        (People(unreadable=("s",)), "session_record", "problem"),
        (People(bad_leases=("s",)), "lease", "warning"),
        (People(held_by_dead=("c",)), "dead_claim", "warning"),
        (People(("object_missing", "t", "h")), "object_missing", "problem"),
    ],
)
def test_sessions_are_judged_by_their_facts(seen: People, code: str, level: str) -> None:
    assert [(each.code, each.level) for each in judge_people(seen)] == [(code, level)]


def _codes(cli: Any, *more: str, code: int = 0) -> set[str]:
    found = cli("doctor", "--json", *more, code=code).json
    return {each["code"] for each in found["findings"] if each["level"] in ("warning", "problem")}


def test_a_new_store_gives_no_warning(cli: Any) -> None:
    assert _codes(cli) == set()


def test_settings_are_put_back(cli: Any, store: Store) -> None:
    store.repository.set_config("gc.auto", "6700")
    assert _codes(cli, code=7) == {"config"}
    assert _codes(cli, "--fix") == set()
    assert store.repository.config()["gc.auto"] == "0"


@pytest.mark.parametrize("name", [f"{CONTEXT}.lock", "packed-refs.lock", "HEAD.lock", "config.lock", "gc.pid"])
def test_stale_locks_are_cleared_and_fresh_ones_are_not(cli: Any, store: Store, name: str) -> None:
    lock = store.path / name
    lock.write_bytes(b"")
    assert _codes(cli, "--fix") == set()
    assert lock.exists()
    os.utime(lock, (time.time() - 7200,) * 2)
    assert _codes(cli) == {"stale_lock"}
    assert _codes(cli, "--fix") == set()
    assert not lock.exists()


def test_old_leftovers_are_removed_and_young_ones_are_not(cli: Any, store: Store) -> None:
    folder = store.path / "objects" / "ab"
    folder.mkdir(exist_ok=True)
    young, old = folder / "tmp_obj_young", folder / "tmp_obj_old"
    for each in (young, old):
        each.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    assert _codes(cli) == {"leftovers"}
    assert _codes(cli, "--fix") == set()
    assert (young.exists(), old.exists()) == (True, False)


def test_a_store_that_cannot_be_opened_is_examined_and_recovered(cli: Any, store: Store) -> None:
    cli("put", "k", "v")
    (Path(store.path) / CONTEXT).write_bytes(b"")
    assert "damage_ref" in _codes(cli, code=7)
    assert (store.path / CONTEXT).read_bytes() == b""
    assert _codes(cli, "--fix") == set()
    assert cli("get", "k").text.strip() == "v"
