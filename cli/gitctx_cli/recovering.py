"""`gitctx session recover`, and how what was recovered and what a session leaves are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.documents import of_handover, of_recovery
from gitctx_cli.env import Env
from gitctx_cli.failures import UNEXPECTED, UsageError
from gitctx_cli.history import line_of
from gitctx_cli.parameters import Message

if TYPE_CHECKING:
    from gitctx.values import Handover, RecoveredSession, Recovery

_NAMED = 10
_ENTRIES = 20


def recover(
    env: Env,
    id: Annotated[str | None, typer.Argument(metavar="[ID]", autocompletion=completion.sessions)] = None,
    *,
    everyone: Annotated[bool, typer.Option("--all", help="all that are dead (also without an ID)")] = False,
    silent: Annotated[
        bool,
        typer.Option("--silent", help="also if nothing proves that it is dead: its writes are refused from then on"),
    ] = False,
    message: Message = "",
) -> None:
    """Close sessions that are proved dead: the evidence is kept, their claims are free, what they leave is told.

    This also happens by itself whenever a session starts. If several do it at once, one of them gets each session.

    Examples:
      gitctx session recover
      gitctx session recover 01KAX2V8M0QJ5W6Z3T4R9Y7B1C --silent -m "that machine is gone"
    """
    if id is not None and everyone:
        raise UsageError("an ID and --all contradict each other", hint="leave one of them out")
    if silent and id is None and not everyone:
        raise UsageError("--silent needs to know which", hint="name a session, or say --all")
    sessions = env.reading(session=False).sessions
    own = env.session_of(sessions.store)
    actor = env.actor_of(sessions.store, own)
    recovery = sessions.recover(id, actor=actor, session=own, silent=silent, message=message)
    if env.json:
        env.output.document(of_recovery(recovery))
    else:
        for each in recovery.recovered:
            env.output.line(each.record.id)
    tell_recovery(env, recovery, always=True)
    if recovery.problem:
        raise typer.Exit(UNEXPECTED)


def tell_recovery(env: Env, recovery: Recovery, *, always: bool = False) -> None:
    """Say what was recovered, and what went wrong; with `always` also that there was nothing to recover."""
    for each in recovery.recovered[:_NAMED]:
        env.output.say(_told(each))
    more = len(recovery.recovered) - _NAMED
    if more > 0:
        env.output.say(f"and {more} more; `gitctx session list` shows them")
    if recovery.recovered:
        last = recovery.recovered[0].record.id if len(recovery.recovered) == 1 else "ID"
        env.output.say(f"`gitctx session show {last} --resume` tells what it left")
    for id in recovery.unreadable:
        env.output.say(f"warning: the record of the session {id} can't be read: see `gitctx verify`")
    if recovery.problem:
        env.output.say(f"warning: not all dead sessions could be recovered: {recovery.problem}")
    if always and not recovery.recovered and not recovery.problem:
        env.output.say("nothing to recover")


def _told(recovered: RecoveredSession) -> str:
    record = recovered.record
    who = f"{record.actor} ({record.agent})" if record.agent else record.actor
    parts = [f"recovered {record.id} of {who}, {recovered.state}: {recovered.why}"]
    if record.last_checkpoint:
        parts.append(f"last checkpoint {record.last_checkpoint}")
    if recovered.claims:
        parts.append(f"free now: {', '.join(recovered.claims)}")
    return "; ".join(parts)


def show_handover(env: Env, handover: Handover) -> None:
    """Print what a session leaves."""
    if env.json:
        env.output.document(of_handover(handover))
        return
    record, status = handover.status.record, handover.status
    who = f"{record.actor} ({record.agent})" if record.agent else record.actor
    env.output.line(f"session {record.id} of {who}, {status.state}")
    reason = f": {record.end_reason}" if record.end_reason else ""
    ended = f", ended {format_time(record.ended_at)}{reason}" if record.ended_at is not None else ""
    env.output.line(f"started {format_time(record.started_at)}{ended}")
    if record.recovered_by:
        env.output.line(f"taken over by {record.recovered_by}")
    for each in handover.evidence:
        env.output.line(f"  {each.layer:<10} {each.finding}: {each.text}")
    mark = status.last_checkpoint or record.last_checkpoint
    base = f"its last checkpoint {mark}" if mark else "its start"
    count = f"{handover.writes_total} write{'' if handover.writes_total == 1 else 's'}"
    env.output.line(f"\n{count} since {base} (revision {handover.since[:10]})")
    for write in handover.writes:
        env.output.line(f"  {line_of(write)}")
    if len(handover.writes) < handover.writes_total:
        env.output.line(f"  and {handover.writes_total - len(handover.writes)} earlier ones")
    _show_entries(env, handover)
    if handover.claims or handover.claims_freed:
        names = dict.fromkeys((*handover.claims, *handover.claims_freed))
        env.output.line(f"\nclaims it held: {', '.join(names)}")


def _show_entries(env: Env, handover: Handover) -> None:
    if not handover.entries:
        return
    env.output.line("\nentries it left")
    for each in handover.entries[:_ENTRIES]:
        left = "removed" if each.etag is None else each.etag[:10]
        env.output.line(f"  {left:<10}  {each.key}{'  (changed since)' if each.changed_since else ''}")
    if len(handover.entries) > _ENTRIES:
        env.output.line(f"  and {len(handover.entries) - _ENTRIES} more")
