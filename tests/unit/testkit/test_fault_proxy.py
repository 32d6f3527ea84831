"""The proxy breaks the network as it is told to, and only so: plain git through it, before both servers."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitctx_testkit.command import Computer
from gitctx_testkit.fault_proxy import Direction, FaultProxy
from gitctx_testkit.hosted import Hosted
from gitctx_testkit.processes import children, wait_until

PATIENCE_S = 30.0
SSH = pytest.param("ssh_server", marks=pytest.mark.sshd)
HTTP = pytest.param("http_server", marks=pytest.mark.nginx)


@pytest.fixture(params=[SSH, HTTP])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def proxy(server: Any) -> Iterator[FaultProxy]:
    with FaultProxy(server.host, server.port) as made:
        yield made


@pytest.fixture
def hosted(server: Any, tmp_path: Path) -> Hosted:
    return Hosted(server.root / f"{tmp_path.name}.git")


@pytest.fixture
def url(server: Any, proxy: FaultProxy, hosted: Hosted) -> str:
    return proxy.through(server.url(hosted.path.name))


@pytest.fixture
def one(server: Any, tmp_path: Path) -> Computer:
    return Computer(tmp_path / "one", environment=getattr(server, "environment", dict)())


def test_a_push_whose_reply_was_lost_has_arrived(proxy: FaultProxy, hosted: Hosted, url: str, one: Computer) -> None:
    proxy.lose_the_reply(lambda: hosted.head("refs/heads/main") is not None)
    assert one.shell(f"git push -q {url} main").returncode != 0
    assert (proxy.cuts, hosted.head("refs/heads/main")) == (1, one.git("rev-parse", "main"))
    assert one.git("ls-remote", url, "refs/heads/main").split()[0] == one.git("rev-parse", "main")
    assert proxy.cuts == 1


@pytest.mark.parametrize(("direction", "after_bytes"), [("up", 200), ("down", 0)])
def test_a_push_cut_early_never_arrives(
    proxy: FaultProxy, hosted: Hosted, url: str, one: Computer, direction: Direction, after_bytes: int
) -> None:
    proxy.cut_after(after_bytes, direction)
    assert one.shell(f"git push -q {url} main").returncode != 0
    assert hosted.head("refs/heads/main") is None
    assert (proxy.bytes_up if direction == "up" else proxy.bytes_down) <= after_bytes
    proxy.pass_on()
    one.git("push", "-q", url, "main")
    assert hosted.head("refs/heads/main") == one.git("rev-parse", "main")


@pytest.mark.parametrize("server", [HTTP], indirect=True)
def test_refused_and_taken_up_again(proxy: FaultProxy, hosted: Hosted, url: str, one: Computer) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port))
    one.git("ls-remote", url, code=128)
    assert proxy.connections == 0
    proxy.pass_on()
    one.git("ls-remote", url)
    assert proxy.connections > 0


@pytest.mark.parametrize("server", [SSH], indirect=True)
def test_what_hangs_goes_on_when_the_network_is_sound_again(
    proxy: FaultProxy, hosted: Hosted, url: str, one: Computer
) -> None:
    proxy.hang()
    pushing = subprocess.Popen(
        ["git", "push", "-q", url, "main"], cwd=one.project, env=one.environment, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: proxy.connections == 1, PATIENCE_S)
    assert (proxy.bytes_down, pushing.poll()) == (0, None)
    proxy.pass_on()
    assert pushing.wait(PATIENCE_S) == 0
    assert hosted.head("refs/heads/main") == one.git("rev-parse", "main")


class Echo:
    """A server that says back what it hears."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with end:
            try:
                while heard := end.recv(1000):
                    end.sendall(heard)
            except OSError:
                return

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.stop()


def call(proxy: FaultProxy) -> socket.socket:
    made = socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE_S)
    made.settimeout(PATIENCE_S)
    return made


def test_a_cut_in_the_middle_lets_just_so_many_bytes_through(echo: Echo) -> None:
    with FaultProxy("127.0.0.1", echo.port) as proxy, call(proxy) as line:
        line.sendall(b"before")
        assert line.recv(100) == b"before"
        proxy.cut_after(3, "down")
        line.sendall(b"after")
        heard = b""
        while part := line.recv(100):
            heard += part
        assert (heard, proxy.bytes_up, proxy.bytes_down, proxy.cuts) == (b"aft", 11, 9, 1)


def test_open_connections_hang_too_and_are_cut_when_asked(echo: Echo) -> None:
    with FaultProxy("127.0.0.1", echo.port) as proxy, call(proxy) as line:
        line.sendall(b"x")
        assert line.recv(100) == b"x"
        proxy.hang()
        line.sendall(b"y")
        line.settimeout(0.05)
        with pytest.raises(TimeoutError):
            line.recv(100)
        proxy.pass_on()
        line.settimeout(PATIENCE_S)
        assert line.recv(100) == b"y"
        proxy.refuse()
        assert line.recv(100) == b""
        assert proxy.cuts == 1


def test_a_slow_network_only_delays(echo: Echo) -> None:
    with FaultProxy("127.0.0.1", echo.port) as proxy, call(proxy) as line:
        proxy.delay(0.02)
        start = time.monotonic()
        line.sendall(b"x")
        assert line.recv(100) == b"x"
        assert time.monotonic() - start >= 0.04
        proxy.delay(3600)
        line.sendall(b"y")
        proxy.pass_on()
        assert line.recv(100) == b"y"


def test_a_proxy_that_stopped_leaves_no_listener_though_a_forked_process_holds_it(echo: Echo) -> None:
    with (
        FaultProxy("127.0.0.1", echo.port) as proxy,
        call(proxy) as line,
        children(lambda talk: talk.hear()) as (child,),
    ):
        line.sendall(b"x")
        assert line.recv(100) == b"x"
        proxy.refuse()
        assert line.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            call(proxy)
        proxy.pass_on()
        call(proxy).close()
        child.talk.say("go")
        child.result()
    with pytest.raises(ConnectionRefusedError):
        call(proxy)


def test_a_server_that_is_away_ends_the_call() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with FaultProxy("127.0.0.1", nobody.getsockname()[1]) as proxy, call(proxy) as line:
            assert line.recv(100) == b""
