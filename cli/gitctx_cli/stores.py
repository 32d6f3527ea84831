"""Commands about the store as a whole: `init`, `status`, `verify`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from gitctx.errors import AlreadyExists
from gitctx_cli.documents import of_pause, of_remote, of_verification, of_write
from gitctx_cli.env import Env
from gitctx_cli.history import line_of

DAMAGED = 7


def init(
    env: Env,
    *,
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="join the store that this remote holds")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="don't ask the project's remotes for a store")] = False,
) -> None:
    """Make the store of this project, in `gitctx/store.git` inside its git folder; outside a project, yours.

    If a remote of the project holds a store, it is joined: you get the same history. They are asked for 3 seconds at
    most, and nothing is sent to them. Every worktree of the project finds the same store. Your project stays as it is.
    A store that is there already is left alone.

    Examples:
      gitctx init
      gitctx init --from git@example.com:team/context.git
      gitctx init --store ~/shared/context.git
      git config gitctx.store ../context.git && gitctx init
    """
    from gitctx.store import Store
    from gitctx_cli.failures import UsageError

    if source is not None and alone:
        raise UsageError("--from and --alone contradict each other", hint="give one of them")
    path = env.store_path()
    joined = None
    created = False
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        try:
            joined = None if alone else _join(env, path, source)
            if joined is None:
                Store.create(path)
            created = True
        except AlreadyExists:
            pass
    store = Store.open(path)
    made = f"joined the store that {joined} holds" if joined is not None else "made the store"
    env.output.say(made if created else "the store was there already")
    if env.json:
        env.output.document(
            {
                "store": str(store.path),
                "store_id": store.identity.store_id,
                "format": store.identity.format,
                "created": created,
                "changed": created,
                "joined": joined,
            }
        )
    else:
        env.output.line(str(store.path))


def _join(env: Env, path: Path, source: str | None) -> str | None:
    """Join a store that is there already; the remote's name, None if there is none to join."""
    if source is not None:
        from gitctx.repository.remotes import is_local
        from gitctx.sync.joining import join

        join(path, str(env.path(source).absolute()) if is_local(source) else source)
        return "origin"
    from gitctx.repository.discovery import remotes_of_project

    if not remotes_of_project(env.start):
        return None
    from gitctx.sync.joining import join_project, look_for_store

    look = look_for_store(env.start)
    for name, reason in look.silent.items():
        env.output.say(
            f"warning: {name} couldn't be asked whether it holds a store: {reason}. If it does, this one begins apart;"
            " `gitctx sync` will say so"
        )
    return join_project(path, look).remote if look.found else None


def status(env: Env) -> None:
    """Show where the store is, what it holds, who is at work, and who you are to it.

    Examples:
      gitctx status
      git --git-dir="$(gitctx status --json | jq -r .store)" log --oneline context
    """
    from gitctx.sync.switch import paused

    reading = env.reading(session=False)
    store = reading.store
    session = env.session_of(store)
    actor = env.actor_of(store, session)
    states = Counter(each.state for each in reading.sessions.list())
    last = next(reading.log(limit=1))
    remotes = [{**of_remote(each), "unsent": reading.sync.unsent(each.name)} for each in reading.sync.remotes()]
    pause = paused(store.path)
    entries = sum(1 for key, _ in store.context.view().etags() if not key.startswith(".gitctx/"))
    document = {
        "store": str(store.path),
        "store_id": store.identity.store_id,
        "format": store.identity.format,
        "epoch": store.identity.epoch,
        "head": reading.head,
        "entries": entries,
        "last_write": of_write(last),
        "sessions": {state: states.get(state, 0) for state in ("alive", "silent", "dead", "ended")},
        "claims": len(reading.claims.list()),
        "checkpoints": len(reading.checkpoints.list()),
        "remotes": remotes,
        "open_conflicts": reading.sync.conflicts.count(),
        "paused": of_pause(pause) if pause is not None else None,
        "settings_problems": list(reading.settings().problems),
        "actor": actor,
        "session": session,
    }
    if env.json:
        env.output.document(document)
        return
    at_work = ", ".join(f"{states[state]} {state}" for state in ("alive", "silent", "dead", "ended") if states[state])
    for name, value in (
        ("store", document["store"]),
        ("head", line_of(last)),
        ("entries", str(entries)),
        ("checkpoints", str(document["checkpoints"])),
        ("claims", str(document["claims"])),
        ("sessions", at_work or "none"),
        *(("remote", _standing_of(each)) for each in remotes),
        *([("conflicts", f"{document['open_conflicts']} open")] if document["open_conflicts"] else []),
        ("you", actor + (f" in session {session}" if session else "")),
    ):
        env.output.line(f"{name:<12} {value}")
    if pause is not None:
        env.output.say("watchers of this store are paused: `gitctx sync resume` lets them go on")
    for problem in reading.settings().problems:
        env.output.say(f"warning: {problem}")


def _standing_of(remote: dict[str, Any]) -> str:
    """A remote on a line: how much it hasn't got yet."""
    unsent = remote["unsent"]
    state = "never exchanged" if unsent is None else f"{unsent} to send" if unsent else "has everything"
    return f"{remote['name']} {remote['url']} ({state})"


def verify(
    env: Env,
    *,
    full: Annotated[bool, typer.Option("--full", help="read and hash every object")] = False,
) -> None:
    """Check that the store is sound; exit code 7 if it isn't. Nothing is changed.

    Examples:
      gitctx verify
      gitctx verify --full --json
    """
    env.may_recover = False
    result = env.reading(session=False).verify(full=full)
    if env.json:
        env.output.document(of_verification(result))
    else:
        for kind, findings in (("problem", result.problems), ("warning", result.warnings)):
            for each in findings:
                env.output.line(f"{kind} ({each.code}): {each.text}")
        state = "sound" if result.ok else f"{len(result.problems)} problem{'s' if len(result.problems) != 1 else ''}"
        env.output.line(f"{state}: {result.commits} commits and {result.objects} objects checked")
    if not result.ok:
        raise typer.Exit(DAMAGED)
