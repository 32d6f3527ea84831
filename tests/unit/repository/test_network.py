"""Git over the network: what its answers mean, and that it always ends in time. With bare repositories at paths."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.errors import RemoteAuthFailed, RemoteUnreachable
from gitctx.repository import network as network_module
from gitctx.repository import ssh_sharing
from gitctx.repository.network import Network, Push, Refusal, hidden
from gitctx_testkit.git import git
from gitctx_testkit.hosted import Hosted
from gitctx_testkit.processes import wait_until

PATIENCE_S = 30.0


class Work:
    """A repository with two commits in a line, one beside them, and a hub."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "work.git"
        self.hub = Hosted(folder / "hub.git")
        git(folder, "init", "-q", "--bare", str(self.path))
        tree = git(self.path, "mktree", stdin="")
        self.first = git(self.path, "commit-tree", tree, "-m", "first")
        self.second = git(self.path, "commit-tree", tree, "-p", self.first, "-m", "second")
        self.aside = git(self.path, "commit-tree", tree, "-p", self.first, "-m", "aside")
        self.network = Network(self.path, timeout_s=PATIENCE_S)

    def push(self, *pushes: Push) -> dict[str, Refusal | None]:
        return dict(self.network.push(str(self.hub.path), pushes))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


MAIN = "refs/heads/main"


def test_a_push_goes_through_once_and_the_refs_are_seen(work: Work) -> None:
    assert work.push() == {}
    assert work.network.refs(str(work.hub.path)) == {}
    assert work.push(Push(work.first, MAIN, None), Push(work.second, "refs/tags/t", None)) == {
        MAIN: None,
        "refs/tags/t": None,
    }
    assert work.network.refs(str(work.hub.path)) == {MAIN: work.first, "refs/tags/t": work.second}
    assert work.network.refs(str(work.hub.path), ["refs/heads/*"]) == {MAIN: work.first}
    assert work.push(Push(work.first, MAIN, work.first)) == {MAIN: None}
    assert work.push(Push(None, "refs/tags/t", work.second)) == {"refs/tags/t": None}


def test_a_lease_that_doesnt_hold_is_a_lost_race_and_holds_nothing_else_up(work: Work) -> None:
    work.push(Push(work.first, MAIN, None))
    answers = work.push(Push(work.second, MAIN, work.aside), Push(work.second, "refs/heads/other", None))
    assert answers == {MAIN: Refusal("stale info", True), "refs/heads/other": None}
    for wrong in (Push(work.second, MAIN, None), Push(None, MAIN, work.second)):
        assert work.push(wrong)[MAIN] == Refusal("stale info", True)
    assert work.hub.head(MAIN) == work.first


def test_a_ref_that_moves_during_the_push_is_a_lost_race(work: Work) -> None:
    work.push(Push(work.first, MAIN, None), Push(work.aside, "refs/heads/aside", None))
    work.hub.hook("pre-receive", f"unset GIT_QUARANTINE_PATH; git update-ref {MAIN} refs/heads/aside")
    (answer,) = work.push(Push(work.second, MAIN, work.first)).values()
    assert answer is not None
    assert answer.raced


def test_a_ref_that_is_locked_there_is_a_lost_race(work: Work) -> None:
    work.push(Push(work.first, MAIN, None))
    (work.hub.path / "refs" / "heads" / "main.lock").touch()
    (answer,) = work.push(Push(work.second, MAIN, work.first)).values()
    assert answer is not None
    assert answer.raced


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda hub: hub.refuse_ref(MAIN), "hook declined"),
        (lambda hub: hub.refuse_all(), "pre-receive hook declined"),
        (lambda hub: hub.git("config", "receive.denyDeletes", "true"), "deletion prohibited"),
        (lambda hub: hub.git("config", "transfer.hideRefs", "refs/heads"), "deny updating a hidden ref"),
    ],
    ids=["update hook", "pre-receive hook", "deletes", "hidden"],
)
def test_a_refusal_that_lasts_is_no_lost_race(work: Work, prepare: Callable[[Hosted], object], reason: str) -> None:
    work.push(Push(work.first, MAIN, None))
    prepare(work.hub)
    gone = reason == "deletion prohibited"
    expected = None if reason == "deny updating a hidden ref" else work.first
    (answer,) = work.push(Push(None if gone else work.second, MAIN, expected)).values()
    assert answer == Refusal(reason, False, by_remote=True)


def test_a_rewind_that_the_server_denies_is_told(work: Work) -> None:
    work.push(Push(work.second, MAIN, None))
    work.hub.git("config", "receive.denyNonFastForwards", "true")
    (answer,) = work.push(Push(work.aside, MAIN, work.second)).values()
    assert answer is not None
    assert answer.reason == "non-fast-forward"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[rejected] (stale info)", Refusal("stale info", True)),
        ("[rejected] (fetch first)", Refusal("fetch first", True)),
        ("[rejected] (non-fast-forward)", Refusal("non-fast-forward", True)),
        ("[rejected] (already exists)", Refusal("already exists", True)),
        ("[remote rejected] (failed to update ref)", Refusal("failed to update ref", True, by_remote=True)),
        (
            "[remote rejected] (cannot lock ref 'x': is at 1 but expected 2)",
            Refusal("cannot lock ref 'x': is at 1 but expected 2", True, by_remote=True),
        ),
        ("[remote rejected] (hook declined)", Refusal("hook declined", False, by_remote=True)),
        (
            "[remote rejected] (protected branch hook declined)",
            Refusal("protected branch hook declined", False, by_remote=True),
        ),
        (
            "[remote rejected] (GH006: Protected branch update failed (main))",
            Refusal("GH006: Protected branch update failed (main)", False, by_remote=True),
        ),
        ("[remote rejected] (unpacker error)", Refusal("unpacker error", False, by_remote=True)),
        ("[remote failure]", Refusal("[remote failure]", False)),
        ("[remote failure] (remote failed to report status)", Refusal("remote failed to report status", False)),
        ("something new", Refusal("something new", False)),
    ],
)
def test_what_git_may_say_of_a_refused_ref_is_understood(text: str, expected: Refusal) -> None:
    assert network_module._refusal(text) == expected


def test_a_remote_that_isnt_there_is_unreachable_and_the_hint_says_what_to_do(work: Work, tmp_path: Path) -> None:
    for call in (
        lambda: work.network.refs(str(tmp_path / "none.git")),
        lambda: work.network.fetch(str(tmp_path / "none.git"), ["+refs/*:refs/x/*"]),
        lambda: work.network.push(str(tmp_path / "none.git"), [Push(work.first, MAIN, None)]),
    ):
        with pytest.raises(RemoteUnreachable, match="there is no repository at") as error:
            call()
        assert "make an empty one" in error.value.hint
        assert error.value.retryable


def test_an_object_that_is_missing_here_makes_no_push(work: Work) -> None:
    (answer,) = work.push(Push("1" * 40, MAIN, None)).values()
    assert answer is not None
    assert not answer.raced
    assert work.network.refs(str(work.hub.path)) == {}


def _slow(work: Work, seconds: int = 60) -> None:
    git(work.path, "config", "remote.slow.url", str(work.hub.path))
    script = work.path.parent / "slow"
    script.write_text(f"#!/bin/sh\nsleep {seconds} & echo $! >{script}.pid; wait\n")
    script.chmod(0o755)
    git(work.path, "config", "remote.slow.uploadpack", str(script))
    git(work.path, "config", "remote.slow.receivepack", str(script))


def _gone(pid_file: Path) -> bool:
    """Whether the process of that number has ended, reaped or not."""
    try:
        status = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


def test_a_remote_that_hangs_is_given_up_in_time_and_nothing_of_it_goes_on(work: Work) -> None:
    _slow(work)
    network = Network(work.path, timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(RemoteUnreachable, match=r"didn't answer within 0\.5 s") as error:
        network.push("slow", [Push(work.first, MAIN, None)])
    assert time.monotonic() - began < PATIENCE_S
    assert error.value.details["timeout_s"] == 0.5
    wait_until(lambda: _gone(work.path.parent / "slow.pid"))
    with pytest.raises(RemoteUnreachable, match=r"didn't answer within 0\.2 s"):
        work.network.refs("slow", timeout_s=0.2)


def test_a_command_that_runs_is_stopped_on_request(work: Work) -> None:
    _slow(work)
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(RemoteUnreachable, match="was stopped"):
        Network(work.path, timeout_s=60.0, cancel=cancel).fetch("slow", ["+refs/*:refs/x/*"])
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.com/x.git", "https://me:***@example.com/x.git"),
        ("https://me@example.com/x.git", "https://me@example.com/x.git"),
        ("git@example.com:x.git", "git@example.com:x.git"),
        ("https://:secret@example.com/x.git", "https://:***@example.com/x.git"),
        ("https://me:sec@ret:x@example.com/x.git", "https://me:***@example.com/x.git"),
        ("fatal: https://a:b@c/ and https://d:e@f/", "fatal: https://a:***@c/ and https://d:***@f/"),
        ("/a/path:with@signs", "/a/path:with@signs"),
    ],
)
def test_a_password_in_a_url_is_hidden(url: str, shown: str) -> None:
    assert hidden(url) == shown


def test_no_error_shows_a_password(work: Work) -> None:
    url = "https://me:secret@127.0.0.1:1/x.git"
    with pytest.raises(RemoteUnreachable) as error:
        work.network.refs(url)
    assert "secret" not in f"{error.value} {error.value.hint} {error.value.details}"


@pytest.mark.parametrize(
    "talk",
    [
        "fatal: Authentication failed for 'https://example.com/x.git/'",
        "fatal: could not read Username for 'https://example.com': terminal prompts disabled",
        "git@example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
        "remote: HTTP Basic: Access denied",
        "error: The requested URL returned error: 403",
        "Host key verification failed.",
    ],
)
def test_credentials_that_are_refused_are_told_apart(talk: str) -> None:
    error = network_module._failed("git push", "https://example.com/x.git", 128, "", talk)
    assert isinstance(error, RemoteAuthFailed)
    assert not error.retryable


@pytest.mark.parametrize(
    "talk",
    [
        "ssh: Could not resolve hostname example.com: Name or service not known",
        "fatal: unable to access 'https://example.com/': Could not resolve host: example.com",
        "fatal: the remote end hung up unexpectedly",
        "",
    ],
)
def test_a_network_that_fails_is_worth_trying_again(talk: str) -> None:
    error = network_module._failed("git push", "https://example.com/x.git", 128, "", talk)
    assert type(error) is RemoteUnreachable
    assert error.retryable


@pytest.mark.parametrize(
    ("url", "shared"),
    [
        ("ssh://host/a.git", True),
        ("somebody@host:a.git", True),
        ("http://host:80/a.git", False),
        ("/srv/a.git", False),
        ("../a.git", False),
    ],
)
def test_only_what_goes_by_ssh_has_a_place_for_a_shared_connection_and_it_goes_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, shared: bool
) -> None:
    git(tmp_path, "init", "-q", "--bare", "a.git")
    git(tmp_path / "a.git", "config", "remote.origin.url", url)
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(ssh_sharing, "_LONGEST_FOLDER_BYTES", 1000)
    with Network(tmp_path / "a.git", timeout_s=0.01) as network:
        with pytest.raises(RemoteUnreachable):
            network.refs("origin")
        assert len(list(temporary.iterdir())) == shared
    assert list(temporary.iterdir()) == []
