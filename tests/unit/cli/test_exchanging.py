"""`gitctx remote`, `sync`, `conflict`, `init` and `claim --remote`: what they print, their JSON, their exit codes."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.git import git
from gitctx_testkit.hosted import Hosted

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "command.md"
REMOTE = {"name", "url", "namespace"}
EXCHANGED = {"remote", "changed", "complete", "rounds", "took_s", "branches", "checkpoints"}
BRANCH = {
    *("branch", "head", "received", "sent", "merged", "forced_back", "refused", "up_to_date"),
    *("rejoined", "settled", "moved", "opened"),
}
CHECKPOINTS = {"received", "sent", "deleted", "gone", "renamed", "refused"}
CONFLICT = {"id", "key", "base", "standing", "waiting"}
SIDE = {"etag", "revision", "actor", "session", "written_at"}
JOINED = {"store", "store_id", "format", "created", "changed", "joined"}


def documented(command: str) -> str:
    """What the reference says of the JSON of a command."""
    rows = [line for line in REFERENCE.read_text("utf-8").splitlines() if line.startswith("|")]
    (row,) = [line for line in rows if re.match(rf"\| `{re.escape(command)}`[^|]*\| `", line)]
    return row


def assert_documented(command: str, fields: Collection[str]) -> None:
    row = documented(command)
    assert [name for name in fields if f"`{name}`" not in row] == []


@pytest.fixture
def hub(tmp_path: Path) -> Hosted:
    return Hosted(tmp_path / "hub.git")


@pytest.fixture
def disputed(cli: Any, hub: Hosted, clones: Clones) -> Machine:
    """Another machine; it and this one changed `d/x` at the same time, which `fail` leaves open."""
    cli("config", "set", "strategies.d/", "fail")
    cli("put", "d/x", "base")
    cli("remote", "add", "origin", hub.path)
    cli("sync")
    clones.hub = hub
    other = clones.join("other")
    other.ctx.put("d/x", "theirs")
    other.exchange()
    cli("put", "d/x", "mine")
    return other


# -- remotes ----------------------------------------------------------------------------------------------------------


def test_a_remote_is_added_listed_and_removed_and_its_server_sees_nothing_of_it(cli: Any, hub: Hosted) -> None:
    added = cli("remote", "add", "origin", hub.path, "--json").json
    assert added == {"name": "origin", "url": str(hub.path), "namespace": None, "holds_store": False}
    assert_documented("remote add list remove", added)
    assert hub.git("for-each-ref") == ""
    assert cli("remote", "list").lines == [f"origin  {hub.path}"]
    cli("sync")
    (listed,) = cli("remote", "list", "--json").jsons
    assert listed == {"name": "origin", "url": str(hub.path), "namespace": "refs/"}
    assert cli("remote", "add", "again", hub.path, "--json").json["holds_store"] is True
    assert cli("remote", "remove", "origin", "--json").json.keys() == REMOTE
    assert [each["name"] for each in cli("remote", "list", "--json").jsons] == ["again"]
    assert hub.head("refs/heads/context")


def test_a_relative_path_is_found_from_anywhere(cli: Any, hub: Hosted) -> None:
    cli("-C", hub.path.parent, "remote", "add", "origin", "hub.git")
    assert cli("remote", "list", "--json").json["url"] == str(hub.path)
    cli("sync")


def test_a_remote_that_doesnt_answer_is_added_with_a_warning(cli: Any, tmp_path: Path) -> None:
    added = cli("remote", "add", "origin", tmp_path / "none.git", "--json")
    assert added.json["holds_store"] is None
    assert "warning: there is no repository at" in added.err


def test_a_password_in_a_url_is_never_shown(cli: Any) -> None:
    url = "https://me:secret@example.com/x.git"
    shown = [cli("remote", "add", "origin", url, "--no-check", "--json"), cli("remote", "list"), cli("status")]
    shown += [cli("remote", "list", "--json"), cli("remote", "remove", "origin", "--json")]
    assert all("secret" not in each.text + each.err for each in shown)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("remote", "add", "-x", "u"), 2, None),
        (("remote", "add", "a b", "u", "--no-check"), 5, "invalid_name"),
        (("remote", "add", "pause", "u", "--no-check"), 5, "invalid_name"),
        (("remote", "add", "o", "u", "--own", "--shared"), 2, None),
        (("remote", "remove", "none"), 3, "remote_not_found"),
        (("sync", "none"), 3, "remote_not_found"),
        (("sync",), 3, "remote_not_found"),
        (("sync", "--watch"), 3, "remote_not_found"),
        (("sync", "--strategy", "newest"), 3, "remote_not_found"),
        (("claim", "c", "--remote"), 3, "remote_not_found"),
        (("conflict", "resolve", "none", "--standing"), 3, "conflict_not_found"),
        (("conflict", "resolve", "none", "--standing", "--waiting"), 2, None),
        (("init", "--from", "u", "--alone"), 2, None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_wrong_has_its_exit_code_and_a_hint(cli: Any, words: tuple[str, ...], code: int, error: str) -> None:
    found = cli(*words, "--json", code=code)
    if error is not None:
        assert found.error["code"] == error
        assert found.error["hint"]


def test_a_name_that_is_taken_is_refused(cli: Any, hub: Hosted) -> None:
    cli("remote", "add", "origin", hub.path)
    assert cli("remote", "add", "origin", hub.path, "--json", code=4).error["code"] == "already_exists"


# -- exchanging -------------------------------------------------------------------------------------------------------


def test_an_exchange_answers_with_the_documented_fields(cli: Any, hub: Hosted, disputed: Machine) -> None:
    disputed.ctx.put("other", "theirs")
    disputed.ctx.put("folder", "entry")
    disputed.exchange()
    cli("put", "other", "mine")
    cli("put", "folder/below", "1")
    cli("checkpoint", "create", "c")
    found = cli("sync", "--json").json
    assert found.keys() == EXCHANGED
    context, sessions = found["branches"]
    assert (context["branch"], sessions["branch"]) == ("context", "sessions")
    assert context.keys() == sessions.keys() == BRANCH
    assert found["checkpoints"].keys() == CHECKPOINTS
    assert (context["settled"][0]["key"], context["moved"][0]["key"], context["opened"][0]["key"]) == (
        *("other", "folder/below", "d/x"),
    )
    told = {name for part in (context["settled"], context["moved"]) for each in part for name in each}
    assert_documented("sync", EXCHANGED | BRANCH | CHECKPOINTS | told)
    assert (found["complete"], found["changed"], context["up_to_date"]) == (True, True, True)
    again = cli("sync", "--json").json
    assert (again["changed"], again["rounds"]) == (False, 0)


def test_an_exchange_tells_a_person_what_it_did(cli: Any, hub: Hosted, disputed: Machine) -> None:
    disputed.ctx.put("other", "theirs")
    disputed.exchange()
    cli("put", "other", "mine")
    found = cli("sync")
    assert re.fullmatch(r"origin: context 2 received and 3 sent", found.lines[0])
    assert "settled other: last-write-wins" in found.err
    assert "about d/x: see `gitctx conflict list`" in found.err
    assert cli("sync", "origin").lines == ["origin: nothing new"]


def test_what_a_remote_refuses_is_told_and_exits_with_8(cli: Any, hub: Hosted) -> None:
    cli("remote", "add", "origin", hub.path)
    hub.refuse_all("no room")
    refused = cli("sync", "--json", code=8)
    assert refused.json["complete"] is False
    assert refused.json["branches"][0]["refused"] == "pre-receive hook declined"
    assert "refused the branch context" in cli("sync", code=8).err


def test_a_remote_that_is_gone_exits_with_8_and_the_others_are_exchanged(cli: Any, hub: Hosted, tmp_path: Path) -> None:
    cli("remote", "add", "gone", tmp_path / "none.git")
    found = cli("sync", "--json", code=8)
    assert (found.error["code"], found.error["changed"], found.error["retryable"]) == ("remote_unreachable", "no", True)
    cli("remote", "add", "origin", hub.path)
    both = cli("sync", code=8)
    assert any(line.startswith("origin: ") for line in both.lines)
    assert hub.head("refs/heads/context")


def test_stores_that_began_apart_are_refused_until_merging_is_asked_for(cli: Any, hub: Hosted, clones: Clones) -> None:
    clones.hub = hub
    other = clones.begin("other")
    other.ctx.put("a", "1")
    other.exchange()
    cli("put", "b", "2")
    cli("remote", "add", "origin", hub.path)
    refused = cli("sync", "--json", code=8).error
    assert (refused["code"], refused["changed"]) == ("stores_apart", "no")
    cli("sync", "--merge-apart")
    assert cli("ls").lines == ["a", "b"]


# -- conflicts and claims ---------------------------------------------------------------------------------------------


def test_an_open_conflict_is_listed_with_both_sides(cli: Any, disputed: Machine) -> None:
    cli("sync")
    (found,) = cli("conflict", "list", "--json").jsons
    assert found.keys() == CONFLICT
    assert found["standing"].keys() == SIDE
    assert found["waiting"].keys() == SIDE | {"value"}
    assert_documented("conflict list", CONFLICT | SIDE | {"value", "base64"})
    assert {cli("get", "d/x").text, found["waiting"]["value"]} == {"mine", "theirs"}
    shown = cli("conflict", "list").lines
    assert shown[0] == f"{found['id']}  d/x"
    assert [line.split()[0] for line in shown[1:]] == ["stands", "waits"]
    assert cli("conflict", "list", "-n", "0").lines == []


@pytest.mark.parametrize("how", ["--standing", "--waiting", "value", "-"])
def test_a_conflict_is_settled_in_each_way(cli: Any, disputed: Machine, how: str) -> None:
    cli("sync")
    found = cli("conflict", "list", "--json").json
    standing = cli("get", "d/x").text
    words = (how, "-m", "decided") if how.startswith("--") else (how,)
    written = cli("conflict", "resolve", found["id"], *words, "--json", stdin=b"value").json
    assert written["changed"] is True
    expected = {"--standing": standing, "--waiting": found["waiting"]["value"]}.get(how, "value")
    assert cli("get", "d/x").text == expected
    assert cli("conflict", "list").lines == []
    assert cli("log", "-n", "1", "--json").json["op"] == "resolve"


def test_a_claim_on_the_remote_is_refused_to_the_second_with_4(cli: Any, hub: Hosted, disputed: Machine) -> None:
    made = cli("claim", "deploy", "--remote", "--json").json
    assert made["name"] == "deploy"
    assert hub.git("cat-file", "-e", "context:.gitctx/claims/deploy") == ""
    now = Context(Store.open(disputed.path), actor="other")
    now.sync.exchange()
    now.claims.release("deploy", force=True)
    now.sync.claim("deploy")
    assert cli("claim", "deploy", "--remote", "--json", code=4).error["code"] == "claim_held"
    hub.path.rename(hub.path.with_name("away.git"))
    assert cli("claim", "other", "--remote", "--json", code=8).error["code"] == "remote_unreachable"
    assert [each["name"] for each in cli("claims", "--json").jsons] == ["deploy"]


# -- joining ----------------------------------------------------------------------------------------------------------


def test_init_joins_the_store_that_a_remote_of_the_project_holds(
    cli: Any, hub: Hosted, disputed: Machine, project: Path
) -> None:
    git(project, "remote", "add", "upstream", str(hub.path))
    del cli.environ["GITCTX_STORE"]
    joined = cli("-C", project, "init", "--json")
    assert joined.json.keys() == JOINED
    assert (joined.json["created"], joined.json["joined"]) == (True, "upstream")
    assert_documented("init", JOINED)
    assert cli("-C", project, "get", "d/x").text == "theirs"
    again = cli("-C", project, "init", "--json").json
    assert (again["created"], again["joined"]) == (False, None)
    assert cli("-C", project, "sync", "--json").json["changed"] is False


def test_init_alone_asks_nobody_and_from_joins_what_it_is_told(
    cli: Any, hub: Hosted, disputed: Machine, project: Path, tmp_path: Path
) -> None:
    git(project, "remote", "add", "upstream", str(hub.path))
    del cli.environ["GITCTX_STORE"]
    assert cli("-C", project, "init", "--alone", "--json").json["joined"] is None
    place = tmp_path / "place.git"
    assert cli("--store", place, "init", "--from", hub.path, "--json").json["joined"] == "origin"
    assert cli("--store", place, "get", "d/x").text == "theirs"
    empty = Hosted(tmp_path / "empty.git")
    assert (
        cli("--store", tmp_path / "no.git", "init", "--from", empty.path, "--json", code=3).error["code"]
        == "not_a_store"
    )
    gone = cli("--store", tmp_path / "no.git", "init", "--from", tmp_path / "gone.git", "--json", code=8)
    assert gone.error["code"] == "remote_unreachable"
    assert not (tmp_path / "no.git").exists()


def test_init_makes_a_store_and_warns_where_a_remote_of_the_project_cant_be_asked(cli: Any, project: Path) -> None:
    git(project, "remote", "add", "upstream", str(project / "none.git"))
    del cli.environ["GITCTX_STORE"]
    made = cli("-C", project, "init", "--json")
    assert (made.json["created"], made.json["joined"]) == (True, None)
    assert "warning: upstream couldn't be asked" in made.err
