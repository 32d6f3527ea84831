"""Dead sessions by the command: seen at the next call, recovered by the next start, handed over to whoever goes on."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gitctx_testkit.children import Child
from gitctx_testkit.git import git


def die(cli: Any, *, work: bool = False) -> str:
    """A session whose process was killed; with `work`, after it had done some."""
    with Child("input()") as agent:
        id = str(
            cli("session", "start", "--pid", str(agent.pid), "--agent", "claude", "--actor", "coder-1").text.strip()
        )
        if work:
            cli("put", "plan/a", "1", "-m", "before", "--session", id)
            cli("checkpoint", "create", "mark", "--session", id)
            cli("put", "plan/b", "2", "-m", "after", "--session", id)
            cli("claim", "job", "--session", id)
    return id


def start(cli: Any, *words: str, **more: Any) -> Any:
    return cli("session", "start", "--pid", str(os.getpid()), *words, **more)


def test_a_killed_agents_session_is_dead_at_the_next_call_with_the_evidence(cli: Any) -> None:
    id = die(cli)
    listed = cli("session", "list")
    assert "gitctx session recover" in listed.err
    (line,) = listed.lines
    assert line.startswith(f"{id}  dead  coder-1  claude  ")
    assert line.endswith("is gone")
    found = cli("session", "list", "--json").json
    assert found["state"] == "dead"
    layers = {each["layer"]: each["finding"] for each in found["evidence"]}
    assert list(layers) == ["lease", "process", "heartbeat", "integrity", "space", "orphan"]
    assert (layers["process"], layers["integrity"], layers["orphan"]) == ("dead", "sound", "open")


def test_the_next_start_has_recovered_it_and_says_what_it_found(cli: Any) -> None:
    id = die(cli, work=True)
    started = start(cli)
    own = started.text.strip()
    told = started.err.splitlines()
    assert told[1].startswith(f"recovered {id} of coder-1 (claude), dead: the process ")
    assert told[1].endswith(" is gone; last checkpoint mark; free now: job")
    assert told[2] == f"`gitctx session show {id} --resume` tells what it left"
    states = {each["id"]: each for each in cli("session", "list", "--json").jsons}
    assert (states[id]["state"], states[id]["graceful_shutdown"]) == ("ended", False)
    assert (states[id]["recovered_by"], states[own]["recovered"]) == (own, [{"id": id}])
    assert "recovered" not in start(cli).err
    cli("claim", "job", "--session", own)


def test_the_recovery_is_in_the_json_of_the_start(cli: Any) -> None:
    id = die(cli, work=True)
    found = start(cli, "--json").json
    (recovered,) = found["recovered"]
    assert (recovered["id"], recovered["state"], recovered["recovered_by"]) == (id, "dead", found["id"])
    assert (recovered["last_checkpoint"], recovered["claims"]) == ("mark", ["job"])
    assert [each["finding"] for each in recovered["evidence"] if each["layer"] == "process"] == ["dead"]
    assert (found["unreadable"], found["problem"]) == ([], None)


def test_a_recovery_is_asked_for_by_id_or_for_all(cli: Any) -> None:
    first, second = die(cli), ""
    assert cli("session", "recover", first).lines == [first]
    assert cli("session", "recover", first).err == "nothing to recover\n"
    second = die(cli)
    found = cli("session", "recover", "--all", "--json").json
    assert [each["id"] for each in found["recovered"]] == [second]
    assert found["recovered"][0]["recovered_by"] == "actor:planner"
    assert cli("session", "recover").lines == []
    cli("session", "recover", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=3)


def test_a_recovery_by_hand_is_noted_for_the_session_around(cli: Any) -> None:
    own = start(cli).text.strip()
    with Child("input()") as agent:
        id = cli("session", "start", "--pid", str(agent.pid)).text.strip()
    cli("session", "recover", "-m", "it hung", environ={"GITCTX_SESSION": own})
    assert cli("session", "show", own, "--json").json["recovered"] == [{"id": id}]
    assert f"taken by   {own}" in cli("session", "show", id).lines
    assert "it hung" in git(cli.folder, f"--git-dir={cli.environ['GITCTX_STORE']}", "log", "sessions", "--format=%b")


def test_only_on_request_a_silent_session_is_taken_over(cli: Any) -> None:
    with Child("input()") as agent:
        id = cli("session", "start", "--pid", str(agent.pid)).text.strip()
        assert cli("session", "recover", id, "--json", code=4).error["details"]["state"] == "alive"
        os.unlink(os.path.join(cli.environ["GITCTX_STORE"], "gitctx", "leases", id))
        failed = cli("session", "recover", id, "--json", code=4).error
        assert (failed["code"], failed["details"]["state"]) == ("session_not_dead", "silent")
        assert "--silent" in failed["hint"]
        assert "nothing to recover" in cli("session", "recover", "--all").err
        assert cli("session", "recover", id, "--silent").lines == [id]
        refused = cli("put", "a", "1", "--session", id, "--json", code=4).error
        assert (refused["code"], refused["details"]["recovered_by"]) == ("session_taken", "actor:planner")


@pytest.mark.parametrize("words", [("X", "--all"), ("--silent",)])
def test_what_is_meant_has_to_be_clear(cli: Any, words: tuple[str, ...]) -> None:
    cli("session", "recover", *words, code=2)


def test_whoever_continues_gets_a_brief(cli: Any) -> None:
    id = die(cli, work=True)
    own = start(cli).text.strip()
    cli("put", "plan/b", "3", "--session", own)
    text = cli("session", "show", id, "--resume").text
    for part in (
        f"session {id} of coder-1 (claude), ended",
        f"taken over by {own}",
        "process    dead: the process",
        "2 writes since its last checkpoint mark (revision ",
        "put plan/b  after",
        "plan/b  (changed since)",
        "claims it held: job",
    ):
        assert part in text
    assert "before" not in text
    found = cli("session", "show", id, "--resume", "--json").json
    assert (found["id"], found["last_checkpoint"]) == (id, "mark")
    assert set(found["resume"]) == {
        *("evidence", "since", "writes", "writes_total", "entries", "claims", "claims_freed"),
    }
    assert [each["keys"] for each in found["resume"]["writes"]] == [[".gitctx/claims/job"], ["plan/b"]]
    (entry,) = found["resume"]["entries"]
    assert (entry["key"], entry["changed_since"]) == ("plan/b", True)
    assert found["resume"]["claims_freed"] == ["job"]
    assert len(cli("session", "show", id, "--resume", "-n", "1", "--json").json["resume"]["writes"]) == 1


def test_a_living_session_has_a_brief_as_well(cli: Any) -> None:
    id = start(cli).text.strip()
    text = cli("session", "show", "--resume").text
    assert f"session {id} of planner, alive" in text
    assert "0 writes since its start" in text
