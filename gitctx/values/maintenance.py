"""What maintenance of a store did, or would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gitctx.values.findings import Finding

StepState = Literal["due", "done", "put_off"]


@dataclass(frozen=True, slots=True)
class MaintenanceStep:
    """One step: its name, why it is or was due, and what came of it (`text`). `put_off`: another program was in the
    way, and it will be done the next time.
    """

    name: str
    why: str
    state: StepState
    text: str = ""


@dataclass(frozen=True, slots=True)
class Maintained:
    """What was done (`due` steps: what would be). `ran` is False if another program maintained the store meanwhile.

    Sizes are bytes of the whole store on disk, files counted in full; `kept` are things of recoveries that have been
    lying there for long, which only a person may remove.
    """

    ran: bool
    steps: tuple[MaintenanceStep, ...]
    bytes_before: int
    bytes_after: int
    kept: tuple[Finding, ...] = ()
