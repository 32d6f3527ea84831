"""Reading a user's project: every kind of path, the right last commit, and nothing written."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from gitctx.errors import GitFailed, NotFound
from gitctx.repository.project import Project
from gitctx_testkit.git import git

LIMIT_S = 30.0


def commit(folder: Path, message: str, *options: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message, *options)
    return git(folder, "rev-parse", "HEAD")


def write(folder: Path, path: str, text: str = "x\n") -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def last_commits(folder: Path) -> dict[bytes, str]:
    project = Project.find(folder)
    found = project.last_commits([file.path for file in project.files()], limit_s=LIMIT_S)
    return {path: commit.id for path, commit in found.items()}


def by_git(folder: Path, path: bytes) -> str:
    done = subprocess.run(
        [b"git", b"log", b"-1", b"--format=%H", b"--", path], cwd=folder, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_paths_that_are_no_text_are_read_as_they_are(project: Path) -> None:
    name = b'caf\xe9 \n\t".txt'
    (Path(os.fsdecode(os.fsencode(project) + b"/" + name))).write_bytes(b"\0\1")
    commit(project, "odd")
    files = {file.path: file for file in Project.find(project).files()}
    assert set(files) == {b"README", name}
    assert Project.find(project).contents([files[name].blob]) == {files[name].blob: b"\0\1"}
    assert last_commits(project)[name] == git(project, "rev-parse", "HEAD")


def test_the_last_commit_is_the_one_that_git_names_through_branches_merges_and_empty_commits(project: Path) -> None:
    write(project, "a")
    write(project, "dir/b")
    commit(project, "second")
    git(project, "checkout", "-q", "-b", "side")
    write(project, "a", "side\n")
    commit(project, "on the side")
    git(project, "checkout", "-q", "main")
    write(project, "c")
    commit(project, "on main")
    git(project, "merge", "-q", "--no-ff", "-m", "merged", "side")
    git(project, "commit", "-q", "--allow-empty", "-m", "nothing")
    found = last_commits(project)
    assert found == {path: by_git(project, path) for path in (b"README", b"a", b"c", b"dir/b")}


def test_a_change_that_only_a_merge_made_is_found(project: Path) -> None:
    git(project, "checkout", "-q", "-b", "side")
    write(project, "b")
    commit(project, "on the side")
    git(project, "checkout", "-q", "main")
    write(project, "c")
    commit(project, "on main")
    git(project, "merge", "-q", "--no-ff", "--no-commit", "side")
    write(project, "README", "changed by the merge\n")
    merge = commit(project, "merged")
    assert last_commits(project)[b"README"] == merge


def test_settings_of_the_user_that_change_what_git_log_prints_change_nothing(project: Path) -> None:
    before = last_commits(project)
    for name, value in (
        ("log.showRoot", "false"),
        ("log.showSignature", "true"),
        ("color.ui", "always"),
        ("diff.orderFile", "nowhere"),
        ("diff.external", "false"),
        ("log.date", "relative"),
    ):
        git(project, "config", name, value)
    assert last_commits(project) == before != {}


def test_a_history_without_end_costs_no_more_than_the_time_limit(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Project.find(project)
    endless = tmp_path / "bin" / "git"
    endless.parent.mkdir()
    endless.write_text("#!/bin/sh\nexec sleep 60\n")
    endless.chmod(0o755)
    monkeypatch.setenv("PATH", f"{endless.parent}:{os.environ['PATH']}")
    began = time.monotonic()
    assert found.last_commits([b"README"], limit_s=0.1) == {}
    assert time.monotonic() - began < 20


def test_git_that_fails_is_an_error_and_not_an_empty_history(project: Path) -> None:
    found = Project(Project.find(project).git_dir, "0" * 40)
    with pytest.raises(GitFailed):
        found.last_commits([b"README"], limit_s=LIMIT_S)


def test_submodules_are_no_files_and_an_unknown_blob_is_left_out(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD")
    git(project, "update-index", "--add", "--cacheinfo", f"160000,{head},module")
    git(project, "commit", "-q", "-m", "with a module")
    found = Project.find(project)
    assert [file.path for file in found.files()] == [b"README"]
    assert found.contents(["1" * 40, found.files()[0].blob]) == {found.files()[0].blob: b"hello\n"}
    assert found.contents([]) == {}


def test_it_is_found_from_a_subfolder_a_linked_worktree_and_a_bare_clone(project: Path, tmp_path: Path) -> None:
    write(project, "dir/b")
    head = commit(project, "second")
    git(project, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"), "HEAD~1")
    git(tmp_path, "clone", "-q", "--bare", str(project), str(tmp_path / "bare.git"))
    assert Project.find(project / "dir").head == head
    assert Project.find(tmp_path / "bare.git").head == head
    assert Project.find(tmp_path / "linked").head == git(project, "rev-parse", "HEAD~1")
    assert [file.path for file in Project.find(project / "dir").files()] == [b"README", b"dir/b"]


def test_outside_any_project_and_without_a_commit_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as outside:
        Project.find(tmp_path)
    with pytest.raises(NotFound):
        Project.find(tmp_path / "missing")
    git(tmp_path, "init", "-q")
    with pytest.raises(NotFound) as empty:
        Project.find(tmp_path)
    assert "--project" in outside.value.hint
    assert "no commit yet" in empty.value.message
