"""`gitctx watch`, `gitctx changes` and `gitctx wait`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx_cli import completion
from gitctx_cli.env import Env
from gitctx_cli.inputs import limit, seconds
from gitctx_cli.parameters import Key, Limit

if TYPE_CHECKING:
    from gitctx.store import Store
    from gitctx.values import WatchedChange

Prefix = Annotated[str, typer.Argument(metavar="[PREFIX]", autocompletion=completion.keys, show_default=False)]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="REV", help="after this revision", autocompletion=completion.revisions),
]
ExcludeSelf = Annotated[bool, typer.Option("--exclude-self", help="leave out what your own session wrote")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="for so long at most: 30, 90s, 5m (seconds if bare)")
]


def watch(
    env: Env,
    prefix: Prefix = "",
    *,
    since: Since = None,
    timeout: Timeout = None,
    limited: Limit = None,
    exclude_self: ExcludeSelf = False,
) -> None:
    """Print changes as they happen, until you stop it: all, or those below a folder.

    With --since nothing is left out that was written after that revision: pass the last one whose last line
    (`last_of_revision`) you saw, and no gap is left. Without it, it begins now. While `gitctx sync pause` is in force
    nothing is printed.

    Examples:
      gitctx watch
      gitctx watch plan/ --json --exclude-self
      gitctx watch status/ --since 3f2a9c1b40 -n 1 --timeout 60
    """
    most, timeout_s = limit(limited), _seconds(timeout)
    reading = env.reading(session=False)
    own = _own_session(env, reading.store) if exclude_self else None
    with reading.watch(prefix, since=since, timeout_s=timeout_s, exclude_session=own) as found:
        _print(env, islice(found, most), at_once=True)


def changes(
    env: Env,
    prefix: Prefix = "",
    *,
    since: Since = None,
    limited: Limit = None,
    exclude_self: ExcludeSelf = False,
) -> None:
    """Print what changed since a revision or checkpoint, oldest first: everywhere, or below a folder.

    Without --since: since your session began; outside a session, since the store was made. Of very many revisions, and
    from one that isn't in the history any more, the difference to now is told.

    Examples:
      gitctx changes --since head~10
      gitctx changes plan/ --since before-refactor --json
      gitctx changes --exclude-self
    """
    reading = env.reading(session=False)
    own = None
    if exclude_self:
        own = _own_session(env, reading.store)
    elif since is None:
        own = env.session_of(reading.store)
    if since is None and own is not None:
        since = reading.sessions.record(own).start_revision
    told = reading.changes(prefix, since=since, exclude_session=own if exclude_self else None)
    _print(env, islice(told, limit(limited)))


def wait(
    env: Env,
    key: Key,
    *,
    until: Annotated[
        str,
        typer.Option("--until", metavar="WHAT", help="exists (the default), changed, or absent", show_default=False),
    ] = "exists",
    timeout: Timeout = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="REV",
            help="with `--until changed`: after this revision (without it, after now)",
            autocompletion=completion.revisions,
        ),
    ] = None,
) -> None:
    """Wait until there is an entry at a key, until there is none, or until it changes. Prints what it holds then.

    Exits with 6 if that doesn't come true in time.

    Examples:
      gitctx wait decision/storage.md --timeout 10m
      gitctx wait status/build --until changed --timeout 300
      gitctx wait plan/draft.md --until absent
    """
    from gitctx.sync.waiting import UNTIL
    from gitctx_cli.failures import UsageError

    chosen = next((each for each in UNTIL if each == until), None)
    if chosen is None:
        raise UsageError(f"--until: {until!r} is none of {', '.join(UNTIL)}")
    if since is not None and until != "changed":
        raise UsageError("--since goes with --until changed only")
    reading = env.reading(session=False)
    entry = reading.wait(key, until=chosen, timeout_s=_seconds(timeout), since=since)
    if env.json:
        from gitctx_cli.documents import of_waited

        env.output.document(of_waited(key, entry))
    elif entry is not None:
        env.output.data(entry.value)


def _print(env: Env, told: Iterable[WatchedChange], *, at_once: bool = False) -> None:
    from gitctx_cli.documents import of_watched

    for change in told:
        if env.json:
            env.output.document(of_watched(change))
        else:
            env.output.line(f"{change.revision[:10]}  {change.actor}  {change.kind} {change.key}")
        if at_once:
            env.output.flush()


def _seconds(timeout: str | None) -> float | None:
    return seconds(timeout, option="--timeout") if timeout is not None else None


def _own_session(env: Env, store: Store) -> str:
    found = env.session_of(store)
    if found is None:
        from gitctx.errors import SessionNotFound

        raise SessionNotFound(
            "this isn't inside any session, so there is no self to leave out",
            hint="name one with --session, or leave --exclude-self out",
        )
    return found
