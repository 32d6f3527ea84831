"""Gathering what can be found out about a session on this machine. Judging it is `liveness`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitctx.sessions.heard import Heard, HeardBeats
from gitctx.sessions.instance import read_instance
from gitctx.sessions.leases import Leases, SeenLease
from gitctx.sessions.machine import Machine, Room
from gitctx.sessions.process import ProcessFacts

if TYPE_CHECKING:
    from gitctx.sessions.ground import Ground, Soundness
    from gitctx.values import SessionRecord


class Facts(NamedTuple):
    """What was found about one session: about this place, its lease here, and the process with its number here.

    `heard` is the last heartbeat that came in from elsewhere. Facts that aren't known are "", None or False. `local`
    tells whether no other host can use the store's disk. `sound` and `room` are None where nobody asked for them: they
    never decide on a session's state.
    """

    host_id: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    instance: str = ""
    local: bool = False
    lease: SeenLease | None = None
    process: ProcessFacts | None = None
    sound: Soundness | None = None
    room: Room | None = None
    heard: Heard | None = None


class Surroundings:
    """This place as it was when it was first asked for: kept for one look at one or many sessions.

    With a `ground` (of the store) facts say as well what a session builds on and what room there is.
    """

    def __init__(self, folder: Path, machine: Machine, ground: Ground | None = None) -> None:
        self._folder = folder
        self._machine = machine
        self._ground = ground
        self._leases = Leases(folder)
        self._heard = HeardBeats(folder)
        self._processes: dict[int, ProcessFacts | None] = {}
        self.host_id = machine.host_id()
        self.boot_id = machine.boot_id()
        self.pid_namespace = machine.pid_namespace()
        self.instance = read_instance(folder, self.boot_id)

    @cached_property
    def local(self) -> bool:
        """Whether no other host can use the store's disk."""
        return self._machine.is_local(str(self._folder.parent))

    @cached_property
    def room(self) -> Room | None:
        """What is free on the store's file system."""
        return self._machine.room(str(self._folder.parent))

    def facts_of(self, record: SessionRecord, *, ground_too: bool = True) -> Facts:
        """What can be found out about a session; without `ground_too`, not what it builds on."""
        here = record.host_id == self.host_id and record.pid_namespace == self.pid_namespace
        return Facts(
            host_id=self.host_id,
            boot_id=self.boot_id,
            pid_namespace=self.pid_namespace,
            instance=self.instance,
            local=record.boot_id != self.boot_id and self.local,
            lease=self._leases.read(record.id),
            heard=self._heard.read(record.id),
            process=self._process(record.pid) if here else None,
            sound=self._ground.under(record) if self._ground is not None and ground_too else None,
            room=self.room if self._ground is not None else None,
        )

    def _process(self, pid: int) -> ProcessFacts | None:
        if pid not in self._processes:
            self._processes[pid] = self._machine.process(pid)
        return self._processes[pid]
