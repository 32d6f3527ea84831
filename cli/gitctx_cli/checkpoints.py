"""`gitctx checkpoint`: names for contents."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.documents import of_checkpoint
from gitctx_cli.env import Env
from gitctx_cli.history import Names, print_diff
from gitctx_cli.inputs import limit
from gitctx_cli.parameters import At, DryRun, ExpectedHead, Id, Limit, Message, Only

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.checkpoints)]


def create(
    env: Env,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    at: At = None,
    message: Message = "",
    id: Id = None,
) -> None:
    """Name the content as it is now, or as it was at a revision. A checkpoint never moves.

    Examples:
      gitctx checkpoint create before-refactor -m "all tests pass"
      gitctx checkpoint create yesterday --at 3f2a9c1b40
    """
    made = env.context().checkpoints.create(name, message=message, at=at, id=id)
    if env.json:
        env.output.document(of_checkpoint(made))
    env.output.say(f"checkpoint {made.name} of {made.revision[:10]}")


def list_all(env: Env, *, limited: Limit = None) -> None:
    """List the checkpoints, oldest first.

    Examples:
      gitctx checkpoint list
    """
    for each in islice(env.reading(session=False).checkpoints.list(), limit(limited)):
        if env.json:
            env.output.document(of_checkpoint(each))
            continue
        at = each.created_at.strftime("%Y-%m-%d %H:%M:%SZ")
        parts = (each.name, each.revision[:10], at, each.actor, each.message.partition("\n")[0])
        env.output.line("  ".join(part for part in parts if part))


def show(env: Env, name: Name) -> None:
    """Show one checkpoint.

    Examples:
      gitctx checkpoint show before-refactor
    """
    found = env.reading(session=False).checkpoints.show(name)
    if env.json:
        env.output.document(of_checkpoint(found))
        return
    for title, value in (
        ("name", found.name),
        ("revision", found.revision),
        ("commit", found.commit),
        ("actor", found.actor),
        ("session", found.session),
        ("time", format_time(found.created_at)),
    ):
        if value:
            env.output.line(f"{title:<10} {value}")
    if found.message:
        env.output.line("")
        env.output.line("\n".join(f"    {line}".rstrip() for line in found.message.split("\n")))


def diff(env: Env, name: Name, *, only: Only = "", names: Names = False) -> None:
    """Show how the entries now differ from a checkpoint.

    Examples:
      gitctx checkpoint diff before-refactor
      gitctx checkpoint diff before-refactor --only plan/ --names
    """
    reading = env.reading(session=False)
    print_diff(env, reading, reading.checkpoints.changes_since(name, only=only), names=names)


def restore(
    env: Env,
    name: Name,
    *,
    only: Only = "",
    expected_head: ExpectedHead = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Make the content what it was at a checkpoint, as a new write: nothing of history is lost. Claims stay.

    Examples:
      gitctx checkpoint restore before-refactor --dry-run
      gitctx checkpoint restore before-refactor --only plan/
    """
    written = env.context(dry_run=dry_run).checkpoints.restore(
        name, only=only, message=message, id=id, expected_head=expected_head
    )
    acknowledge(env, f"restore {name}", written, dry_run=dry_run)


def delete(env: Env, name: Name) -> None:
    """Delete a checkpoint. The content that it named may become unreachable.

    Examples:
      gitctx checkpoint delete before-refactor
    """
    gone = env.context().checkpoints.delete(name)
    if env.json:
        env.output.document({**of_checkpoint(gone), "deleted": True})
    env.output.say(f"deleted checkpoint {gone.name} of {gone.revision[:10]}")
