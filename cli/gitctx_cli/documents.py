"""Values as the JSON that other programs build on; docs/reference/command.md lists the fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitctx.format.documents import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from gitctx.values import (
        Change,
        Checkpoint,
        Claim,
        ConflictSide,
        Entry,
        EntryInfo,
        Evidence,
        Exchanged,
        Finding,
        Handover,
        Maintained,
        Missed,
        OpenConflict,
        Recovered,
        RecoveredSession,
        Recovery,
        RecoveryScan,
        Remote,
        Rotated,
        RotationPlan,
        SessionStatus,
        SyncPause,
        Verification,
        WatchedChange,
        Write,
        Written,
    )

Document = dict[str, Any]


def of_written(written: Written) -> Document:
    """The acknowledgement of a write."""
    return {
        "revision": written.revision,
        "head": written.head,
        "id": written.id,
        "changed": written.changed,
        "retries": written.retries,
        "superseded": list(written.superseded),
        "entries": [{"key": entry.key, "etag": entry.etag} for entry in written.entries],
    }


def of_bytes(data: bytes) -> Document:
    """Bytes as `value`, or as `base64` where they aren't UTF-8."""
    try:
        return {"value": data.decode("utf-8")}
    except UnicodeDecodeError:
        import base64

        return {"base64": base64.b64encode(data).decode("ascii")}


def of_entry(entry: Entry, last: Write | None) -> Document:
    """An entry with its last write."""
    return {
        "key": entry.key,
        **of_bytes(entry.value),
        "etag": entry.etag,
        "git_path": entry.git_path,
        "revision": entry.revision,
        "changed_at_revision": last.revision if last else None,
        "actor": last.actor if last else None,
        "session": last.session if last else None,
        "written_at": format_time(last.written_at) if last else None,
    }


def of_info(info: EntryInfo) -> Document:
    """A line of a listing."""
    return {"key": info.key, "etag": info.etag, "size": info.size}


def of_write(write: Write) -> Document:
    """A write as history tells it."""
    return {
        "revision": write.revision,
        "op": write.op,
        "keys": list(write.keys),
        "actor": write.actor,
        "session": write.session,
        "id": write.id,
        "message": write.message,
        "written_at": format_time(write.written_at),
        "subject": write.subject,
        "parents": list(write.parents),
        "retries": write.retries,
        "superseded": list(write.superseded),
    }


def of_change(change: Change) -> Document:
    """How an entry differs."""
    return {"key": change.key, "kind": change.kind, "before": change.before, "after": change.after}


def of_watched(change: WatchedChange) -> Document:
    """A change as watchers are told it."""
    return {
        "revision": change.revision,
        "key": change.key,
        "kind": change.kind,
        "etag": change.etag,
        "actor": change.actor,
        "session": change.session,
        "last_of_revision": change.last_of_revision,
    }


def of_waited(key: str, entry: Entry | None) -> Document:
    """What a key held when that came true which was waited for."""
    if entry is None:
        return {"key": key, "etag": None, "revision": None}
    return {"key": key, **of_bytes(entry.value), "etag": entry.etag, "revision": entry.revision}


def of_checkpoint(checkpoint: Checkpoint) -> Document:
    """A checkpoint."""
    return {
        "name": checkpoint.name,
        "revision": checkpoint.revision,
        "created_at": format_time(checkpoint.created_at),
        "message": checkpoint.message,
        "actor": checkpoint.actor,
        "session": checkpoint.session,
        "commit": checkpoint.commit,
    }


def of_claim(claim: Claim) -> Document:
    """A claim with what is known of its holder."""
    return {
        "name": claim.name,
        "session": claim.session,
        "actor": claim.actor,
        "message": claim.message,
        "claimed_at": format_time(claim.claimed_at),
        "expires_at": format_time(claim.expires_at),
        "holder_state": claim.holder_state,
        "id": claim.id,
    }


def of_session(status: SessionStatus) -> Document:
    """A session with the verdict on it."""
    record = status.record
    return {
        "id": record.id,
        "actor": record.actor,
        "agent": record.agent,
        "state": status.state,
        "hostname": record.hostname,
        "pid": record.pid,
        "started_at": format_time(record.started_at),
        "last_beat_at": _time(status.last_beat_at),
        "graceful_shutdown": record.graceful_shutdown,
        "evidence": _of_evidence(status.evidence),
        "ended_at": _time(record.ended_at),
        "end_reason": record.end_reason,
        "start_revision": record.start_revision,
        "last_checkpoint": status.last_checkpoint or record.last_checkpoint,
        "recovered_by": record.recovered_by,
        "recovered": [{"id": id} for id in record.recovered],
    }


def of_recovery(recovery: Recovery) -> Document:
    """What one look for dead sessions came to."""
    return {
        "recovered": [_of_recovered(each) for each in recovery.recovered],
        "unreadable": list(recovery.unreadable),
        "problem": recovery.problem or None,
    }


def _of_recovered(recovered: RecoveredSession) -> Document:
    record = recovered.record
    return {
        "id": record.id,
        "actor": record.actor,
        "agent": record.agent,
        "state": recovered.state,
        "started_at": format_time(record.started_at),
        "ended_at": _time(record.ended_at),
        "end_reason": record.end_reason,
        "recovered_by": record.recovered_by,
        "last_checkpoint": record.last_checkpoint,
        "claims": list(recovered.claims),
        "evidence": _of_evidence(recovered.evidence),
    }


def of_handover(handover: Handover) -> Document:
    """What a session leaves to whoever continues its work."""
    return {
        **of_session(handover.status),
        "resume": {
            "evidence": _of_evidence(handover.evidence),
            "since": handover.since,
            "writes": [of_write(each) for each in handover.writes],
            "writes_total": handover.writes_total,
            "entries": [
                {"key": each.key, "etag": each.etag, "changed_since": each.changed_since} for each in handover.entries
            ],
            "claims": list(handover.claims),
            "claims_freed": list(handover.claims_freed),
        },
    }


def _of_evidence(evidence: Sequence[Evidence]) -> list[Document]:
    return [
        {"layer": each.layer, "finding": each.finding, "text": each.text, "at": format_time(each.at)}
        for each in evidence
    ]


def of_verification(verification: Verification) -> Document:
    """The result of a check."""
    return {
        "ok": verification.ok,
        "commits": verification.commits,
        "objects": verification.objects,
        "problems": _of_findings(verification.problems),
        "warnings": _of_findings(verification.warnings),
    }


def of_scan(scan: RecoveryScan) -> Document:
    """What a look for damage found."""
    return {
        "healthy": scan.healthy,
        "damage": _of_findings(scan.damage),
        "best": scan.best,
        "source": scan.source,
        "lost": _of_missed(scan.lost),
        "stale": _of_missed(scan.stale),
        "resurrected": _of_missed(scan.resurrected),
        "tried": [
            {"branch": each.branch, "source": each.source, "revision": each.revision, "verdict": each.verdict}
            for each in scan.tried
        ],
    }


def of_recovered(recovered: Recovered) -> Document:
    """What a recovery did, with what it found."""
    return {
        "id": recovered.id or None,
        "changed": recovered.changed,
        "revision": recovered.revision,
        "rescue": list(recovered.rescue),
        "quarantine": recovered.quarantine,
        **of_scan(recovered.scan),
    }


def of_maintained(done: Maintained) -> Document:
    """What maintenance did, or would do."""
    return {
        "ran": done.ran,
        "steps": [{"name": each.name, "why": each.why, "state": each.state, "text": each.text} for each in done.steps],
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "kept": _of_findings(done.kept),
    }


def of_remote(remote: Remote) -> Document:
    """A remote of the store, without a password in its URL."""
    from gitctx.repository.network import hidden

    return {"name": remote.name, "url": hidden(remote.url), "namespace": remote.namespace or None}


def of_exchanged(report: Exchanged) -> Document:
    """What an exchange with a remote did."""
    tags = report.checkpoints
    return {
        "remote": report.remote,
        "changed": report.changed,
        "complete": report.complete,
        "rounds": report.rounds,
        "took_s": report.took_s,
        "branches": [
            {
                "branch": each.branch,
                "head": each.head,
                "received": each.received,
                "sent": each.sent,
                "merged": each.merged,
                "forced_back": each.forced_back,
                "refused": each.refused or None,
                "up_to_date": each.up_to_date,
                "rejoined": each.rejoined,
                "settled": [
                    {
                        "key": one.key,
                        "strategy": one.strategy,
                        "kept": one.kept,
                        "lost": one.lost,
                        "superseded": one.superseded,
                    }
                    for one in each.settled
                ],
                "moved": [{"key": one.key, "moved_to": one.moved_to} for one in each.moved],
                "opened": [of_conflict(one) for one in each.opened],
            }
            for each in report.branches
        ],
        "checkpoints": {
            "received": list(tags.received),
            "sent": list(tags.sent),
            "deleted": list(tags.deleted),
            "gone": list(tags.gone),
            "renamed": [{"name": old, "renamed_to": new} for old, new in tags.renamed],
            "refused": [{"name": name, "reason": reason} for name, reason in tags.refused],
        },
    }


def of_conflict(conflict: OpenConflict) -> Document:
    """A conflict that waits for a decision."""
    return {
        "id": conflict.id,
        "key": conflict.key,
        "base": conflict.base,
        "standing": _of_side(conflict.standing),
        "waiting": _of_side(conflict.waiting),
    }


def _of_side(side: ConflictSide) -> Document:
    return {
        "etag": side.etag,
        "revision": side.revision,
        "actor": side.actor,
        "session": side.session,
        "written_at": format_time(side.written_at),
    }


def of_rotation_plan(plan: RotationPlan) -> Document:
    """What a rotation of one branch would do."""
    return {
        "branch": plan.branch,
        "head": plan.head,
        "epoch": plan.epoch,
        "stands_for": plan.stands_for,
        "squashed": plan.squashed,
        "counted": plan.counted,
        "kept": plan.kept,
        "since": _time(plan.since),
        "until": _time(plan.until),
        "actors": [{"actor": actor, "writes": count} for actor, count in plan.actors],
    }


def of_rotated(rotated: Rotated) -> Document:
    """What a rotation of one branch did: its plan, and what came of it."""
    return {
        **of_rotation_plan(rotated.plan),
        "changed": rotated.changed,
        "head": rotated.head,
        "base": rotated.base,
        "kept_under": rotated.kept_under,
    }


def of_pause(pause: SyncPause) -> Document:
    """That the watchers of a store are silenced."""
    return {
        "paused_at": _time(pause.paused_at),
        "actor": pause.actor,
        "session": pause.session,
        "message": pause.message,
    }


def _of_missed(missed: Sequence[Missed]) -> list[Document]:
    return [{"branch": each.branch, "revision": each.revision, "key": each.key} for each in missed]


def _of_findings(findings: Sequence[Finding]) -> list[Document]:
    return [{"code": each.code, "subject": each.subject, "text": each.text} for each in findings]


def _time(at: datetime | None) -> str | None:
    return format_time(at) if at is not None else None
