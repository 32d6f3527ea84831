"""The ground that tests of sync stand on is firm: the servers are real, serve plain git, and are surely gone."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from gitctx_testkit.command import Computer
from gitctx_testkit.daemons import answers
from gitctx_testkit.fault_proxy import FaultProxy
from gitctx_testkit.hosted import Hosted
from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.network import Network
from gitctx_testkit.processes import Talk, children, wait_until
from gitctx_testkit.ssh_server import SshServer

LARGE_BYTES = 9 << 18
"""More than git sends in one piece over http, and more than ssh sends without an answer."""


def processes_that_name(path: Path) -> list[psutil.Process]:
    """The processes with a path in their command line."""
    return [each for each in psutil.process_iter(["cmdline"]) if str(path) in " ".join(each.info["cmdline"] or ())]


def exchange(one: Computer, other: Computer, url: str, hosted: Hosted) -> None:
    """Push, clone, push again and fetch; the server has what was pushed."""
    (one.project / "large").write_bytes(os.urandom(LARGE_BYTES))
    one.git("add", ".")
    one.git("commit", "-q", "-m", "large")
    one.git("push", "-q", url, "main")
    other.git("clone", "-q", url, "clone")
    clone = other.project / "clone"
    other.git("commit", "-q", "--allow-empty", "-m", "from the other", cwd=clone)
    other.git("push", "-q", "origin", "main", cwd=clone)
    one.git("fetch", "-q", url, "main")
    assert one.git("rev-parse", "FETCH_HEAD") == hosted.head("refs/heads/main")
    assert one.git("log", "-1", "--format=%an %s", "FETCH_HEAD") == "other from the other"


def test_two_machines_exchange_through_sshd(ssh_server: SshServer, tmp_path: Path) -> None:
    hosted = Hosted(ssh_server.root / tmp_path.name / "a.git")
    one, other = (Computer(tmp_path / name, environment=ssh_server.environment()) for name in ("one", "other"))
    exchange(one, other, ssh_server.url(f"{tmp_path.name}/a.git"), hosted)


def test_commands_can_share_a_connection_until_it_is_ended(ssh_server: SshServer, tmp_path: Path) -> None:
    Hosted(ssh_server.root / f"{tmp_path.name}.git")
    url = ssh_server.url(f"{tmp_path.name}.git")
    socket = ssh_server.folder / "shared"
    one = Computer(tmp_path / "one", environment=ssh_server.environment(shared_connection=socket))
    with FaultProxy(ssh_server.host, ssh_server.port) as proxy:
        one.git("push", "-q", proxy.through(url), "main")
        one.git("fetch", "-q", proxy.through(url), "main")
        assert proxy.connections == 1
        ssh_server.end_sharing(socket)
        wait_until(lambda: not socket.exists())


def test_an_ssh_client_with_another_key_or_known_host_is_refused(ssh_server: SshServer, tmp_path: Path) -> None:
    Hosted(ssh_server.root / tmp_path.name / "a.git")
    url = ssh_server.url(f"{tmp_path.name}/a.git")
    one = Computer(tmp_path / "one", environment=ssh_server.environment())
    one.git("ls-remote", url)
    (tmp_path / "nobody").touch()
    one.environment["GIT_SSH_COMMAND"] = ssh_server.command("-o", f"UserKnownHostsFile={tmp_path / 'nobody'}")
    one.git("ls-remote", url, code=128)
    command = ssh_server.command().replace("client_key", "host_key")
    one.environment["GIT_SSH_COMMAND"] = command
    one.git("ls-remote", url, code=128)


def test_two_machines_exchange_through_http(http_server: HttpServer, tmp_path: Path) -> None:
    hosted = Hosted(http_server.root / tmp_path.name / "a.git")
    one, other = (Computer(tmp_path / name) for name in ("one", "other"))
    exchange(one, other, http_server.url(f"{tmp_path.name}/a.git"), hosted)


def test_http_wants_the_password_where_it_is_private(http_server: HttpServer, tmp_path: Path) -> None:
    path = f"private/{tmp_path.name}.git"
    hosted = Hosted(http_server.root / path)
    one = Computer(tmp_path / "one")
    one.git("push", "-q", http_server.url(path), "main", code=128)
    assert hosted.head("refs/heads/main") is None
    one.git("push", "-q", http_server.url(path, with_password=True), "main")
    assert hosted.head("refs/heads/main") == one.git("rev-parse", "main")
    helper = f'!f() {{ echo "username={http_server.user}"; echo "password={http_server.password}"; }}; f'
    one.git("-c", f"credential.helper={helper}", "ls-remote", http_server.url(path))


def test_http_refuses_what_it_is_told_to(http_server: HttpServer, tmp_path: Path) -> None:
    name = f"{tmp_path.name}.git"
    hosted = Hosted(http_server.root / name)
    one = Computer(tmp_path / "one")
    http_server.treat(f"/{name}/git-receive-pack", status=503)
    one.git("push", "-q", http_server.url(name), "main", code=1)
    one.git("ls-remote", http_server.url(name))
    http_server.treat(f"/{name}/*", delay_s=0.01, status=403)
    one.git("ls-remote", http_server.url(name), code=128)
    assert hosted.head("refs/heads/main") is None
    http_server.treat_all_well()
    one.git("push", "-q", http_server.url(name), "main")
    assert hosted.head("refs/heads/main") == one.git("rev-parse", "main")


def test_a_computer_has_a_store_of_its_own_and_leaves_no_trace_elsewhere(tmp_path: Path) -> None:
    one, other = (Computer(tmp_path / name) for name in ("one", "other"))
    one("init", "-q")
    one("put", "k", "v", "-q")
    assert (one("get", "k"), one.git("config", "user.name")) == ("v", "one")
    assert Path(one.git("rev-parse", "--absolute-git-dir"), "gitctx", "store.git", "HEAD").is_file()
    other("get", "k", code=3)


def test_hooks_refuse_a_push_or_one_ref_of_it(tmp_path: Path) -> None:
    hosted = Hosted(tmp_path / "a.git", receive__denyDeletes="true")
    one = Computer(tmp_path / "one")
    url = str(hosted.path)
    hosted.refuse_all()
    one.git("push", "-q", url, "main", code=1)
    assert hosted.git("for-each-ref") == ""
    hosted.refuse_nothing()
    hosted.refuse_ref("refs/heads/protected")
    one.git("push", "-q", url, "main", "main:protected", code=1)
    assert hosted.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    one.git("push", "-q", url, ":main", code=1)
    assert hosted.head("refs/heads/main") == one.git("rev-parse", "main")


@pytest.mark.sshd
@pytest.mark.nginx
@pytest.mark.parametrize("kind", [SshServer, HttpServer])
def test_a_server_that_stopped_leaves_no_listener_and_no_process(
    tmp_path: Path, kind: type[SshServer] | type[HttpServer]
) -> None:
    with pytest.raises(ZeroDivisionError), kind(tmp_path) as server:  # noqa: PT012 - the end of the block is meant
        assert answers(server.host, server.port)
        raise ZeroDivisionError
    assert not answers(server.host, server.port)
    assert not processes_that_name(tmp_path)


@pytest.mark.sshd
@pytest.mark.nginx
@pytest.mark.parametrize("kind", [SshServer, HttpServer])
def test_a_server_whose_test_was_killed_is_gone(tmp_path: Path, kind: type[SshServer] | type[HttpServer]) -> None:
    def serve(talk: Talk) -> None:
        server = kind(tmp_path)
        talk.say((server.host, server.port))
        talk.hear(3600)

    with children(serve) as (child,):
        place = child.talk.hear()
        assert answers(*place)
        child.kill()
    wait_until(lambda: not answers(*place) and not processes_that_name(tmp_path))


@pytest.mark.sshd
@pytest.mark.nginx
def test_two_machines_on_a_network_are_apart_while_a_cable_is_pulled(network: Network, tmp_path: Path) -> None:
    first, second = network.machines
    where = {"host": network.address, "inside": network.server.inside}
    for name in ("ssh", "http"):
        (tmp_path / name).mkdir()
    with SshServer(tmp_path / "ssh", **where) as ssh, HttpServer(tmp_path / "http", **where) as http:
        for server in (ssh, http):
            Hosted(server.root / "a.git")
        ours = Computer(tmp_path / "ours", environment=ssh.environment(), inside=first.inside)
        theirs = Computer(tmp_path / "theirs", environment=ssh.environment(), inside=second.inside)
        hosts = [each.shell("cat /etc/machine-id; hostname").stdout for each in (ours, theirs)]
        assert len(set(hosts)) == 2
        ours.git("push", "-q", ssh.url("a.git"), "main")
        network.pull(first)
        assert ours.shell(f"timeout 0.3 git ls-remote {http.url('a.git')}").returncode == 124
        theirs.git("ls-remote", "--exit-code", ssh.url("a.git"), "main")
        theirs.git("push", "-q", http.url("a.git"), "main")
        network.plug_in(first)
        ours.git("ls-remote", "--exit-code", http.url("a.git"), "main")


@pytest.mark.netns
def test_a_network_that_stopped_leaves_no_process(tmp_path: Path) -> None:
    with Network(tmp_path / "network") as network:
        inside = network.server.pid
    assert not Path(f"/proc/{inside}").exists()
