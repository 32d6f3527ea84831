"""Where the store is, who writes, in which session: flags, environment, git's configuration, defaults."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitctx import values
from gitctx.context import open_context
from gitctx.store import Store
from gitctx_cli.env import Env
from gitctx_cli.output import Output
from gitctx_testkit.children import Child
from gitctx_testkit.git import git


@pytest.fixture
def outside(cli: Any) -> Any:
    """The command without a word about store and actor."""
    cli.environ.clear()
    return cli


def test_global_options_work_before_and_after_the_command(cli: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.git"
    cli("--store", other, "init")
    cli("--store", other, "--actor", "a", "put", "k", "1")
    cli("put", "k", "2", "--store", other, "--actor", "b", "-q")
    cli("--actor", "x", "put", "k", "3", "--actor", "c", "--store", other)
    assert [each["actor"] for each in cli.log("k", "--store", str(other))] == ["c", "b", "a"]
    assert cli("--store", other, "checkpoint", "--json", "create", "c").json["name"] == "c"
    assert cli("ls").lines == []


def test_the_flag_beats_the_environment_and_that_the_configuration(outside: Any, project: Path) -> None:
    git(project, "config", "gitctx.actor", "from-config")
    outside("-C", project, "init")
    for words, environ in ((("--actor", "flag"), {"GITCTX_ACTOR": "env"}), ((), {"GITCTX_ACTOR": "env"}), ((), {})):
        outside("-C", project, *words, "append", "k", "x", environ=environ)
    actors = [each["actor"] for each in outside.log("k", "-C", str(project))]
    assert actors == ["from-config", "env", "flag"]


def test_the_actor_is_by_default_gits_user_or_who_is_logged_in(outside: Any, project: Path) -> None:
    git(project, "config", "user.name", "Ada L.")
    outside("-C", project, "init")
    outside("-C", project, "put", "a", "1")
    git(project, "config", "user.name", "Ada Lovelace")
    outside("-C", project, "put", "b", "1")
    git(project, "config", "--unset", "user.name")
    outside("-C", project, "put", "c", "1")
    actors = [each["actor"] for each in outside.log("-n3", "-C", str(project))]
    assert actors == ["tester", "Ada Lovelace", "tester"]


def test_init_is_idempotent_and_writes_nothing_outside_the_store(outside: Any, project: Path) -> None:
    before = git(project, "status", "--porcelain", "--ignored"), (project / ".git" / "config").read_bytes()
    names = sorted(path.name for path in (project / ".git").iterdir())
    first = outside("-C", project, "init", "--json").json
    again = outside("-C", project, "init", "--json").json
    assert (first["created"], again["created"], again["changed"]) == (True, False, False)
    assert first["store_id"] == again["store_id"]
    assert first["store"] == str(project / ".git" / "gitctx" / "store.git")
    assert (git(project, "status", "--porcelain", "--ignored"), (project / ".git" / "config").read_bytes()) == before
    assert sorted(path.name for path in (project / ".git").iterdir()) == sorted([*names, "gitctx"])
    assert outside("-C", project, "init").lines == [first["store"]]


def test_the_store_is_found_from_subfolders_and_the_git_folder(outside: Any, project: Path) -> None:
    outside("-C", project, "init")
    (project / "a" / "b").mkdir(parents=True)
    outside("-C", project / "a" / "b", "put", "k", "v")
    assert outside("-C", project / ".git", "get", "k").out == b"v"
    assert outside("get", "k", environ={"GITCTX_DIR": str(project / "a")}).out == b"v"


def test_the_projects_configuration_puts_the_store_elsewhere(outside: Any, project: Path, tmp_path: Path) -> None:
    git(project, "config", "gitctx.store", "../kept/context.git")
    made = outside("-C", project, "init").text.strip()
    assert Path(made) == tmp_path / "kept" / "context.git"
    outside("-C", project, "put", "k", "v")
    assert outside("--store", made, "get", "k").out == b"v"


def test_outside_a_project_the_store_is_the_users(outside: Any) -> None:
    made = Path(outside("init").text.strip())
    assert made == Path(os.environ["XDG_DATA_HOME"]) / "gitctx" / "store.git"
    outside("put", "k", "v")
    assert outside("get", "k").out == b"v"


def test_a_path_is_meant_from_the_folder_that_the_command_runs_in(outside: Any, project: Path) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "value").write_text("from there")
    outside("-C", project / "sub", "--store", "../near.git", "init")
    outside("-C", project / "sub", "put", "k", "--file", "value", "--store", "../near.git")
    assert outside("--store", project / "near.git", "get", "k").out == b"from there"


def test_a_missing_folder_is_told(outside: Any) -> None:
    assert outside("-C", "nowhere", "ls", "--json", code=3).error["code"] == "store_not_found"


def test_the_version_is_told_before_and_after_the_command(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--version",), ("put", "--version")):
        cli(*words)
        assert capsys.readouterr().out.startswith("gitctx 0.")


# -- sessions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def session(cli: Any) -> Iterator[values.SessionId]:
    """A session of a process that runs, and that no command of this test is below."""
    ctx = open_context(cli.environ["GITCTX_STORE"], actor="coder-1")
    with Child("input()") as agent:
        yield ctx.sessions.start(actor="coder-1", agent="claude", pid=agent.pid, hold=False).record.id


def test_the_session_comes_from_the_flag_the_environment_or_the_configuration(
    cli: Any, session: str, project: Path
) -> None:
    del cli.environ["GITCTX_ACTOR"]
    git(project, "config", "gitctx.session", session)
    cli("put", "a", "1", "--session", session)
    cli("put", "a", "2", environ={"GITCTX_SESSION": session})
    cli("-C", project, "put", "a", "3")
    cli("put", "a", "4", "--session", "", environ={"GITCTX_SESSION": session})
    writes = cli.log("a")
    assert [each["session"] for each in writes] == [None, session, session, session]
    assert [each["actor"] for each in writes] == ["tester", "coder-1", "coder-1", "coder-1"]


def test_a_command_below_a_sessions_process_belongs_to_it(cli: Any) -> None:
    started = cli("session", "start", "--pid", str(os.getpid()), "--actor", "coder-2").text.strip()
    cli("put", "k", "v")
    assert cli.log("-n1")[0]["session"] == started
    assert cli("session", "show").lines[0] == f"id         {started}"
    assert cli("status", "--json").json["session"] == started


def test_an_unknown_or_ended_session_is_refused_by_reading_and_writing(cli: Any, session: str) -> None:
    cli("get", "k", "--session", "0" * 26, code=3)
    cli("session", "end", session)
    for words in (("get", "k"), ("ls",), ("put", "k", "v"), ("claim", "job")):
        failed = cli(*words, "--json", environ={"GITCTX_SESSION": session}, code=4).error
        assert failed["code"] == "session_ended"
    cli("session", "list", environ={"GITCTX_SESSION": session})


def test_processes_of_one_session_share_what_they_saw(cli: Any, session: str) -> None:
    """What one command of a session read is the base of what the next one writes."""
    own = {"GITCTX_SESSION": session}
    cli("put", "k", "1")
    cli("get", "k", environ=own)
    cli("put", "k", "2")
    failed = cli("put", "k", "3", "--strategy", "fail", "--json", environ=own, code=4).error
    assert failed["code"] == "merge_conflict"


def test_a_dry_run_leaves_what_a_session_saw_alone(cli: Any, session: str) -> None:
    own = {"GITCTX_SESSION": session}
    cli("put", "k", "1")
    cli("get", "k", environ=own)
    cli("put", "k", "2")
    cli("put", "k", "3", "--dry-run", environ=own)
    cli("put", "k", "3", "--strategy", "fail", environ=own, code=4)


# -- hooks and worktrees ----------------------------------------------------------------------------------------------


def test_the_environment_of_a_hook_in_a_linked_worktree_misleads_nobody(
    outside: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git exports GIT_DIR and more to hooks there: the store is found all the same, and the project stays untouched."""
    made = outside("-C", project, "init").text.strip()
    git(project, "worktree", "add", "-q", "../linked", "-b", "side")
    git_dir = git(tmp_path / "linked", "rev-parse", "--absolute-git-dir")
    for name, value in {
        "GIT_DIR": git_dir,
        "GIT_INDEX_FILE": f"{git_dir}/index",
        "GIT_WORK_TREE": str(tmp_path / "linked"),
        "GIT_AUTHOR_NAME": "somebody",
        "GIT_AUTHOR_DATE": "@0 +0000",
        "GIT_PREFIX": "",
        "GIT_OBJECT_DIRECTORY": str(project / ".git" / "objects"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "linked" / "deep").mkdir()
    refs = git(project, "for-each-ref")
    for folder in (tmp_path / "linked", tmp_path / "linked" / "deep", project):
        assert outside("-C", folder, "status", "--json").json["store"] == made
    outside("-C", tmp_path / "linked", "put", "k", "v")
    outside("-C", tmp_path / "linked", "checkpoint", "create", "c")
    outside("-C", tmp_path / "linked", "checkpoint", "delete", "c")
    assert outside("-C", project, "get", "k").out == b"v"
    assert outside("-C", project, "verify", "--full", "--json").json["ok"] is True
    assert git(project, "for-each-ref") == refs
    assert git(project, "status", "--porcelain") == ""


def test_the_command_reads_only_what_it_is_given(store: Store) -> None:
    """An Env made for a test doesn't fall back on the process's own environment."""
    env = Env(
        Output(io.BytesIO(), io.BytesIO()), stdin=None, environ={"GITCTX_STORE": str(store.path)}, folder=Path("/")
    )
    assert env.open_store().path == store.path
