"""`gitctx session`: one run of an agent each."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx.errors import SessionNotFound
from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.documents import of_session
from gitctx_cli.env import Env
from gitctx_cli.inputs import limit
from gitctx_cli.parameters import Id, Limit, Message

if TYPE_CHECKING:
    from gitctx.sessions import Session, Sessions

Agent = Annotated[
    str, typer.Option("--agent", metavar="NAME", help="the product that runs, like claude or codex", show_default=False)
]
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

    Commands below that process belong to the session from then on.

    Examples:
      export GITCTX_SESSION=$(gitctx session start --agent claude --actor coder-1)
      gitctx session start --pid 4711
    """
    sessions, actor = _new(env)
    made = sessions.start(actor=actor, agent=agent, pid=pid, hold=False, message=message, id=id)
    if env.json:
        env.output.document(of_session(sessions.get(made.record.id)))
    else:
        env.output.line(made.record.id)
    env.output.say(f"session {made.record.id} of {actor}, tied to process {made.record.pid}")


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
    for each in islice(found, limit(limited)):
        if env.json:
            env.output.document(of_session(each))
            continue
        record = each.record
        at = record.started_at.strftime("%Y-%m-%d %H:%M:%SZ")
        parts = (record.id, each.state, record.actor, record.agent, f"{record.hostname}:{record.pid}", f"since {at}")
        env.output.line("  ".join(part for part in parts if part))


def show(env: Env, id: OneOrOwn = None) -> None:
    """Show one session (by default the one you are in) with the evidence on whether it lives.

    Examples:
      gitctx session show
      gitctx session show 01KAX2V8M0QJ5W6Z3T4R9Y7B1C
    """
    sessions = _known(env)
    status = sessions.get(id or _own(env, sessions))
    if env.json:
        env.output.document(of_session(status))
        return
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
