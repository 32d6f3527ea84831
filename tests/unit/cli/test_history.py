"""`gitctx log`, `show`, `diff`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gitctx_cli.failures import UsageError
from gitctx_cli.inputs import seconds, since
from gitctx_testkit.git import git


@pytest.fixture
def told(cli: Any) -> Any:
    """Three writes by two actors."""
    cli("put", "plan/auth.md", "one\ntwo\n", "-m", "first words\n\nand more of them")
    cli("put", "plan/auth.md", "one\n2\n", "--actor", "coder-1")
    cli("put", "plan/b", "x")
    return cli


def test_log_tells_newest_first_on_a_line_each(told: Any) -> None:
    lines = told("log").lines
    writes = told.log()
    assert [line.split("  ")[0] for line in lines] == [each["revision"][:10] for each in writes]
    at = writes[2]["written_at"].replace("T", " ")
    assert lines[2].split("  ")[1:] == [at, "planner", "put plan/auth.md", "first words"]


def test_log_is_of_a_key_a_folder_an_actor_or_at_most_so_many(told: Any) -> None:
    assert [each["keys"] for each in told.log("plan/b")] == [["plan/b"]]
    assert len(told.log("plan/")) == 3
    assert [each["actor"] for each in told.log("--actor", "coder-1")] == ["coder-1"]
    assert len(told.log("-n", "2")) == 2
    assert told.log("--session", "none") == []


def test_actor_before_log_says_who_asks_and_after_it_whom_is_asked_for(told: Any) -> None:
    assert len(told("--actor", "coder-1", "log").lines) == 4
    assert len(told("--actor", "planner", "log", "--actor", "coder-1").lines) == 1


def test_log_since_a_time_or_a_revision(told: Any) -> None:
    revision = told.log()[1]["revision"]
    assert len(told.log("--since", revision)) == 1
    assert len(told.log("--since", "1h")) == 4
    assert told.log("--since", "2999-01-01") == []
    told("log", "--since", "nonsense", code=3)


def test_log_with_patches_shows_what_changed(told: Any) -> None:
    text = told("log", "-p", "-n", "2").text
    assert "--- a/plan/auth.md\n+++ b/plan/auth.md\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n" in text
    assert "--- /dev/null\n+++ b/plan/b\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n" in text
    assert told.log("-p", "-n1")[0]["changes"][0]["diff"].startswith("--- /dev/null")


def test_show_tells_everything_about_one_write(told: Any) -> None:
    text = told("show", "head~2").text
    write = told.log()[2]
    assert f"revision   {write['revision']}" in text
    assert f"id         {write['id']}" in text
    assert "    first words\n\n    and more of them\n" in text
    assert "+one\n+two\n" in text
    assert told("show").text.startswith(f"revision   {told.log()[0]['revision']}")


def test_a_commit_of_a_git_client_is_told_as_such(told: Any, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", told.environ["GITCTX_STORE"], "clone")
    (tmp_path / "clone" / "by-hand").write_text("x")
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "-q", "-m", "by hand")
    git(tmp_path / "clone", "push", "-q", "origin", "HEAD:context")
    assert told("log", "-n1").text.endswith("  somebody  (git) by-hand  by hand\n")
    assert "    by hand\n" in told("show").text
    assert told.log("-n1")[0]["op"] is None


def test_diff_between_revisions_and_against_now(told: Any) -> None:
    assert told("diff", "head~2", "head", "--names").lines == ["M plan/auth.md", "A plan/b"]
    assert told("diff", "head~1", "--names").lines == ["A plan/b"]
    assert told("diff", "head", "head~1", "--names").lines == ["D plan/b"]
    assert told("diff", "head~2", "--only", "plan/b", "--names").lines == ["A plan/b"]
    assert told("diff", "head").lines == []
    kinds = [(each["key"], each["kind"]) for each in told("diff", "head~2", "--json").jsons]
    assert kinds == [("plan/auth.md", "changed"), ("plan/b", "added")]


def test_a_diff_applies_with_git(told: Any, tmp_path: Path) -> None:
    """The diff is one that other tools take."""
    for old, new in (
        ("a\nb\nc\n", "a\nB\nc\n"),
        ("", "x\n"),
        ("x\n", ""),
        ("no end", "no end\n"),
        ("a\rb\n", "a\rc\n"),
    ):
        told("put", "k", "-", stdin=old.encode())
        before = told.log("-n1")[0]["revision"]
        told("put", "k", "-", stdin=new.encode())
        (tmp_path / "k").write_bytes(old.encode())
        patch = told("diff", before, "--only", "k").text
        git(tmp_path, "apply", "--unsafe-paths", "--allow-empty", stdin=patch)
        assert (tmp_path / "k").read_bytes() == new.encode()


def test_a_removed_text_is_shown_as_such(told: Any) -> None:
    told("rm", "plan/auth.md")
    assert "--- a/plan/auth.md\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-one\n-2\n" in told("show").text


def test_values_that_arent_text_or_are_empty_get_a_line(told: Any) -> None:
    told("put", "bin", "-", stdin=b"a\0b")
    told("put", "empty", "")
    assert told("diff", "head~2").lines == ["A bin (not text)", "A empty (empty)"]
    assert [each["diff"] for each in told("diff", "head~2", "--json").jsons] == [None, ""]


def test_large_values_are_compared_by_git(told: Any) -> None:
    lines = [f"line {number}\n" for number in range(20_000)]
    told("put", "large", "-", stdin="".join(lines).encode())
    lines[10_000] = "changed\n"
    told("put", "large", "-", stdin="".join(lines).encode())
    text = told("diff", "head~1").text
    assert "@@ -9998,7 +9998,7 @@" in text
    assert "\n-line 10000\n+changed\n" in text


def test_durations_and_times() -> None:
    assert [seconds(text, option="--ttl") for text in ("90", "90s", "30m", "1.5h", "1d", "2w")] == [
        90,
        90,
        1800,
        5400,
        86400,
        1209600,
    ]
    for text in ("", "m", "1x", "-1s", "1 m", "1e3", "\u0663s", "1..5m", "nan"):
        with pytest.raises(UsageError):
            seconds(text, option="--ttl")
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert since("2h", now) == now - timedelta(hours=2)
    assert since("2026-11-24", now) == datetime(2026, 11, 24, tzinfo=UTC)
    assert since("2026-11-24T10:00+02:00", now) == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert [since(text, now) for text in ("2026", "before-refactor", "3f2a9c", "2026-99-99")] == [
        "2026",
        "before-refactor",
        "3f2a9c",
        "2026-99-99",
    ]
