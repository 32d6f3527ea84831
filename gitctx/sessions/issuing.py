"""Issuing the leases of a store's sessions on this machine, and beating on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gitctx.config import Config
from gitctx.errors import LeaseLost
from gitctx.repository.translate import translated
from gitctx.sessions.facts import Surroundings
from gitctx.sessions.heard import HeardBeats
from gitctx.sessions.instance import ensure_instance
from gitctx.sessions.leases import Lease, Leases, note_beat
from gitctx.sessions.machine import Machine
from gitctx.store.bases import forget_session
from gitctx.values import SessionRecord

if TYPE_CHECKING:
    from gitctx.sessions.ground import Ground


class Issuer:
    """Issues leases in the name of the store instance that lies at `store_path`."""

    def __init__(self, store_path: Path, machine: Machine, config: Config) -> None:
        self.folder = store_path / "gitctx"
        self.leases = Leases(self.folder)
        self._machine = machine
        self._config = config

    def surroundings(self, ground: Ground | None = None) -> Surroundings:
        """This place as it is now."""
        return Surroundings(self.folder, self._machine, ground)

    def issue(self, record: SessionRecord, *, held: bool) -> int | None:
        """Issue the lease of a session, in place of an earlier one; with `held`, the open file that has its lock.

        Raises DiskFull, StoreReadOnly, StorageError.
        """
        with translated(self.folder.parent):
            lease = Lease(
                session=record.id,
                instance=ensure_instance(self.folder, self._machine.boot_id(), self._config),
                host_id=record.host_id,
                boot_id=record.boot_id,
                pid_namespace=record.pid_namespace,
                pid=record.pid,
                process_started_at=record.process_started_at,
                held=held,
            )
            return self.leases.put(lease, self._config.clock(), durable=self._config.durability == "durable")

    def forget(self, id: str) -> None:
        """Take away what a session that has ended left on this machine: its lease, and its bases."""
        self.leases.remove(id)
        HeardBeats(self.folder).forget(id)
        forget_session(self.folder.parent, id)

    def beat(self, record: SessionRecord) -> None:
        """Note a sign of life. A lease that is gone, or that came with a copy of the store, is issued anew if the
        session's process runs here; else LeaseLost.
        """
        here = self.surroundings()
        facts = here.facts_of(record)
        if facts.lease is not None and facts.lease.lease.instance == here.instance:
            with translated(self.folder.parent):
                note_beat(self.leases.folder / record.id, self._config.clock())
            return
        process = facts.process
        if process is None or record.boot_id != here.boot_id or process.started_at != record.process_started_at:
            raise LeaseLost(
                f"the session {record.id} has no lease here, and its process doesn't run here",
                hint=f"beat on the host that it was started on ({record.hostname})",
                details={"session": record.id, "hostname": record.hostname},
            )
        self.issue(record, held=False)

    def beat_held(self, id: str, lock: int) -> bool:
        """Beat on a lease whose lock is held; whether it still lies where others look for it."""
        if not self.leases.is_at(id, lock):
            return False
        note_beat(lock, self._config.clock())
        return True
