"""The values that cross gitctx's borders: frozen, slotted, printable. Times are aware UTC.

A value's module is imported when the value is first asked for: most of a short command's time goes into imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitctx.values.entries import Change, Entry, EntryEtag, EntryInfo
    from gitctx.values.findings import Finding, Verification
    from gitctx.values.ids import ChangeKind, Durability, Etag, Json, Revision, SessionId, SessionState, WriteId
    from gitctx.values.maintenance import Maintained, MaintenanceStep
    from gitctx.values.recovery import Missed, Recovered, RecoveryScan, Rung
    from gitctx.values.rotation import Rotated, RotationPlan
    from gitctx.values.sessions import (
        Claim,
        Evidence,
        Handover,
        LeftEntry,
        RecoveredSession,
        Recovery,
        SessionRecord,
        SessionStatus,
    )
    from gitctx.values.sync import (
        BranchExchanged,
        CheckpointsExchanged,
        ConflictSide,
        Exchanged,
        KeyMoved,
        KeySettled,
        OpenConflict,
        Remote,
    )
    from gitctx.values.watching import SyncPause, WatchedChange
    from gitctx.values.writes import Checkpoint, Write, Written

__all__ = [
    "BranchExchanged",
    "Change",
    "ChangeKind",
    "Checkpoint",
    "CheckpointsExchanged",
    "Claim",
    "ConflictSide",
    "Durability",
    "Entry",
    "EntryEtag",
    "EntryInfo",
    "Etag",
    "Evidence",
    "Exchanged",
    "Finding",
    "Handover",
    "Json",
    "KeyMoved",
    "KeySettled",
    "LeftEntry",
    "Maintained",
    "MaintenanceStep",
    "Missed",
    "OpenConflict",
    "Recovered",
    "RecoveredSession",
    "Recovery",
    "RecoveryScan",
    "Remote",
    "Revision",
    "Rotated",
    "RotationPlan",
    "Rung",
    "SessionId",
    "SessionRecord",
    "SessionState",
    "SessionStatus",
    "SyncPause",
    "Verification",
    "WatchedChange",
    "Write",
    "WriteId",
    "Written",
]

_WHERE = {
    "Change": "entries",
    "Entry": "entries",
    "EntryEtag": "entries",
    "EntryInfo": "entries",
    "Finding": "findings",
    "Verification": "findings",
    "ChangeKind": "ids",
    "Durability": "ids",
    "Etag": "ids",
    "Json": "ids",
    "Revision": "ids",
    "SessionId": "ids",
    "SessionState": "ids",
    "WriteId": "ids",
    "Maintained": "maintenance",
    "MaintenanceStep": "maintenance",
    "Missed": "recovery",
    "Recovered": "recovery",
    "RecoveryScan": "recovery",
    "Rung": "recovery",
    "Rotated": "rotation",
    "RotationPlan": "rotation",
    "Claim": "sessions",
    "Evidence": "sessions",
    "Handover": "sessions",
    "LeftEntry": "sessions",
    "RecoveredSession": "sessions",
    "Recovery": "sessions",
    "SessionRecord": "sessions",
    "SessionStatus": "sessions",
    "BranchExchanged": "sync",
    "CheckpointsExchanged": "sync",
    "ConflictSide": "sync",
    "Exchanged": "sync",
    "KeyMoved": "sync",
    "KeySettled": "sync",
    "OpenConflict": "sync",
    "Remote": "sync",
    "SyncPause": "watching",
    "WatchedChange": "watching",
    "Checkpoint": "writes",
    "Write": "writes",
    "Written": "writes",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'gitctx.values' has no attribute {name!r}")
    found = getattr(import_module(f"gitctx.values.{_WHERE[name]}"), name)
    globals()[name] = found
    return found
