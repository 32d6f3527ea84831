"""Checkpoints, claims, sessions and settings by the command."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gitctx_testkit.children import Child
from gitctx_testkit.git import git


def test_a_checkpoint_is_made_listed_shown_and_deleted(cli: Any) -> None:
    head = cli.changed("put", "k", "1")["head"]
    assert cli("checkpoint", "create", "one", "-m", "works\n\nin full").err == f"checkpoint one of {head[:10]}\n"
    cli("checkpoint", "create", "first", "--at", "head~1")
    cli("checkpoint", "create", "one", code=4)
    listed = [line.split("  ") for line in cli("checkpoint", "list").lines]
    assert {words[0]: words[3:] for words in listed} == {"one": ["planner", "works"], "first": ["planner"]}
    assert len(cli("checkpoint", "list", "-n", "1").lines) == 1
    assert "    works\n\n    in full\n" in cli("checkpoint", "show", "one").text
    assert cli("checkpoint", "delete", "one").err == f"deleted checkpoint one of {head[:10]}\n"
    cli("checkpoint", "delete", "one", code=3)


def test_a_restore_is_a_new_write_of_all_or_a_part(cli: Any) -> None:
    cli("put", "a/x", "1")
    cli("put", "b/x", "1")
    cli("checkpoint", "create", "c")
    cli("put", "a/x", "2")
    cli("put", "b/x", "2")
    assert cli("checkpoint", "diff", "c", "--names").lines == ["M a/x", "M b/x"]
    assert "-1\n" in cli("checkpoint", "diff", "c", "--only", "a").text
    cli("checkpoint", "restore", "c", "--only", "a/")
    assert cli("checkpoint", "diff", "c", "--names").lines == ["M b/x"]
    cli("checkpoint", "restore", "c", "--expected-head", "head~1", code=4)
    cli("checkpoint", "restore", "c", "-m", "back")
    assert cli("checkpoint", "diff", "c").lines == []
    assert cli.changed("checkpoint", "restore", "c")["changed"] is False


def test_a_claim_is_held_renewed_released_and_listed(cli: Any) -> None:
    made = cli("claim", "job", "--ttl", "90s", "-m", "mine", "--json").json
    held = cli("claim", "job", "--json", code=4).error
    assert (held["code"], held["details"]["actor"], held["retryable"]) == ("claim_held", "planner", True)
    renewed = cli("claim", "job", "--renew", "--ttl", "2h", "--json").json
    assert renewed["expires_at"] > made["expires_at"]
    assert cli("claims").text.startswith("job  planner  none  until ")
    cli("put", "k", "v", "--claim", "job")
    cli("put", "k", "w", "--claim", "other", code=4)
    assert cli("release", "job").err.startswith("released job ")
    assert cli("claims").lines == []
    cli("release", "job", code=3)


def test_another_actors_claim_is_only_released_by_force(cli: Any) -> None:
    cli("claim", "job", "--actor", "coder-1")
    cli("release", "job", code=4)
    cli("release", "job", "--force")
    cli("claim", "job")


def test_waiting_for_a_claim_ends_when_it_is_free_or_time_is_up(cli: Any) -> None:
    cli("claim", "job", "--actor", "coder-1")
    cli("claim", "job", "--wait", "0.05s", code=4)
    releasing = threading.Thread(target=lambda: cli("release", "job", "--actor", "coder-1"))
    releasing.start()
    cli("claim", "job", "--wait", "20")
    releasing.join()
    assert cli("claims", "--json").json["actor"] == "planner"


def test_a_session_is_started_seen_and_ended(cli: Any) -> None:
    with Child("input()") as agent:
        started = cli("session", "start", "--pid", str(agent.pid), "--agent", "claude", "--actor", "coder-1")
        id = started.text.strip()
        assert started.err == f"session {id} of coder-1, tied to process {agent.pid}\n"
        found = cli("session", "list", "--json").json
        assert (found["id"], found["state"], found["actor"], found["agent"]) == (id, "alive", "coder-1", "claude")
        cli("session", "beat", id)
        assert "state      alive" in cli("session", "show", id).lines
    assert cli("session", "list").text.split("  ")[:2] == [id, "dead"]
    cli("session", "end", id, "-m", "gone", "--crashed")
    found = cli("session", "show", id, "--json").json
    assert (found["state"], found["graceful_shutdown"], found["end_reason"]) == ("ended", False, "gone")
    assert cli("session", "list", "--active").lines == []


def test_a_dead_sessions_claim_is_free(cli: Any) -> None:
    with Child("input()") as agent:
        id = cli("session", "start", "--pid", str(agent.pid), "-q").text.strip()
        cli("claim", "job", "--session", id)
        assert cli("claim", "job", "--json", code=4).error["details"]["holder_state"] == "alive"
    assert cli("claims", "--json").json["holder_state"] == "dead"
    cli("claim", "job")


def test_the_session_around_is_meant_where_none_is_named(cli: Any) -> None:
    for command in ("show", "beat", "end"):
        assert cli("session", command, "--json", code=3).error["code"] == "session_not_found"
    id = cli("session", "start", "--pid", str(os.getpid())).text.strip()
    assert cli("session", "beat").err == f"beat {id}\n"
    assert cli("session", "end").err == f"ended session {id}\n"


def test_run_makes_a_session_of_a_command(cli: Any, tmp_path: Path) -> None:
    script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['GITCTX_SESSION']); sys.exit(3)"
    words = ("session", "run", "--agent", "tester", "-m", "why", "--", sys.executable, "-c", script, tmp_path / "id")
    said = cli(*words, code=3, environ={"PATH": os.environ["PATH"]}).err
    id = (tmp_path / "id").read_text()
    assert said == f"session {id} of planner\n"
    found = cli("session", "show", id, "--json").json
    assert (found["state"], found["agent"], found["graceful_shutdown"]) == ("ended", "tester", True)


def test_run_tells_of_a_command_that_was_killed(cli: Any) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    cli("session", "run", "--", sys.executable, "-c", script, code=128 + signal.SIGKILL, environ={"PATH": "/bin"})
    assert cli("session", "list", "--json").json["graceful_shutdown"] is False


def test_run_without_a_command_or_with_a_missing_one_is_refused(cli: Any) -> None:
    cli("session", "run", code=2)
    assert "no such program" in cli("session", "run", "--", "no-such-program", code=5).err
    assert cli("session", "list").lines == []


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_listed_set_and_put_back(cli: Any) -> None:
    assert cli("config", "list").lines == [
        "claims.ttl_s = 1800 (default)",
        "limits.max_value_bytes = 1048576 (default)",
        "rotation.auto = true (default)",
        "rotation.keep_days = 90 (default)",
        "rotation.keep_writes = 10000 (default)",
        "sessions.take_over_silent_after_s = never (default)",
    ]
    cli("config", "set", "limits.max_value_bytes", "2000000")
    cli("config", "set", "strategies.decision/", "fail")
    assert cli("config", "list").lines == [
        "claims.ttl_s = 1800 (default)",
        "limits.max_value_bytes = 2000000",
        "rotation.auto = true (default)",
        "rotation.keep_days = 90 (default)",
        "rotation.keep_writes = 10000 (default)",
        "sessions.take_over_silent_after_s = never (default)",
        "strategies.decision/ = fail",
    ]
    assert cli("config", "get", "limits.max_value_bytes").text == "2000000\n"
    assert cli("config", "get", "sessions.take_over_silent_after_s").text == "never\n"
    cli("config", "set", "sessions.take_over_silent_after_s", "86400")
    assert cli("config", "get", "sessions.take_over_silent_after_s").text == "86400\n"
    cli("config", "unset", "sessions.take_over_silent_after_s")
    assert cli("config", "get", "strategies.decision/x").text == "fail\n"
    assert cli("config", "get", "strategies.plan/").text == "last-write-wins\n"
    cli("config", "get", "no.such", code=5)
    cli("config", "unset", "limits.max_value_bytes")
    assert cli("config", "get", "limits.max_value_bytes").text == "1048576\n"
    cli("config", "reset")
    assert cli("config", "get", "strategies.decision/").text == "last-write-wins\n"
    assert cli.changed("config", "reset")["changed"] is False


def test_what_merge_is_told_is_set_as_an_object_and_shown_so_that_it_can_be_set_again(cli: Any) -> None:
    places = '{"counters": ["/done"], "sets": ["/tags"]}'
    cli("config", "set", "merge.status/", places)
    assert f"merge.status/ = {places}" in cli("config", "list").lines
    assert cli("config", "get", "merge.status/x").text == f"{places}\n"
    assert cli("config", "get", "merge.status/x", "--json").json["value"] == json.loads(places)
    assert cli("config", "get", "merge.plan/").text == "{}\n"
    cli("config", "set", "merge.status/", '{appends = ["/log"]}')
    assert cli("config", "get", "merge.status/").text == '{"appends": ["/log"]}\n'
    cli("config", "unset", "merge.status/")
    assert cli("config", "get", "merge.status/").text == "{}\n"


def test_a_setting_that_cant_be_is_refused(cli: Any) -> None:
    for name, value in (
        ("limits.max_value_bytes", "many"),
        ("claims.ttl_s", "0"),
        ("strategies.a/", "hope"),
        ("merge.a/", '{"counters": ["done"]}'),
        ("merge.a/", '["/done"]'),
        ("x", "1"),
    ):
        assert cli("config", "set", name, value, "--json", code=5).error["code"] == "config_invalid"


def test_a_small_limit_doesnt_lock_the_settings_and_claims_in(cli: Any) -> None:
    cli("config", "set", "limits.max_value_bytes", "1")
    cli("put", "k", "two", code=5)
    cli("claim", "job", "-m", "longer than that")
    cli("config", "set", "limits.max_value_bytes", "1000000")
    cli("put", "k", "two")


def test_settings_are_edited_as_a_file_and_bad_ones_refused(cli: Any) -> None:
    editor = {"EDITOR": f"cp {cli.folder}/wanted", "PATH": os.environ["PATH"]}
    (cli.folder / "wanted").write_text("# ours\n[claims]\nttl_s = 60\n")
    cli("config", "edit", environ=editor)
    assert cli("config", "get", "claims.ttl_s").text == "60\n"
    assert cli("get", ".gitctx/settings.toml").text.startswith("# ours")
    (cli.folder / "wanted").write_text("[claims]\nttl_s = 'soon'\n")
    failed = cli("config", "edit", "--json", environ=editor, code=5).error
    assert failed["code"] == "config_invalid"
    assert Path(failed["details"]["kept_in"]).read_text() == "[claims]\nttl_s = 'soon'\n"
    assert cli("config", "get", "claims.ttl_s").text == "60\n"


def test_settings_that_somebody_else_broke_are_told_and_dont_stop_writes(cli: Any, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", cli.environ["GITCTX_STORE"], "clone")
    (tmp_path / "clone" / ".gitctx").mkdir()
    (tmp_path / "clone" / ".gitctx" / "settings.toml").write_text("not toml")
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "-q", "-m", "broken")
    git(tmp_path / "clone", "push", "-q", "origin", "HEAD:context")
    cli("put", "k", "v")
    assert "isn't TOML" in cli("config", "list").err
    assert "isn't TOML" in cli("status").err
    assert len(cli("status", "--json").json["settings_problems"]) == 1
    cli("config", "set", "claims.ttl_s", "60", code=5)
    cli("config", "reset")
    assert cli("config", "list").err == ""


# -- the store --------------------------------------------------------------------------------------------------------


def test_status_counts_what_there_is(cli: Any) -> None:
    cli("put", "k", "v")
    cli("claim", "job")
    cli("checkpoint", "create", "c")
    found = cli("status", "--json").json
    assert (found["entries"], found["claims"], found["checkpoints"], found["actor"]) == (1, 1, 1, "planner")
    assert found["head"] == found["last_write"]["revision"]
    shown = {line[:13].strip(): line[13:] for line in cli("status").lines}
    assert (shown["store"], shown["entries"], shown["you"]) == (cli.environ["GITCTX_STORE"], "1", "planner")


def test_verify_exits_with_7_where_there_is_a_problem(cli: Any, tmp_path: Path) -> None:
    assert cli("verify").text.startswith("sound: ")
    path = tmp_path / "hurt.git"
    cli("--store", path, "init")
    git(tmp_path, "config", "--file", str(path / "config"), "gc.auto", "1")
    shown = cli("--store", path, "verify", code=7)
    assert "problem (config): gc.auto is 1" in shown.text
    assert "1 problem: " in shown.text
    found = cli("--store", path, "verify", "--json", code=7).json
    assert (found["ok"], found["problems"][0]["code"]) == (False, "config")


@pytest.mark.parametrize("words", [("ls",), ("log",), ("claims",), ("checkpoint", "list"), ("session", "list")])
def test_an_empty_list_is_no_line_of_json(cli: Any, words: tuple[str, ...]) -> None:
    assert len(cli(*words, "--json").jsons) == (1 if words == ("log",) else 0)
