"""`gitctx rotate`: old history gives way to one commit that stands for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx.format.documents import format_time
from gitctx_cli.documents import of_rotated, of_rotation_plan
from gitctx_cli.env import Env
from gitctx_cli.inputs import seconds, size
from gitctx_cli.parameters import DryRun

if TYPE_CHECKING:
    from gitctx.values import Rotated, RotationPlan


def rotate(
    env: Env,
    *,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", help="keep the newest N writes (50, if nothing is said)")
    ] = None,
    keep_for: Annotated[
        str | None, typer.Option("--keep-for", metavar="TIME", help="keep what is younger: 30d, 12h")
    ] = None,
    keep_size: Annotated[
        str | None, typer.Option("--keep-size", metavar="SIZE", help="keep as much as fits: 500k, 20M, 1G")
    ] = None,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="FILE", help="write all that there is to a git bundle before")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="bring back what the last rotation squashed")] = False,
    dry_run: DryRun = False,
) -> None:
    """Squash old history: the newest writes stay, one commit stands for all that were before them.

    Values, checkpoints and claims stay as they are, and each key still knows its last write. Of several --keep options
    the one that keeps most counts. Names of kept revisions stay valid. Writers go on meanwhile. The old history can be
    brought back for two weeks (--undo).

    Examples:
      gitctx rotate --dry-run
      gitctx rotate --keep 1000 --keep-for 30d
      gitctx rotate --archive ~/context-2026.bundle
      gitctx rotate --undo
    """
    from gitctx_cli.failures import UsageError

    context = env.context()
    rotation = context.rotation
    if undo:
        if dry_run or any(each is not None for each in (keep, keep_for, keep_size, archive)):
            raise UsageError("--undo goes with no other option", hint="say only --undo")
        _tell(env, rotation.undo(), undone=True)
        return
    since = None
    if keep_for is not None:
        since = context.store.config.clock() - timedelta(seconds=seconds(keep_for, option="--keep-for"))
    keep_bytes = size(keep_size, option="--keep-size") if keep_size is not None else None
    if dry_run:
        _foretell(env, rotation.plan(keep=keep, keep_since=since, keep_bytes=keep_bytes))
        return
    path = env.path(archive) if archive is not None else None
    _tell(env, rotation.apply(keep=keep, keep_since=since, keep_bytes=keep_bytes, archive=path), undone=False)


def _foretell(env: Env, plan: RotationPlan) -> None:
    if env.json:
        env.output.document({**of_rotation_plan(plan), "dry_run": True})
    elif plan.stands_for is None:
        env.output.line(f"nothing to squash: {plan.kept} writes are kept")
    else:
        assert plan.since is not None
        assert plan.until is not None
        env.output.line(f"would keep {plan.kept} writes and squash {plan.squashed}")
        env.output.line(f"from {format_time(plan.since)} to {format_time(plan.until)}, up to {plan.stands_for[:10]}")
        for actor, count in plan.actors:
            env.output.line(f"  {count:>8}  {actor}")


def _tell(env: Env, done: Sequence[Rotated], *, undone: bool) -> None:
    for each in done:
        if env.json:
            env.output.document({**of_rotated(each), "undone": undone})
        elif undone:
            env.output.line(f"{each.plan.branch}: {each.plan.kept} writes are back")
        elif each.changed:
            env.output.line(f"{each.plan.branch}: kept {each.plan.kept} writes, squashed {each.plan.squashed}")
        else:
            env.output.line(f"{each.plan.branch}: nothing to squash")
