"""A machine of one's own: its host, boots and processes are what a test says."""

from __future__ import annotations

from gitctx.sessions import Machine, ProcessFacts


class FakeMachine(Machine):
    """A host on which the process 100 (`agent`) runs and asks. Change the attributes to change the world."""

    def __init__(self, host: str = "host-a", boot: str = "boot-1", space: str = "pid:[1]") -> None:
        self.host = host
        self.boot = boot
        self.space = space
        self.own = 100
        self.local = True
        self.processes: dict[int, ProcessFacts] = {}
        self.run(100, "agent")

    def run(self, pid: int, name: str = "agent", *, parent: int = 0, started_at: str | None = "5000") -> None:
        """Let a process run, in place of an earlier one with that number."""
        self.processes[pid] = ProcessFacts(pid, started_at, name, parent)

    def kill(self, pid: int) -> None:
        """Let a process be gone."""
        del self.processes[pid]

    def reboot(self) -> None:
        """Start the host anew: nothing of before runs."""
        self.boot += "+"
        self.processes.clear()

    def host_id(self) -> str:
        return self.host

    def hostname(self) -> str:
        return self.host.upper()

    def boot_id(self) -> str:
        return self.boot

    def pid_namespace(self) -> str:
        return self.space

    def process(self, pid: int) -> ProcessFacts | None:
        return self.processes.get(pid)

    def own_pid(self) -> int:
        return self.own

    def is_local(self, path: str) -> bool:
        return self.local
