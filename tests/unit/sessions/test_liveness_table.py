"""What happens to sessions in the world, and the verdict on each: on real processes where a process is involved.

A healthy session called dead would lose its claims and its writes; a dead one called alive would block others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import CorruptStore
from gitctx.format.documents import to_canonical_json
from gitctx.sessions import Machine, ProcessFacts, Sessions, process
from gitctx.sessions.leases import Leases
from gitctx.sessions.machine import Room
from gitctx.store import Store, View
from gitctx.store.request import Planned, Request
from gitctx.values import SessionStatus
from gitctx_testkit.children import Child, eventually
from gitctx_testkit.damage import loose_copy, spoil

HOLD = """
import os, sys, time
from pathlib import Path
from gitctx.config import Config
from gitctx.sessions import Machine, Sessions
from gitctx.store import Store
store = Store.open(Path(sys.argv[1]), Config(durability='relaxed'))
session = Sessions(store, Machine()).start(actor='coder')
print(session.id, flush=True)
"""


class Place(Machine):
    """The real machine, but for what a test says."""

    def __init__(self) -> None:
        self.lies: dict[str, Any] = {}

    def host_id(self) -> str:
        return str(self.lies.get("host_id", super().host_id()))

    def boot_id(self) -> str:
        return str(self.lies.get("boot_id", super().boot_id()))

    def pid_namespace(self) -> str:
        return str(self.lies.get("pid_namespace", super().pid_namespace()))

    def is_local(self, path: str) -> bool:
        return bool(self.lies.get("local", True))

    def room(self, path: str) -> Room | None:
        return self.lies.get("room", Room(1 << 40, 1 << 20))  # type: ignore[no-any-return]


class World:
    """A store, a real process, and the session that is tied to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = monkeypatch
        self.now: datetime | None = None
        self.place = Place()
        self.store = Store.create(folder / "store.git", Config(durability="relaxed", clock=self.clock))
        self.agents: list[subprocess.Popen[bytes]] = []
        self.agent = self.run("sleep", "60")
        self.id = self.sessions().start(actor="coder", hold=False, pid=self.agent.pid, recover=False).id

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        self.agents.append(subprocess.Popen(words, stdin=subprocess.PIPE))
        return self.agents[-1]

    def kill(self) -> None:
        self.agent.kill()
        self.agent.wait()

    def sessions(self, path: Path | None = None) -> Sessions:
        return Sessions(Store.open(path or self.store.path, self.store.config), self.place)

    def verdict(self) -> SessionStatus:
        return self.sessions().get(self.id)

    @property
    def lease(self) -> Path:
        return self.store.path / "gitctx" / "leases" / self.id

    def age_beat(self, age: timedelta) -> None:
        at = (self.clock() - age).timestamp()
        os.utime(self.lease, (at, at))

    def rewrite(self, **fields: object) -> None:
        """Change record and lease as if the session had been another one."""

        def plan(view: View) -> Planned:
            record = json.loads(view.value(f"{self.id}.json") or b"{}")
            return Planned(changes={f"{self.id}.json": to_canonical_json({**record, **fields})})

        self.store.sessions.write(Request(op="test", subject="test", actor="somebody", plan=plan))
        seen = Leases(self.store.path / "gitctx").read(self.id)
        assert seen is not None
        known = {name: value for name, value in fields.items() if name in seen.lease._fields}
        Leases(self.store.path / "gitctx").put(seen.lease._replace(**known), seen.beat_at)  # type: ignore[arg-type]

    def end(self) -> None:
        for agent in self.agents:
            agent.kill()
            agent.wait()
            if agent.stdin is not None:
                agent.stdin.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    yield made
    made.end()


def long_tool_call(world: World) -> None:
    world.age_beat(timedelta(hours=5))


def suspended_laptop(world: World) -> None:
    world.age_beat(timedelta(days=3))
    os.kill(world.agent.pid, signal.SIGSTOP)
    os.kill(world.agent.pid, signal.SIGCONT)


def clock_forward(world: World) -> None:
    world.now = datetime.now(UTC) + timedelta(days=400)


def clock_backward(world: World) -> None:
    world.now = datetime.now(UTC) - timedelta(days=400)


def clock_forward_and_gone(world: World) -> None:
    world.kill()
    clock_forward(world)


def clock_backward_and_gone(world: World) -> None:
    world.kill()
    clock_backward(world)


def stopped(world: World) -> None:
    os.kill(world.agent.pid, signal.SIGSTOP)


def stopped_for_long(world: World) -> None:
    stopped(world)
    long_tool_call(world)


def zombie(world: World) -> None:
    world.agent.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, world.agent.pid, os.WEXITED | os.WNOWAIT)


def forgot_to_end(world: World) -> None:
    world.agent = world.run("cat")
    world.id = world.sessions().start(actor="coder", hold=False, pid=world.agent.pid, recover=False).id
    assert world.agent.stdin is not None
    world.agent.stdin.close()
    assert world.agent.wait(30) == 0


def became_another_program(world: World) -> None:
    world.agent = world.run("sh", "-c", "read x; exec sleep 60")
    world.id = world.sessions().start(actor="coder", hold=False, pid=world.agent.pid, recover=False).id
    assert world.agent.stdin is not None
    world.agent.stdin.write(b"go\n")
    world.agent.stdin.flush()
    found = world.place
    eventually(lambda: getattr(found.process(world.agent.pid), "name", "") == "sleep", "it is another program")


def reused_pid(world: World) -> None:
    """The number belongs to a process that started later."""
    world.rewrite(process_started_at="1")


def reboot(world: World) -> None:
    world.place.lies["boot_id"] = "next"


def reboot_and_the_number_runs(world: World) -> None:
    world.rewrite(boot_id="the one before")


def boot_of_a_twin_host_on_a_shared_disk(world: World) -> None:
    reboot(world)
    world.place.lies["local"] = False


def other_host(world: World) -> None:
    world.place.lies["host_id"] = "other"


def other_host_and_gone(world: World) -> None:
    world.kill()
    other_host(world)


def other_container(world: World) -> None:
    world.place.lies["pid_namespace"] = "pid:[1]"


def real_container(world: World) -> None:
    """A process that is number 1 in its own space holds the session."""
    command = ["unshare", "--fork", "--pid", "--kill-child", sys.executable, "-c", HOLD + "input()"]
    path = os.pathsep.join(each for each in sys.path if each)
    try:
        inside = subprocess.Popen(
            [*command, str(world.store.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError:
        pytest.skip("there is no unshare here")
    world.agents.append(inside)
    assert inside.stdout is not None
    world.id = inside.stdout.readline().decode().strip()
    inside.stdout.close()
    if not world.id:
        pytest.skip("no process space of one's own can be made here")


def copied_store(world: World) -> None:
    shutil.copytree(world.store.path, world.folder / "copy.git", copy_function=shutil.copy2)
    world.store = Store.open(world.folder / "copy.git", world.store.config)


def copied_store_and_gone(world: World) -> None:
    copied_store(world)
    world.kill()


def moved_store(world: World) -> None:
    os.rename(world.store.path, world.folder / "moved.git")
    world.store = Store.open(world.folder / "moved.git", world.store.config)


def moved_store_and_gone(world: World) -> None:
    moved_store(world)
    world.kill()


def deleted_folder(world: World) -> None:
    shutil.rmtree(world.store.path / "gitctx")


def deleted_folder_and_gone(world: World) -> None:
    deleted_folder(world)
    world.kill()


def deleted_folder_then_beat(world: World) -> None:
    deleted_folder(world)
    world.sessions().beat(world.id)


def deleted_instance(world: World) -> None:
    (world.store.path / "gitctx" / "instance").unlink()


def damaged_lease(world: World) -> None:
    world.lease.write_bytes(b"\0" * 50)


def empty_lease_and_gone(world: World) -> None:
    world.lease.write_bytes(b"")
    world.kill()


def lease_of_another_process(world: World) -> None:
    leases = Leases(world.store.path / "gitctx")
    seen = leases.read(world.id)
    assert seen is not None
    leases.put(seen.lease._replace(pid=os.getpid()), seen.beat_at)


def record_of_a_foreign_writer(world: World) -> None:
    world.rewrite(host_id="", boot_id="")


def hidden_process(world: World) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "hidden from other users")

    world.patch.setattr(process, "open", refuse, raising=False)


def hidden_process_and_gone(world: World) -> None:
    world.kill()
    hidden_process(world)


def process_without_a_start(world: World) -> None:
    world.patch.setattr(world.place, "process", lambda pid: ProcessFacts(pid, None, "", 0))


def full_disk(world: World) -> None:
    world.place.lies["room"] = Room(0, 1 << 20)


def no_more_files(world: World) -> None:
    world.place.lies["room"] = Room(1 << 40, 3)
    world.kill()


def unknown_room(world: World) -> None:
    world.place.lies["room"] = None


def unreadable_head(world: World) -> None:
    Context(world.store, actor="coder").put("a", "1")
    spoil(loose_copy(world.store, world.store.context.view().tree))


def unreadable_head_and_gone(world: World) -> None:
    unreadable_head(world)
    world.kill()


def unreadable_checkpoint(world: World) -> None:
    context = Context(world.store, actor="coder", session=world.id, machine=world.place)
    context.put("a", "1")
    commit = context.checkpoints.create("mark").commit
    context.put("a", "2")
    world.kill()
    spoil(loose_copy(world.store, commit))


def rotated_start(world: World) -> None:
    world.rewrite(start_revision="1" * 40)


def ended_and_running(world: World) -> None:
    world.sessions().end(world.id)


def ended_and_gone(world: World) -> None:
    ended_and_running(world)
    world.kill()


def recovered(world: World) -> None:
    world.kill()
    assert len(world.sessions().recover(actor="planner").recovered) == 1


def held_and_killed(world: World) -> None:
    with Child(HOLD + "input()", world.store.path) as holder:
        world.id = holder.line()


def held(world: World) -> None:
    world.agents.append(holder := Child(HOLD + "input()", world.store.path).process)
    assert holder.stdout is not None
    world.id = holder.stdout.readline().decode().strip()
    holder.stdout.close()


def held_and_stopped(world: World) -> None:
    held(world)
    world.agents[-1].send_signal(signal.SIGSTOP)


def held_by_a_forked_child_of_the_dead(world: World) -> None:
    """A child that is made behind Python's back keeps the lock."""
    if sys.platform != "linux":
        pytest.skip("forks with the C library")
    script = HOLD + "import ctypes\nchild = ctypes.CDLL(None).fork()\n"
    script += "if child: print(child, flush=True)\ntime.sleep(60)\n"
    holder = Child(script, world.store.path)
    world.id, orphan = holder.line(), int(holder.line())
    with holder:
        pass
    world.patch.setattr(world, "end", lambda end=world.end: (os.kill(orphan, signal.SIGKILL), end()))


def held_and_let_go(world: World) -> None:
    """The program closed files that weren't its own to close."""
    script = HOLD + "os.closerange(3, 100)\nprint('done', flush=True)\ntime.sleep(60)"
    world.agents.append(holder := Child(script, world.store.path).process)
    assert holder.stdout is not None
    world.id = holder.stdout.readline().decode().strip()
    holder.stdout.readline()
    holder.stdout.close()


TABLE: list[tuple[Callable[[World], None], str, dict[str, str]]] = [
    (lambda world: None, "alive", {"process": "alive", "heartbeat": "alive", "integrity": "sound", "space": "enough"}),
    (long_tool_call, "alive", {"heartbeat": "suspicious"}),
    (suspended_laptop, "alive", {"heartbeat": "suspicious"}),
    (clock_forward, "alive", {"heartbeat": "suspicious"}),
    (clock_backward, "alive", {"heartbeat": "unknown"}),
    (clock_forward_and_gone, "dead", {"heartbeat": "suspicious"}),
    (clock_backward_and_gone, "dead", {"heartbeat": "unknown"}),
    (stopped, "alive", {}),
    (stopped_for_long, "alive", {"heartbeat": "suspicious"}),
    (World.kill, "dead", {"heartbeat": "alive", "orphan": "open"}),
    (zombie, "dead", {}),
    (forgot_to_end, "dead", {"orphan": "open"}),
    (became_another_program, "alive", {}),
    (reused_pid, "dead", {}),
    (reboot, "dead", {}),
    (reboot_and_the_number_runs, "dead", {}),
    (boot_of_a_twin_host_on_a_shared_disk, "silent", {}),
    (other_host, "silent", {"process": "unknown"}),
    (other_host_and_gone, "silent", {"process": "unknown"}),
    (other_container, "silent", {}),
    (real_container, "silent", {"lease": "alive"}),
    (copied_store, "silent", {"lease": "unknown", "heartbeat": "unknown"}),
    (copied_store_and_gone, "silent", {}),
    (moved_store, "alive", {}),
    (moved_store_and_gone, "dead", {}),
    (deleted_folder, "silent", {"lease": "unknown", "heartbeat": "unknown"}),
    (deleted_folder_and_gone, "silent", {}),
    (deleted_folder_then_beat, "alive", {}),
    (deleted_instance, "silent", {}),
    (damaged_lease, "silent", {}),
    (empty_lease_and_gone, "silent", {}),
    (lease_of_another_process, "silent", {}),
    (record_of_a_foreign_writer, "silent", {}),
    (hidden_process, "silent", {}),
    (hidden_process_and_gone, "dead", {}),
    (process_without_a_start, "silent", {}),
    (full_disk, "alive", {"space": "short"}),
    (no_more_files, "dead", {"space": "short"}),
    (unknown_room, "alive", {"space": "unknown"}),
    (unreadable_head, "alive", {"integrity": "damaged"}),
    (unreadable_head_and_gone, "dead", {"integrity": "damaged"}),
    (unreadable_checkpoint, "dead", {"integrity": "damaged"}),
    (rotated_start, "alive", {"integrity": "unknown"}),
    (ended_and_running, "ended", {"orphan": "ended"}),
    (ended_and_gone, "ended", {"orphan": "ended"}),
    (recovered, "ended", {"orphan": "suspicious"}),
    (held, "alive", {"lease": "alive"}),
    (held_and_stopped, "alive", {"lease": "alive"}),
    (held_and_killed, "dead", {"lease": "suspicious"}),
    (held_by_a_forked_child_of_the_dead, "dead", {"lease": "alive"}),
    (held_and_let_go, "alive", {"lease": "suspicious"}),
]


def name_of(case: Any) -> str:
    return getattr(case, "__name__", "") if callable(case) else ""


@pytest.mark.parametrize(("happens", "state", "findings"), TABLE, ids=name_of)
def test_the_verdict(world: World, happens: Callable[[World], None], state: str, findings: dict[str, str]) -> None:
    happens(world)
    verdict = world.verdict()
    found = {each.layer: each.finding for each in verdict.evidence}
    assert (verdict.state, {layer: found[layer] for layer in findings}) == (state, findings)
    assert list(found) == ["lease", "process", "heartbeat", "integrity", "space", "orphan"]
    assert all(each.text and each.at.tzinfo is not None for each in verdict.evidence)
    assert world.sessions().state(world.id) == state


def test_only_the_dead_are_recovered_by_a_start(world: World) -> None:
    other = world.run("sleep", "60")
    gone, silent = (
        world.sessions().start(actor="coder", hold=False, pid=other.pid, recover=False).id for _ in range(2)
    )
    (world.store.path / "gitctx" / "leases" / silent).unlink()
    other.kill()
    other.wait()
    started = world.sessions().start(actor="planner", hold=False, pid=world.agent.pid)
    assert [each.record.id for each in started.recovery.recovered] == [gone]
    states = {each.record.id: each.state for each in world.sessions().list()}
    assert states == {world.id: "alive", gone: "ended", silent: "silent", started.id: "alive"}


def test_a_damaged_record_is_not_judged_and_no_other_session_suffers(world: World) -> None:
    bad = world.sessions().start(actor="coder", hold=False, pid=world.agent.pid, recover=False).id
    world.store.sessions.write(Request("test", "test", "somebody", lambda view: Planned({f"{bad}.json": b"{"})))
    with pytest.raises(CorruptStore):
        world.sessions().get(bad)
    assert [each.record.id for each in world.sessions().list()] == [world.id]
    world.kill()
    agent = world.run("sleep", "60")
    started = world.sessions().start(actor="planner", hold=False, pid=agent.pid)
    assert [each.record.id for each in started.recovery.recovered] == [world.id]
    assert started.recovery.unreadable == (bad,)


def test_a_start_recovers_the_dead_though_the_context_cannot_be_read(world: World) -> None:
    unreadable_head_and_gone(world)
    agent = world.run("sleep", "60")
    started = world.sessions().start(actor="planner", hold=False, pid=agent.pid)
    (recovered,) = started.recovery.recovered
    found = {each.layer: each.finding for each in recovered.evidence}
    assert (recovered.record.id, found["integrity"], started.recovery.problem) == (world.id, "damaged", "")
