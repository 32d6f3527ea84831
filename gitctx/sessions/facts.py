"""Gathering what can be found out about a session on this machine. Judging it is `liveness`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitctx.sessions.instance import read_instance
from gitctx.sessions.leases import Leases, SeenLease
from gitctx.sessions.machine import Machine
from gitctx.sessions.process import ProcessFacts

if TYPE_CHECKING:
    from gitctx.values import SessionRecord


class Facts(NamedTuple):
    """What was found about one session: about this place, its lease here, and the process with its number here.

    Facts that aren't known are "", None or False. `local` tells whether no other host can use the store's disk.
    """

    host_id: str = ""
    boot_id: str = ""
    pid_namespace: str = ""
    instance: str = ""
    local: bool = False
    lease: SeenLease | None = None
    process: ProcessFacts | None = None


class Surroundings:
    """This place as it was when it was first asked for: kept for one look at one or many sessions."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder = folder
        self._machine = machine
        self._leases = Leases(folder)
        self.host_id = machine.host_id()
        self.boot_id = machine.boot_id()
        self.pid_namespace = machine.pid_namespace()
        self.instance = read_instance(folder, self.boot_id)

    @cached_property
    def local(self) -> bool:
        """Whether no other host can use the store's disk."""
        return self._machine.is_local(str(self._folder.parent))

    def facts_of(self, record: SessionRecord) -> Facts:
        """What can be found out about a session."""
        here = record.host_id == self.host_id and record.pid_namespace == self.pid_namespace
        lease = self._leases.read(record.id)
        return Facts(
            host_id=self.host_id,
            boot_id=self.boot_id,
            pid_namespace=self.pid_namespace,
            instance=self.instance,
            local=record.boot_id != self.boot_id and self.local,
            lease=lease,
            process=self._machine.process(record.pid) if here else None,
        )
