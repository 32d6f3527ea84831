"""Every test here runs through a real sshd, a real `git http-backend` behind nginx, or both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.ssh_server import SshServer
from gitctx_testkit.working_clones import Meeting

SSH = pytest.param("ssh", marks=pytest.mark.sshd)
HTTP = pytest.param("http", marks=pytest.mark.nginx)


@pytest.fixture(params=[SSH, HTTP])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshServer | HttpServer:
    """A git server, reached as a user reaches theirs."""
    found: SshServer | HttpServer = request.getfixturevalue(f"{request.param}_server")
    if isinstance(found, SshServer):
        monkeypatch.setenv("PATH", f"{found.client(tmp_path / 'bin')}:{os.environ['PATH']}")
    return found


@pytest.fixture
def meeting(server: SshServer | HttpServer, tmp_path: Path) -> Iterator[Meeting]:
    """An empty repository on the server, for stores that are sound when the test ends."""
    made = Meeting(server, tmp_path)
    yield made
    made.assert_sound()
