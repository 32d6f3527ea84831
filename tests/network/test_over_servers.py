"""Through real servers: joining and exchanging as on a path, and each failure says what it is and asks nobody."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.errors import NotAStore, RemoteAuthFailed, RemoteError, RemoteUnreachable
from gitctx.store import Store
from gitctx.sync.joining import join
from gitctx_testkit.command import Computer
from gitctx_testkit.git import git
from gitctx_testkit.hosted import Hosted
from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.ssh_server import SshServer
from gitctx_testkit.working_clones import CONTEXT_REF, Meeting, ssh_in_soak_only

SHORT = Config(network_timeout_s=1.0)


def environment_of(server: SshServer | HttpServer) -> dict[str, str]:
    return server.environment() if isinstance(server, SshServer) else {}


def test_both_machines_have_everything_after_an_exchange_each(meeting: Meeting) -> None:
    one, other = meeting.store("one"), meeting.store("other")
    written = [one.put(f"plan/{number}", f"one {number}").id for number in range(20)]
    written += [other.put(f"finding/{number}", f"other {number}").id for number in range(20)]
    written += [one.put("both", "earlier").id, other.put("both", "later").id]
    one.checkpoints.create("from-one")
    other.checkpoints.create("from-other")
    sent = one.sync.exchange()
    met = other.sync.exchange()
    one.sync.exchange()
    assert sent.branch("context").sent == 21
    assert (met.branch("context").received, met.branch("context").sent) == (21, 22)
    assert [each.key for each in met.branch("context").settled] == ["both"]
    assert meeting.agree()
    meeting.assert_once(written)
    for context in (one, other):
        assert context.get("both").text() == "later"
        assert context.get("plan/19").text() == "one 19"
        assert {each.name for each in context.checkpoints.list()} == {"from-one", "from-other"}
    tags = meeting.hosted.git("for-each-ref", "--format=%(refname)", "refs/tags")
    assert tags.split() == ["refs/tags/from-one", "refs/tags/from-other"]


def test_init_in_a_clone_of_a_project_joins_the_store_beside_it(server: SshServer | HttpServer, tmp_path: Path) -> None:
    Hosted(server.root / tmp_path.name / "project.git")
    url = server.url(f"{tmp_path.name}/project.git")
    one, other = (Computer(tmp_path / name, environment=environment_of(server)) for name in ("one", "other"))
    one.git("remote", "add", "origin", url)
    one.git("push", "-q", "origin", "main")
    one("init")
    one("put", "plan/auth", "ship it")
    one("checkpoint", "create", "first")
    one("remote", "add", "origin", url)
    one("sync")
    assert set(one.git("ls-remote", "origin").split()[1::2]) == {
        *("HEAD", "refs/heads/main"),
        *(
            "refs/gitctx/heads/context",
            "refs/gitctx/heads/sessions",
            "refs/gitctx/tags/first",
            "refs/gitctx/tags/first^{}",
        ),
    }
    other.git("clone", "-q", url, "clone")
    clone = other.project / "clone"
    made = json.loads(other("init", "--json", cwd=clone))
    assert made["joined"] == "origin"
    assert other("get", "plan/auth", cwd=clone).strip() == "ship it"
    assert "first" in other("checkpoint", "list", cwd=clone)
    other("put", "plan/auth", "shipped", cwd=clone)
    other("sync", cwd=clone)
    one("sync")
    assert one("get", "plan/auth").strip() == "shipped"
    for store in (one.project / ".git/gitctx/store.git", clone / ".git/gitctx/store.git"):
        assert git(store, "rev-parse", CONTEXT_REF) == one.git("ls-remote", url, "refs/gitctx/heads/context").split()[0]


@ssh_in_soak_only
def test_where_no_store_is_there_is_none_to_join(server: SshServer | HttpServer, tmp_path: Path) -> None:
    Hosted(server.root / tmp_path.name / "empty.git")
    with pytest.raises(NotAStore, match="holds no store"):
        join(tmp_path / "joined.git", server.url(f"{tmp_path.name}/empty.git"))
    assert not (tmp_path / "joined.git").exists()


@ssh_in_soak_only
def test_no_repository_there_is_said_with_what_to_do(meeting: Meeting) -> None:
    one = meeting.store("one")
    one.sync.add_remote("wrong", meeting.server.url("no/such.git"))
    with pytest.raises(RemoteUnreachable, match="there is no repository at") as caught:
        one.sync.exchange("wrong")
    assert "gitctx remote add" in caught.value.hint
    assert caught.value.changed == "no"


@ssh_in_soak_only
def test_a_server_that_is_down_is_unreachable_and_writes_go_on(meeting: Meeting) -> None:
    one = meeting.store("one")
    with meeting.proxy() as proxy:
        one.sync.add_remote("down", proxy.through(meeting.url))
        proxy.refuse()
        with pytest.raises(RemoteUnreachable) as caught:
            one.sync.exchange("down")
        assert "writes go on here" in caught.value.hint
        written = one.put("plan/a", "written while it is down")
        proxy.pass_on()
        one.sync.exchange("down")
    meeting.assert_once([written.id])


def test_a_server_that_hangs_is_given_up_at_the_time_limit(meeting: Meeting) -> None:
    meeting.store("one")
    with meeting.proxy() as proxy:
        url = proxy.through(meeting.url)
        other = meeting.store("other", url=url, config=SHORT)
        other.put("plan/a", "waits")
        proxy.hang()
        with pytest.raises(RemoteUnreachable):
            other.sync.exchange()
        with pytest.raises(RemoteUnreachable):
            join(meeting.folder / "never.store", url, config=SHORT)
        assert not (meeting.folder / "never.store").exists()
        assert [each.name for each in meeting.folder.iterdir() if "never" in each.name] == []
        proxy.pass_on()
        other.sync.exchange()
    assert other.head == meeting.head()


@ssh_in_soak_only
def test_stop_ends_an_exchange_with_a_server_that_hangs(meeting: Meeting) -> None:
    meeting.store("one")
    with meeting.proxy() as proxy:
        other = meeting.store("other", url=proxy.through(meeting.url))
        stop = threading.Event()
        proxy.hang()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(RemoteUnreachable, match="stopped"):
            other.sync.exchange(stop=stop)


def test_a_host_key_that_is_not_known_is_refused_and_nobody_is_asked(
    ssh_server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nobody").touch()
    monkeypatch.setenv("GIT_SSH_COMMAND", ssh_server.command("-o", f"UserKnownHostsFile={tmp_path / 'nobody'}"))
    with pytest.raises(RemoteAuthFailed, match="Host key verification failed") as caught:
        join(tmp_path / "a.store", ssh_server.url("any.git"))
    assert "git ls-remote" in caught.value.hint


def test_another_ssh_key_is_refused(ssh_server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", ssh_server.command().replace("client_key", "host_key"))
    with pytest.raises(RemoteAuthFailed, match="Permission denied"):
        join(tmp_path / "a.store", ssh_server.url("any.git"))


@pytest.mark.parametrize("who", ["", "somebody:wr0ng-w0rd@"])
def test_no_or_a_wrong_password_is_refused_and_no_password_is_shown(
    http_server: HttpServer, tmp_path: Path, who: str
) -> None:
    path = f"private/{tmp_path.name}.git"
    Hosted(http_server.root / path)
    url = http_server.url(path).replace("://", f"://{who}")
    computer = Computer(tmp_path / "one")
    computer("init")
    computer("put", "plan/a", "secret work")
    shown = computer.shell(
        f"gitctx remote add origin {url} --json; gitctx remote list;"
        f" gitctx remote list --json; gitctx sync; gitctx sync --json; gitctx init --store other --from {url};"
        " gitctx remote remove origin --json"
    )
    assert "doesn't accept the credentials" in shown.stderr
    assert "remote_auth_failed" in shown.stderr
    assert "git itself has to be able to log in" in shown.stderr
    assert "wr0ng" not in shown.stdout + shown.stderr


def test_a_password_in_the_url_works_and_is_not_shown_when_something_else_fails(
    http_server: HttpServer, tmp_path: Path
) -> None:
    path = f"private/{tmp_path.name}.git"
    Hosted(http_server.root / path)
    url = http_server.url(path, with_password=True)
    computer = Computer(tmp_path / "one")
    fine = computer.shell(
        f"gitctx init; gitctx put a b; gitctx remote add origin {url} --json; gitctx sync --json; gitctx log -p"
    )
    assert '"complete": true' in fine.stdout
    http_server.treat(f"/{path}/*", status=500)
    broken = computer.shell("gitctx put c d; gitctx sync --json; gitctx sync; gitctx remote list --json")
    http_server.treat_all_well()
    missing = computer.shell(f"gitctx remote add gone {url}x --json; gitctx sync gone; gitctx sync gone --json")
    assert '"remote_unreachable"' in broken.stderr
    assert "there is no repository" in missing.stderr
    for each in (fine, broken, missing):
        assert http_server.password not in each.stdout + each.stderr


def test_nothing_asks_on_the_terminal(http_server: HttpServer, tmp_path: Path) -> None:
    """With a terminal to ask on, which a helper or git could open, it fails as it does without one."""
    path = f"private/{tmp_path.name}.git"
    Hosted(http_server.root / path)
    computer = Computer(tmp_path / "one")
    computer.environment.pop("GIT_TERMINAL_PROMPT")
    computer("init")
    computer("remote", "add", "--no-check", "origin", http_server.url(path))
    done = computer.shell("script -qec 'gitctx sync' typescript </dev/null; echo code $?")
    assert "doesn't accept the credentials" in done.stdout
    assert "code 8" in done.stdout
    assert "Username" not in done.stdout.replace("could not read Username", "")


def test_a_helper_of_the_user_gives_the_password(http_server: HttpServer, tmp_path: Path) -> None:
    path = f"private/{tmp_path.name}.git"
    hosted = Hosted(http_server.root / path)
    computer = Computer(tmp_path / "one")
    helper = f'!f() {{ echo "username={http_server.user}"; echo "password={http_server.password}"; }}; f'
    computer.git("config", "--global", "credential.helper", helper)
    computer("init")
    computer("put", "plan/a", "work")
    computer("remote", "add", "origin", http_server.url(path))
    computer("sync")
    assert hosted.head(CONTEXT_REF) == git(computer.project / ".git/gitctx/store.git", "rev-parse", CONTEXT_REF)


def test_a_server_that_speaks_no_git_is_an_error_of_the_remote(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "a.store")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.recv(4096)
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        from gitctx.context import Context

        context = Context(store, actor="one")
        context.sync.add_remote("odd", f"http://127.0.0.1:{listener.getsockname()[1]}/a.git")
        with pytest.raises(RemoteError):
            context.sync.exchange()
        listener.shutdown(socket.SHUT_RDWR)
