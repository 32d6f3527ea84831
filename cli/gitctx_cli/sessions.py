"""`gitctx session`: one run of an agent each."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx.errors import SessionNotFound
from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.documents import of_recovery, of_session
from gitctx_cli.env import Env
from gitctx_cli.inputs import limit
from gitctx_cli.parameters import Id, Limit, Message
from gitctx_cli.recovering import show_handover, tell_recovery

if TYPE_CHECKING:
    from gitctx.sessions import Session, Sessions
    from gitctx.values import SessionStatus

Agent = Annotated[
    str, typer.Option("--agent", metavar="NAME", help="the product that runs, like claude or codex", show_default=False)
]
_MOST_WRITES = 20
OneOrOwn = Annotated[str | None, typer.Argument(metavar="[ID]", autocompletion=completion.sessions)]


def start(
    env: Env,
    *,
    pid: Annotated[
        int | None, typer.Option("--pid", metavar="PID", help="the agent's process; by default the nearest above this")
    ] = None,
    agent: Agent = "",
    message: Message = "",
    id: Id = None,
) -> None:
    """Start a session for a process that runs already, and print its id. When that process is gone, it is dead.

    Commands below that process belong to the session from then on. Sessions that are found dead are recovered by it.

    Examples:
      export GITCTX_SESSION=$(gitctx session start --agent claude --actor coder-1)
      gitctx session start --pid 4711
    """
    sessions, actor = _new(env)
    made = sessions.start(actor=actor, agent=agent, pid=pid, hold=False, message=message, id=id)
    if env.json:
        env.output.document({**of_session(sessions.get(made.record.id)), **of_recovery(made.recovery)})
    else:
        env.output.line(made.record.id)
    env.output.say(f"session {made.record.id} of {actor}, tied to process {made.record.pid}")
    tell_recovery(env, made.recovery)


def run(
    env: Env,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...")],
    *,
    agent: Agent = "",
    message: Message = "",
) -> None:
    """Run a command as a session: it starts with the command and ends with it. The exit code is the command's.

    The command finds the session in GITCTX_SESSION.

    Examples:
      gitctx session run --agent claude --actor coder-1 -- claude
      gitctx session run -- make check
    """
    from gitctx.sessions import run_command

    sessions, actor = _new(env)

    def tell(session: Session) -> None:
        env.output.say(f"session {session.record.id} of {actor}")
        tell_recovery(env, session.recovery)

    code = run_command(
        sessions, command, actor=actor, environment=dict(env.environ), agent=agent, message=message, on_start=tell
    )
    raise typer.Exit(code)


def list_all(
    env: Env,
    *,
    active: Annotated[bool, typer.Option("--active", help="only those that haven't ended")] = False,
    limited: Limit = None,
) -> None:
    """List sessions, newest first, and whether they live.

    alive: its process runs. dead: its process is gone. silent: nothing proves either. ended: it was closed.

    Examples:
      gitctx session list
      gitctx session list --active --json
    """
    found = env.reading(session=False).sessions.list(include_ended=not active)
    dead = sum(each.state == "dead" for each in found)
    for each in islice(found, limit(limited)):
        if env.json:
            env.output.document(of_session(each))
            continue
        record = each.record
        at = record.started_at.strftime("%Y-%m-%d %H:%M:%SZ")
        process = f"{record.hostname}:{record.pid}"
        why = next((found.text for found in each.evidence if found.layer == "process"), "")
        why = why if each.state in ("dead", "silent") else record.end_reason or ""
        parts = (record.id, each.state, record.actor, record.agent, process, f"since {at}", why.partition("\n")[0])
        env.output.line("  ".join(part for part in parts if part))
    if dead and not env.json:
        what = "is 1 dead session" if dead == 1 else f"are {dead} dead sessions"
        env.output.say(f"there {what}: the next start, or `gitctx session recover`, recovers what is dead")


def show(
    env: Env,
    id: OneOrOwn = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="what it leaves to whoever continues its work")] = False,
    limited: Limit = None,
) -> None:
    """Show one session (by default the one you are in) with the evidence on whether it lives.

    With --resume: its last checkpoint, what it wrote since (-n: at most so many; 20), the entries it left, its claims.

    Examples:
      gitctx session show
      gitctx session show 01KAX2V8M0QJ5W6Z3T4R9Y7B1C --resume
    """
    sessions = _known(env)
    id = id or _own(env, sessions)
    if resume:
        show_handover(env, sessions.handover(id, most_writes=_MOST_WRITES if limited is None else limit(limited) or 0))
        return
    status = sessions.get(id)
    if env.json:
        env.output.document(of_session(status))
        return
    _print(env, status)


def _print(env: Env, status: SessionStatus) -> None:
    record = status.record
    for title, value in (
        ("id", record.id),
        ("state", status.state),
        ("actor", record.actor),
        ("agent", record.agent),
        ("process", f"{record.pid} on {record.hostname}"),
        ("started", format_time(record.started_at)),
        ("last beat", format_time(status.last_beat_at) if status.last_beat_at else ""),
        ("ended", format_time(record.ended_at) if record.ended_at else ""),
        ("reason", record.end_reason),
        ("checkpoint", status.last_checkpoint or record.last_checkpoint),
        ("taken by", record.recovered_by),
        ("recovered", ", ".join(record.recovered)),
    ):
        if value:
            env.output.line(f"{title:<10} {value}")
    for each in status.evidence:
        env.output.line(f"{each.layer:<10} {each.finding}: {each.text}")


def beat(env: Env, id: OneOrOwn = None) -> None:
    """Say that a session (by default the one you are in) is still at work.

    Examples:
      gitctx session beat
    """
    sessions = _known(env)
    session = id or _own(env, sessions)
    sessions.beat(session)
    if env.json:
        env.output.document(of_session(sessions.get(session)))
    env.output.say(f"beat {session}")


def end(
    env: Env,
    id: OneOrOwn = None,
    *,
    reason: Annotated[str, typer.Option("-m", "--message", "--reason", metavar="TEXT", help="why")] = "",
    crashed: Annotated[bool, typer.Option("--crashed", help="record that it didn't end gracefully")] = False,
) -> None:
    """End a session (by default the one you are in): its claims are free then.

    Examples:
      gitctx session end
      gitctx session end 01KAX2V8M0QJ5W6Z3T4R9Y7B1C -m "the agent hung"
    """
    sessions = _known(env)
    session = id or _own(env, sessions)
    sessions.end(session, reason=reason, graceful=not crashed)
    if env.json:
        env.output.document(of_session(sessions.get(session)))
    env.output.say(f"ended session {session}")


def _known(env: Env) -> Sessions:
    return env.reading(session=False).sessions


def _new(env: Env) -> tuple[Sessions, str]:
    """The sessions, and who starts one: its own name counts, not that of the session around it."""
    sessions = _known(env)
    return sessions, env.actor_of(sessions.store, None)


def _own(env: Env, sessions: Sessions) -> str:
    found = env.session_of(sessions.store)
    if found is None:
        raise SessionNotFound("this isn't inside any session", hint="name one: `gitctx session list` shows them")
    return found
