"""The facts about this host that proofs rest on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gitctx.sessions import Machine
from gitctx.sessions import machine as machine_module
from gitctx.sessions.machine import filesystem_kind
from gitctx_testkit.machine import FakeMachine

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:30 / /home rw - nfs4 server:/home rw
23 22 8:2 / /home/me/local rw - xfs /dev/sdb rw
24 21 0:40 / /mnt/two\040words rw - fuse.sshfs host:/ rw
25 21 8:3 / /srv rw - ext4 /dev/sdc rw
26 25 0:41 / /srv rw - 9p share rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/you/x", "nfs4"),
        ("/home/me/local/x", "xfs"),
        ("/home/me/localised", "nfs4"),
        ("/homeless", "ext4"),
        ("/mnt/two words/x", "fuse.sshfs"),
        ("/srv", "9p"),
    ],
)
def test_the_innermost_and_last_mount_counts(path: str, kind: str) -> None:
    assert filesystem_kind(MOUNTS, path) == kind


def test_without_a_mount_nothing_is_known() -> None:
    assert filesystem_kind("", "/x") is None


def test_this_machine_tells_who_it_is_and_stays_the_same() -> None:
    one, other = Machine(), Machine()
    assert one.host_id()
    assert one.hostname()
    assert (one.host_id(), one.boot_id(), one.pid_namespace()) == (
        other.host_id(),
        other.boot_id(),
        other.pid_namespace(),
    )
    assert one.own_pid() == os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells all of these")
def test_on_linux_a_process_is_known_exactly_without_psutil() -> None:
    script = (
        "import os, sys\n"
        "from gitctx.sessions import Machine\n"
        "machine = Machine()\n"
        "assert machine.boot_id() and machine.pid_namespace().startswith('pid:[')\n"
        "own = machine.process(os.getpid())\n"
        "assert own.started_at.isdecimal() and own.parent == os.getppid(), own\n"
        "assert next(machine.ancestors(os.getpid())).pid == os.getppid()\n"
        "assert 'psutil' not in sys.modules and 'subprocess' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-S", "-c", script], env=environment, check=True)


@pytest.mark.parametrize("pid", [0, -1, 1 << 31, 1 << 70])
def test_a_number_that_no_process_has_is_nobody(pid: int) -> None:
    assert Machine().process(pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_a_disk_that_is_not_known_to_be_local_does_not_count_as_local(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Machine().is_local("/proc/self")

    def hidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "hidden")

    monkeypatch.setattr(machine_module, "open", hidden, raising=False)
    assert not Machine().is_local("/proc/self")


def test_ancestors_end_even_if_they_run_in_a_circle() -> None:
    machine = FakeMachine()
    machine.run(100, parent=50)
    machine.run(50, parent=100)
    assert 1 < len(list(machine.ancestors(100))) < 1000
