"""`gitctx doctor`: each judgement on its own, and each thing that --fix mends through the command."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitctx.context import Context
from gitctx.repository.compaction import FAN_IN
from gitctx.store import Store
from gitctx.store.identity import REQUIRED_CONFIG
from gitctx.values import Finding, RecoveryScan
from gitctx_cli.doctor_facts import Condition, Environment, People, Sharing
from gitctx_cli.doctor_judgements import judge_environment, judge_people, judge_sharing, judge_store
from gitctx_testkit.children import Child
from gitctx_testkit.damage import CONTEXT
from gitctx_testkit.git import git

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
        ({"leftovers": ("x",)}, "leftovers", "warning"),
        ({"keeps": ("x",)}, "keep", "warning"),
        ({"foreign_keeps": ("x",)}, "foreign_keep", "note"),
        ({"work_trees": (("a folder", "context"),)}, "work_tree", "warning"),
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


@pytest.mark.parametrize(
    ("seen", "code", "level"),
    [
        (Sharing(never_exchanged=("origin",)), "remote_unused", "note"),
        (Sharing(conflicts=(("0123", "decision/db"),)), "open_conflict", "warning"),
        (Sharing(paused="2026-03-01T12:00:00Z by planner"), "paused", "warning"),
        (Sharing(("corrupt_store", "t", "h")), "corrupt_store", "problem"),
    ],
)
def test_what_is_shared_is_judged_by_its_facts(seen: Sharing, code: str, level: str) -> None:
    assert [(each.code, each.level) for each in judge_sharing(seen)] == [(code, level)]


def test_a_pause_and_an_unused_remote_are_told_by_doctor_and_status(cli: Any, tmp_path: Path) -> None:
    cli("remote", "add", "origin", str(tmp_path / "nowhere.git"), "--no-check")
    cli("sync", "pause", "-m", "moving")
    assert _codes(cli) == {"paused"}
    shown = cli("status")
    assert f"remote       origin {tmp_path}/nowhere.git (never exchanged)" in shown.lines
    assert "`gitctx sync resume`" in shown.err
    document = cli("status", "--json").json
    assert document["paused"]["message"] == "moving"
    assert [each["unsent"] for each in document["remotes"]] == [None]
    cli("sync", "resume")
    assert _codes(cli) == set()


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


LOCKS = [f"{CONTEXT}.lock", "packed-refs.lock", "HEAD.lock", "config.lock", "index.lock", "gc.pid"]


@pytest.mark.parametrize("name", [*LOCKS, "objects/pack/multi-pack-index.lock"])
def test_stale_locks_are_cleared_and_fresh_ones_are_not(cli: Any, store: Store, name: str) -> None:
    lock = store.path / name
    lock.write_bytes(b"")
    assert _codes(cli, "--fix") == set()
    assert lock.exists()
    os.utime(lock, (time.time() - 7200,) * 2)
    assert _codes(cli) == {"stale_lock"}
    head = store.context.head()
    assert _codes(cli, "--fix") == set()
    assert not lock.exists()
    assert store.context.head() == head


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


def _age(path: Path) -> None:
    os.utime(path, (time.time() - 7200,) * 2)


def test_keep_files_of_killed_writers_go_and_those_of_others_stay(cli: Any, store: Store) -> None:
    cli("put", "a", "1")
    cli("put", "b", "2")
    ours, others = sorted((store.path / "objects/pack").glob("*.pack"))[:2]
    killed, held = ours.with_suffix(".keep"), others.with_suffix(".keep")
    killed.write_bytes(ours.read_bytes())
    held.write_text("held for a mirror")
    assert _codes(cli, "--fix") == set()
    assert killed.exists()
    _age(killed)
    _age(held)
    assert _codes(cli) == {"keep"}
    fixed = cli("doctor", "--fix", "--json").json
    assert [each["text"] for each in fixed["fixed"]] == [
        "removed 0 temporary files and 1 .keep files of killed writers"
    ]
    assert [each["code"] for each in fixed["findings"] if each["level"] == "note"].count("foreign_keep") == 1
    assert (killed.exists(), held.exists(), ours.exists()) == (False, True, True)


def test_many_small_packs_are_merged(cli: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.repository, "compact_if_due", lambda: None)
    ctx = Context(store, actor="planner")
    for number in range(2 * FAN_IN):
        ctx.put(f"k{number}", str(number))
    assert _codes(cli) == {"packs"}
    assert _codes(cli, "--fix") == set()
    assert len(list((store.path / "objects/pack").glob("*.pack"))) < FAN_IN
    assert ctx.get("k0").text() == "0"


def test_dead_sessions_are_recovered_and_their_claims_freed(cli: Any) -> None:
    with Child("input()") as agent:
        id = cli("session", "start", "--pid", str(agent.pid), "--actor", "coder-1").text.strip()
        cli("claim", "job", "--session", id)
        assert _codes(cli) == set()
    assert _codes(cli) == {"dead_session", "dead_claim"}
    fixed = cli("doctor", "--fix", "--json").json["fixed"]
    assert [(each["code"], each["text"]) for each in fixed] == [("dead_claim", f"recovered sessions: {id}")]
    assert _codes(cli) == set()
    assert [each["holder_state"] for each in cli("claims", "--json").jsons] == ["ended"]
    cli("session", "start", "--pid", str(os.getpid()), "--actor", "coder-2")
    cli("claim", "job")


def test_a_missing_reflog_is_made_anew_and_used(cli: Any, store: Store) -> None:
    log = store.path / "logs" / CONTEXT
    log.unlink()
    assert _codes(cli, code=7) == {"damage_reflog"}
    assert _codes(cli, "--fix") == set()
    cli("put", "k", "v")
    assert store.context.head() in log.read_text()


def test_a_work_tree_on_a_branch_is_told_until_it_is_detached(cli: Any, store: Store, tmp_path: Path) -> None:
    tree = tmp_path / "a tree"
    git(store.path, "worktree", "add", "-q", str(tree), "context")
    found = cli("doctor", "--json").json["findings"]
    (told,) = [each for each in found if each["code"] == "work_tree"]
    assert told["command"] == f"git -C '{tree}' switch --detach"
    git(store.path, "worktree", "remove", "--force", str(tree))
    git(store.path, "worktree", "add", "-q", "--detach", str(tree), "context")
    assert _codes(cli) == set()


def test_rescued_heads_are_counted_when_they_are_packed(cli: Any, store: Store) -> None:
    git(store.path, "update-ref", "refs/gitctx/rescue/x/context", "context")
    git(store.path, "update-ref", "refs/gitctx/rescue/y/context", "context")
    git(store.path, "pack-refs", "--all")
    git(store.path, "update-ref", "refs/gitctx/rescue/z/context", "context")
    found = cli("doctor", "--json").json["findings"]
    assert [each["text"].split()[0] for each in found if each["code"] == "rescue"] == ["3"]


def test_what_cannot_be_mended_is_said_and_stays_a_finding(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "lost.git"
    Store.create(path)
    for each in (*(path / "objects/pack").iterdir(), *(path / "objects").glob("??/*")):
        each.unlink()
        each.write_bytes(b"")
    before = sorted(str(each) for each in path.rglob("*"))
    found = cli("--store", path, "doctor", "--fix", "--json", code=7).json
    assert found["healthy"] is False
    assert found["fixed"][0]["text"].startswith("not mended: nothing of the context's history holds together")
    assert sorted(str(each) for each in path.rglob("*")) == before


def test_every_command_that_is_told_is_one(cli: Any, store: Store) -> None:
    """A hint is a sentence; what stands behind `->` can be pasted."""
    store.repository.set_config("gc.auto", "6700")
    (store.path / "logs" / CONTEXT).unlink()
    found = cli("doctor", "--json", code=7).json["findings"]
    commands = [each["command"] for each in found if each["command"]]
    assert commands
    assert all(each.startswith(("git ", "gitctx ", "df ", "chmod ", "pip ", "timedatectl ")) for each in commands)
    assert _codes(cli, "--fix") == set()
