"""Machines that lose the server for a while, and each other with it: each goes on alone, and all agree afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import clean_environment
from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.network import Host, Network
from gitctx_testkit.processes import wait_until
from gitctx_testkit.ssh_server import SshServer
from gitctx_testkit.working_clones import Meeting, ssh_in_soak_only

PATIENCE_S = 60.0
WORKER = """
import sys, threading
from pathlib import Path
from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx.sync.joining import join
path, url, actor = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
config = Config(network_timeout_s=2.0)
if not path.exists():
    join(path, url, config=config)
context = Context(Store.open(path, config=config), actor=actor)
stop = threading.Event()
told = lambda remote, report: print("failed" if isinstance(report, Exception) else "exchanged", flush=True)
kept = threading.Thread(target=context.sync.keep_exchanging, kwargs={"on_report": told, "stop": stop})
kept.start()
for number, line in enumerate(sys.stdin):
    written = context.put(f"{line.strip()}/{number % 9}", f"{actor} {number}")
    print("wrote", written.id, flush=True)
stop.set()
kept.join()
"""


class Worker:
    """A program on a machine of the network that keeps a store in step, and writes when told to."""

    def __init__(self, machine: Host, path: Path, url: str) -> None:
        self.log = path.with_suffix(".log")
        environment = clean_environment(PYTHONPATH=os.pathsep.join(part for part in sys.path if part))
        words = [*machine.inside, sys.executable, "-c", WORKER, str(path), url, machine.name]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, start_new_session=True
            )

    def write(self, prefix: str, count: int) -> None:
        """Have it write so often, and wait for the last acknowledgement."""
        assert self.process.stdin is not None
        before = len(self.ids())
        self.process.stdin.write(f"{prefix}\n".encode() * count)
        self.process.stdin.flush()
        wait_until(lambda: len(self.ids()) == before + count, PATIENCE_S)

    def said(self, word: str) -> int:
        return [line.split()[0] for line in self.log.read_text().splitlines() if line].count(word)

    def ids(self) -> list[str]:
        """What was acknowledged."""
        return [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith("wrote ")]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(kind: str, network: Network, folder: Path) -> Iterator[SshServer | HttpServer]:
    folder.mkdir()
    where = {"host": network.address, "inside": network.server.inside}
    server = SshServer(folder, **where) if kind == "ssh" else HttpServer(folder, **where)  # type: ignore[arg-type]
    with server:
        yield server


@pytest.mark.parametrize(
    "kind",
    [pytest.param("http", marks=pytest.mark.nginx), pytest.param("ssh", marks=[pytest.mark.sshd, pytest.mark.soak])],
)
def test_both_sides_of_a_partition_write_and_agree_when_the_cable_is_back(
    network: Network, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(kind, network, tmp_path / "server") as server:
        if isinstance(server, SshServer):
            monkeypatch.setenv("PATH", f"{server.client(tmp_path / 'bin')}:{os.environ['PATH']}")
        meeting = Meeting(server, tmp_path)
        begun = Store.create(tmp_path / "begun.store")
        from_here = Context(begun, actor="begun")
        from_here.sync.add_remote("hub", str(meeting.hosted.path))
        from_here.sync.exchange("hub")
        paths = [tmp_path / f"{machine.name}.store" for machine in network.machines]
        workers = [Worker(machine, path, meeting.url) for machine, path in zip(network.machines, paths, strict=True)]
        meeting.clones += paths
        cut_off = network.machines[0]
        for worker in workers:
            worker.write("before", 5)
        wait_until(lambda: all(worker.said("exchanged") for worker in workers), PATIENCE_S)
        network.pull(cut_off)
        for worker in workers:
            worker.write("both", 50)
        wait_until(lambda: workers[0].said("failed") > 0, PATIENCE_S)
        wait_until(lambda: set(workers[1].ids()) <= meeting.ids().keys(), PATIENCE_S)
        assert not set(workers[0].ids()[5:]) & meeting.ids().keys()
        network.plug_in(cut_off)
        workers[0].write("after", 1)
        acknowledged = [id for worker in workers for id in worker.ids()]
        wait_until(lambda: set(acknowledged) <= meeting.ids().keys() and meeting.agree(), PATIENCE_S)
        for worker in workers:
            worker.end()
        meeting.assert_once(acknowledged)
        meeting.assert_sound()


@ssh_in_soak_only
@pytest.mark.parametrize("writes", few_or_many(1_000, 10_000))
def test_a_clone_that_was_offline_for_long_comes_back_with_all_it_wrote(meeting: Meeting, writes: int) -> None:
    relaxed = Config(durability="relaxed")
    near, far = meeting.store("near", config=relaxed), meeting.store("far", config=relaxed)
    ids = []
    for number in range(writes):
        ids.append(far.put(f"finding/{number % 400}", f"far {number}").id)
        if number % 10 == 0:
            ids.append(near.put(f"finding/{number % 30}", f"near {number}").id)
            near.sync.exchange() if number % (writes // 4) == 0 else None
    report = far.sync.exchange()
    assert report.complete
    assert report.branch("context").sent == writes + 1
    near.sync.exchange()
    far.sync.exchange()
    assert meeting.agree()
    meeting.assert_once(ids)
    assert near.get(f"finding/{(writes - 1) % 400}").text() == f"far {writes - 1}"
