"""`gitctx maintain`: keeping the store small and quick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx_cli.documents import of_maintained
from gitctx_cli.env import Env

if TYPE_CHECKING:
    from gitctx.maintenance.maintenance import OnProgress
    from gitctx.store import Store
    from gitctx.values import Maintained


def maintain(
    env: Env,
    *,
    full: Annotated[bool, typer.Option("--full", help="do what could wait, too; it goes over all of history")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what is due, and change nothing")] = False,
    one_slice: Annotated[
        bool, typer.Option("--slice", help="at a low priority, no more than a slice of each step, as it does by itself")
    ] = False,
) -> None:
    """Keep the store small and quick: repack, write the commit-graph, pack refs, cut off old lines of reflogs, give
    back what nothing reaches any more and whose grace has ended, clear what killed programs left.

    Only what is due is done. Writers and readers go on meanwhile, and it may be killed at any moment. It goes on by
    itself after writes unless the setting `maintenance.auto` is false.

    Examples:
      gitctx maintain --dry-run
      gitctx maintain --full
    """
    from gitctx.maintenance.maintenance import Maintenance

    store = env.open_store()
    if not dry_run:
        _rotate_if_due(env, store)
    with _progress(env, wanted=not dry_run and not one_slice) as told:
        done = Maintenance(store).run(full=full, dry_run=dry_run, gentle=one_slice, on_progress=told)
    if env.json:
        env.output.document(of_maintained(done))
    else:
        _show(env, done, dry_run=dry_run)


def _rotate_if_due(env: Env, store: Store) -> None:
    """Squash what the settings say, and let go of old heads whose grace has ended, so that their space comes back."""
    from gitctx.context.upkeep import rotate_if_due
    from gitctx.errors import GitctxError

    try:
        for each in rotate_if_due(store, actor=env.actor_of(store, None)):
            env.output.say(f"rotated {each.plan.branch}: kept {each.plan.kept} writes, squashed {each.plan.squashed}")
    except GitctxError as error:
        env.output.say(f"warning: {error.message}")


def _show(env: Env, done: Maintained, *, dry_run: bool) -> None:
    if not done.ran:
        env.output.say("another program maintains this store")
    for each in done.steps:
        words = {"due": each.why, "done": each.text, "put_off": f"put off: {each.text}"}
        env.output.line(f"{each.name:<12} {words[each.state]}")
    for finding in done.kept:
        env.output.say(f"note: {finding.text}")
    if done.ran and not done.steps:
        env.output.say("nothing is due")
    elif done.ran and not dry_run:
        env.output.say(f"{_mib(done.bytes_before)} before, {_mib(done.bytes_after)} now")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


@contextmanager
def _progress(env: Env, *, wanted: bool) -> Iterator[OnProgress | None]:
    """A bar on standard error while the block runs, if that is a terminal and talk is wanted."""
    if not wanted or env.output.quiet or not env.output.talks_to_terminal:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking", total=1.0)
        yield lambda name, part: bar.update(task, description=name, completed=part)
