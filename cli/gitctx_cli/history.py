"""`gitctx log`, `gitctx show` and `gitctx diff`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.documents import of_change, of_write
from gitctx_cli.env import Env
from gitctx_cli.inputs import limit
from gitctx_cli.inputs import since as since_text
from gitctx_cli.parameters import Limit, Only
from gitctx_cli.text_diff import diff_of, mark, shown

if TYPE_CHECKING:
    from gitctx.context import Reading
    from gitctx.values import Change, Write

_NAMED = 3
Names = Annotated[bool, typer.Option("--names", help="only which entries differ")]


def log(
    env: Env,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", autocompletion=completion.keys)] = None,
    *,
    patch: Annotated[bool, typer.Option("-p", "--patch", help="with what changed")] = False,
    limited: Limit = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="NAME", help="only what this actor wrote")] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="only what this session wrote")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME|REV", help="only after a time, or a revision")
    ] = None,
) -> None:
    """Show writes, newest first: all, those of a key, or those below a folder (with a slash at its end).

    Times are UTC. TIME is one like 2026-11-25 or 2026-11-25T10:05Z, or how long ago: 90s, 30m, 2h, 1d. Before the
    command, --actor and --session say who you are, as everywhere.

    Examples:
      gitctx log -n 10
      gitctx log plan/auth.md -p
      gitctx log finding/ --actor coder-1 --since 2h
    """
    reading = env.reading(session=False)
    start = since_text(since, reading.store.config.clock()) if since is not None else None
    for write in reading.log(key, limit=limit(limited), actor=actor, session=session, since=start):
        changes = reading.show(write.revision)[1] if patch else None
        if env.json:
            more = {"changes": [_with_diff(reading, each) for each in changes]} if changes is not None else {}
            env.output.document({**of_write(write), **more})
            continue
        env.output.line(line_of(write))
        _print_changes(env, reading, changes or [])


def show(
    env: Env,
    revision: Annotated[str, typer.Argument(metavar="REV", autocompletion=completion.revisions)] = "head",
) -> None:
    """Show one write: who, when, why, and what it changed. REV is `head`, `head~2`, a checkpoint, or (part of) an id.

    Examples:
      gitctx show
      gitctx show 3f2a9c1b40
    """
    reading = env.reading(session=False)
    write, changes = reading.show(revision)
    if env.json:
        env.output.document({**of_write(write), "changes": [_with_diff(reading, each) for each in changes]})
        return
    for name, value in (
        ("revision", write.revision),
        ("actor", write.actor),
        ("session", write.session),
        ("time", format_time(write.written_at)),
        ("op", write.op),
        ("id", write.id),
        ("superseded", ", ".join(write.superseded)),
    ):
        if value:
            env.output.line(f"{name:<10} {value}")
    text = write.message or (write.subject if write.op is None else "")
    if text:
        env.output.line("")
        env.output.line("\n".join(f"    {line}".rstrip() for line in text.split("\n")))
    _print_changes(env, reading, changes)


def diff(
    env: Env,
    before: Annotated[str, typer.Argument(metavar="A", autocompletion=completion.revisions)],
    after: Annotated[str | None, typer.Argument(metavar="[B]", autocompletion=completion.revisions)] = None,
    *,
    only: Only = "",
    names: Names = False,
) -> None:
    """Show how the entries differ between two revisions or checkpoints; without B, between A and now.

    Examples:
      gitctx diff head~3
      gitctx diff before-refactor head --only plan/
      gitctx diff before-refactor --names
    """
    reading = env.reading(session=False)
    print_diff(env, reading, reading.diff(before, after, prefix=only), names=names)


def print_diff(env: Env, reading: Reading, changes: Sequence[Change], *, names: bool) -> None:
    """Print differences: a line or a diff each."""
    for change in changes:
        if env.json:
            env.output.document(of_change(change) if names else _with_diff(reading, change))
        elif names:
            env.output.line(mark(change))
        else:
            env.output.line(shown(reading, change).removesuffix("\n"))


def line_of(write: Write) -> str:
    """A write on one line: short revision, time, actor, what, why."""
    at = write.written_at.strftime("%Y-%m-%d %H:%M:%SZ")
    if write.op is None:
        what, why = "(git)", write.subject
    else:
        what, why = write.op, write.message.partition("\n")[0]
    more = f" +{len(write.keys) - _NAMED}" if len(write.keys) > _NAMED else ""
    keys = " ".join(write.keys[:_NAMED]) + more
    return "  ".join(part for part in (write.revision[:10], at, write.actor, f"{what} {keys}".rstrip(), why) if part)


def _print_changes(env: Env, reading: Reading, changes: Sequence[Change]) -> None:
    if changes:
        env.output.line("")
        for change in changes:
            env.output.line(shown(reading, change).removesuffix("\n"))
        env.output.line("")


def _with_diff(reading: Reading, change: Change) -> dict[str, Any]:
    return {**of_change(change), "diff": diff_of(reading, change)}
