"""Format 1: today's code reads what an earlier one wrote, and writes the very same bytes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from gitctx.checkpoints import Checkpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.sessions import Claims, Sessions
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine

HERE = Path(__file__).parent
BUNDLE = HERE / "format-1.bundle"
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SUBJECTS = [
    "append log/auth",
    "claim auth",
    "put plan/auth.md",
    "remove wide/k7",
    "config strategies.decision/",
    "batch wide/k0, wide/k1, wide/k2 and 258 more",
    "put decision/db",
    "put plan/auth.md",
    "init context",
]


def minutes(number: int) -> datetime:
    return BEGAN + timedelta(minutes=number)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden store as a plain repository: none of the settings that a store is made with."""
    bare = tmp_path_factory.mktemp("format-1") / "store.git"
    git(HERE, "init", "-q", "--bare", "-b", "context", str(bare))
    git(bare, "fetch", "-q", str(BUNDLE), "refs/*:refs/*")
    return bare


@pytest.fixture
def golden(restored: Path) -> Iterator[Store]:
    before = git(restored, "for-each-ref")
    yield Store.open(restored, Config(clock=lambda: minutes(12)))
    assert git(restored, "for-each-ref") == before


@pytest.fixture
def reader(golden: Store) -> Context:
    return Context(golden, actor="reader")


@pytest.fixture
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_golden", HERE / "build_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_store_says_who_it_is_without_any_setting(golden: Store) -> None:
    assert (golden.identity.format, golden.identity.epoch) == (1, 0)
    assert len(golden.identity.store_id) == 26
    assert not any(name.startswith("gitctx.") for name in golden.repository.config())


def test_every_entry_is_read(reader: Context) -> None:
    assert reader.get("plan/auth.md").text() == "# Auth\n\nuse passkeys\n"
    decision = b'{\n  "choice": "sqlite",\n  "cost": 0.5,\n  "why": [\n    "small",\n    "h\xc3\xa9bergement"\n  ]\n}\n'
    assert reader.get("decision/db").value == decision
    assert reader.get("\u65e5\u672c\u8a9e/\u30ad\u30fc").value == b"\x00\xff bytes\r\n"
    assert reader.get("log/auth").text() == "started\n"
    wide = {info.key: reader.get(info.key).text() for info in reader.list("wide/")}
    assert wide == {f"wide/k{number}": str(number) for number in range(260) if number != 7}


def test_a_split_folder_is_where_the_format_says(reader: Context, restored: Path) -> None:
    entry = reader.get("wide/k42")
    # the SHA-1 of "k42" begins with 02
    assert entry.git_path == "wide/~02/k42"
    assert git(restored, "show", f"context:{entry.git_path}") == "42"


def test_the_whole_history_is_read(reader: Context) -> None:
    writes = list(reader.log())
    assert [write.subject for write in writes] == SUBJECTS
    assert [write.op for write in writes] == [
        *("append", "claim", "put", "remove", "config", "batch", "put", "put", "init"),
    ]
    first = writes[-2]
    assert (first.actor, first.written_at, first.keys) == ("planner", minutes(1), ("plan/auth.md",))
    assert first.message == "first draft\n\nGitctx-Id: not a trailer of ours"
    assert writes[-3].id == "my-own.id_1"
    assert len({write.id for write in writes}) == len(writes)
    assert len(writes[5].keys) == 261
    assert writes[2].session is not None
    assert reader.get("plan/auth.md", at=first.revision).text() == "# Auth\n\nuse tokens\n"


def test_the_checkpoint_is_read(golden: Store, reader: Context) -> None:
    checkpoints = Checkpoints(golden, actor="reader")
    found = checkpoints.show("before/review")
    assert (found.message, found.actor, found.created_at) == ("all agreed", "planner", minutes(7))
    assert found.revision == list(reader.log())[2].revision
    assert [change.key for change in checkpoints.changes_since("before/review")] == [".gitctx/claims/auth", "log/auth"]


def test_the_settings_are_in_force(reader: Context) -> None:
    settings = reader.settings()
    assert settings.problems == ()
    assert settings.strategy_for("decision/db") == "fail"


def test_the_sessions_and_the_claim_are_read(golden: Store) -> None:
    sessions = Sessions(golden, FakeMachine())
    active, ended = (status.record for status in sessions.list())
    assert (ended.actor, ended.agent, ended.host_id, ended.hostname) == ("planner", "claude", "host-a", "HOST-A")
    assert (ended.pid, ended.process_started_at, ended.boot_id) == (100, "5000", "boot-1")
    assert (ended.started_at, ended.ended_at) == (minutes(6), minutes(8))
    assert (ended.end_reason, ended.graceful_shutdown) == ("planned", True)
    assert (active.actor, active.ended_at, active.graceful_shutdown) == ("coder-1", None, None)
    claim = Claims(golden, sessions, actor="reader", session=None).get("auth")
    assert (claim.actor, claim.session, claim.message) == ("coder-1", active.id, "on it")
    assert (claim.claimed_at, claim.expires_at) == (minutes(9), minutes(69))


def test_nothing_in_it_troubles_verify_or_git(golden: Store, restored: Path) -> None:
    found = verify(golden, full=True)
    # a plain clone has neither a store's settings nor its reflogs
    assert {problem.code for problem in found.problems} <= {"config", "reflog"}, found.problems
    git(restored, "fsck", "--strict", "--full")


def test_a_copy_can_be_written_to(restored: Path, tmp_path: Path) -> None:
    shutil.copytree(restored, tmp_path / "copy.git")
    context = Context(Store.open(tmp_path / "copy.git"), actor="writer")
    context.put("wide/k7", "back")
    assert context.get("wide/k7").text() == "back"
    assert [write.subject for write in context.log()] == ["put wide/k7", *SUBJECTS]
    git(tmp_path / "copy.git", "fsck", "--strict", "--full")


def test_the_same_writes_give_the_same_ids_as_they_did_then(
    builder: ModuleType, restored: Path, tmp_path: Path
) -> None:
    made = builder.build(tmp_path / "anew.git")
    assert git(made.path, "for-each-ref") == git(restored, "for-each-ref")
    theirs = git(restored, "rev-list", "--all", "--objects", "--no-object-names").splitlines()
    ours = git(made.path, "rev-list", "--all", "--objects", "--no-object-names").splitlines()
    assert sorted(ours) == sorted(theirs)


def test_the_script_beside_the_bundle_still_makes_one(tmp_path: Path, restored: Path) -> None:
    bundle = tmp_path / "again.bundle"
    subprocess.run([sys.executable, str(HERE / "build_golden.py"), str(bundle)], check=True, timeout=120)
    heads = {line for line in git(tmp_path, "bundle", "list-heads", str(bundle)).splitlines() if "refs/" in line}
    assert heads == set(git(restored, "for-each-ref", "--format=%(objectname) %(refname)").splitlines())
