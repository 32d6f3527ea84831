"""Fixtures that every test may use. Each store that is handed out is verified when its test ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import settings

from gitctx.context import Context
from gitctx.repository import repository
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx_testkit.clones import Clones
from gitctx_testkit.counts import SUITE_EXAMPLES
from gitctx_testkit.git import LOCAL_VARIABLES, git, no_settings_for_libgit2
from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.needs import MARKER_OF_FIXTURE, lacking
from gitctx_testkit.network import Network
from gitctx_testkit.room import room
from gitctx_testkit.ssh_server import SshServer

# The same examples in every run; `make soak` looks for new ones.
settings.register_profile("suite", max_examples=SUITE_EXAMPLES, derandomize=True, deadline=None, database=None)
settings.register_profile(
    "soak", max_examples=20 * SUITE_EXAMPLES, derandomize=False, deadline=None, database=None, print_blob=True
)
settings.load_profile("suite")


def _untraced() -> None:
    """Coverage is counted in the process of the tests alone: in those that it forks, it would only cost."""
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]


os.register_at_fork(after_in_child=_untraced)


@pytest.hookimpl(tryfirst=True)  # so that -m sees the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whoever asks for a server or a network, and skip what lacks its programs here.

    Races and crashes have the machine to themselves. Coverage leaves out what does the same over and over.
    """
    for item in items:
        parts = set(item.path.parts)
        if "concurrency" in parts or item.path.name.startswith("test_killed_"):
            item.add_marker(pytest.mark.alone)
        if {"concurrency", "end_to_end", "property"} & parts:
            item.add_marker(pytest.mark.no_cover)
        for fixture in MARKER_OF_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKER_OF_FIXTURE[fixture])
        for marker in {marker.name for marker in item.iter_markers()}:
            if reason := lacking(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Beside the tests of the other processes of `pytest -n`, unless one of them is marked `alone`."""
    shared = hasattr(item.config, "workerinput")
    alone = item.get_closest_marker("alone") is not None
    with room(Path(item.config.option.basetemp).parent, alone=alone) if shared else nullcontext():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heeded() -> None:
    """A script's background jobs ignore these, and every process that a test starts would inherit that."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the caller's git environment nor their gitctx settings nor their home reach a test."""
    for name in list(os.environ):
        if name in LOCAL_VARIABLES or name.startswith("GITCTX_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    no_settings_for_libgit2(home)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncs are asked for and cost nothing: what a killed process wrote outlives it without them.

    Races need their real length, and test_durability looks at nothing else, so these sync; so does every `gitctx`
    that runs in a process of its own.
    """
    if not {"concurrency", "test_durability.py"} & set(request.path.parts):
        monkeypatch.setattr(os, "fsync", os.fstat)  # it refuses a bad descriptor, too
        monkeypatch.setattr(repository, "sync_filesystem", os.stat)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh store, sound when the test ends."""
    made = Store.create(tmp_path / "store.git")
    yield made
    assert verify(Store.open(made.path), full=True).problems == ()


@pytest.fixture
def ctx(store: Store) -> Context:
    """The context of a fresh store, as the actor `planner`."""
    return Context(store, actor="planner")


@pytest.fixture
def clones(tmp_path: Path) -> Iterator[Clones]:
    """Machines with stores that exchange through one bare repository, all sound when the test ends."""
    made = Clones(tmp_path / "clones")
    yield made
    for machine in made.machines:
        assert verify(Store.open(machine.path), full=True).problems == ()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's git project with one commit, without a store."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "README").write_text("hello\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """One sshd for all tests. Each makes repositories of its own below `root`."""
    with SshServer(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture(scope="session")
def _http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with HttpServer(tmp_path_factory.mktemp("http")) as server:
        yield server


@pytest.fixture
def http_server(_http_server: HttpServer) -> Iterator[HttpServer]:
    """One `git http-backend` behind nginx for all tests. It treats all requests well when a test begins."""
    yield _http_server
    _http_server.treat_all_well()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A server and two machines in network namespaces, with nothing running on them."""
    with Network(tmp_path / "network") as made:
        yield made
