"""`gitctx recovery`: what is damaged, restoring it, and taking that back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.documents import of_recovered, of_scan
from gitctx_cli.env import Env
from gitctx_cli.parameters import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitctx.recovery import Recovery
    from gitctx.values import Missed, Recovered, RecoveryScan

Full = Annotated[bool, typer.Option("--full", help="look into every older revision too")]

_NAMED = 3
"""Of what a recovery couldn't give back, so many are named in its one line."""


def scan(env: Env, *, full: Full = False) -> None:
    """Tell what is damaged and what can be restored. Nothing is changed.

    Every file with objects is read and hashed. Whether something is missing from older revisions is looked at when a
    file is broken, or with --full.

    Examples:
      gitctx recovery scan
      gitctx recovery scan --json | jq .damage
    """
    found = _recovery(env).scan(full=full)
    if env.json:
        env.output.document(of_scan(found))
    else:
        _show(env, found)


def apply(env: Env, *, full: Full = False) -> None:
    """Restore what can be restored: as a new commit, beside whoever writes. A healthy store is left alone.

    Broken files are moved to a folder in the store's own `gitctx/quarantine`, and the old head stays below
    `refs/gitctx/rescue`: nothing is deleted. `gitctx recovery undo` takes back what it made of the entries.

    Examples:
      gitctx recovery apply
      gitctx recovery apply --json | jq '.lost, .stale, .resurrected'
    """
    done = _recovery(env).apply(full=full)
    if env.json:
        env.output.document(of_recovered(done))
        return
    _show(env, done.scan)
    if done.changed:
        env.output.say(f"recovered: {summary(done)}")
        if done.quarantine is not None:
            env.output.say(f"what was broken is kept in {done.quarantine}")


def undo(
    env: Env,
    id: Annotated[str | None, typer.Argument(metavar="ID", help="of the recovery; the last one, if left out")] = None,
    *,
    message: Message = "",
) -> None:
    """Take back what a recovery made of the entries: values that stood in, and what was merged in.

    Examples:
      gitctx recovery undo
      gitctx recovery undo 01JD3V8Q6ZK6Y4E9T0A7B2C5DF -m "I have a backup"
    """
    acknowledge(env, "undo recovery", _recovery(env).undo(id, message=message))


def summary(done: Recovered) -> str:
    """A recovery in a line."""
    missed = (("lost", done.scan.lost), ("stale", done.scan.stale), ("resurrected", done.scan.resurrected))
    told = [f"{len(items)} {name} ({_some(items)})" for name, items in missed if items]
    counts = ", ".join(told) or "nothing is lost"
    head = f"{done.scan.best[:10]} (from the {done.scan.source})" if done.scan.best else "the head"
    return f"went on from {head}; {counts}; undo with `gitctx recovery undo {done.id}`"


def _some(items: Sequence[Missed]) -> str:
    names = [each.key if each.key is not None else f"revision {(each.revision or '')[:10]}" for each in items[:_NAMED]]
    return ", ".join(names) + (", ..." if len(items) > _NAMED else "")


def _recovery(env: Env) -> Recovery:
    from gitctx.recovery import Recovery

    env.may_recover = False
    return Recovery(env.store_path(), actor=env.actor_of(None, None))


def _show(env: Env, found: RecoveryScan) -> None:
    if found.healthy:
        env.output.line(f"sound: the context is at {found.best[:10] if found.best else 'nothing'}")
        return
    for each in found.damage:
        env.output.line(f"damage ({each.code}): {each.text}")
    env.output.line(f"best: {found.best} (from the {found.source})" if found.best else "best: nothing holds together")
    for name, missed in (("lost", found.lost), ("stale", found.stale), ("resurrected", found.resurrected)):
        _list(env, name, missed)


def _list(env: Env, name: str, missed: Sequence[Missed]) -> None:
    for each in missed:
        where = "" if each.branch == "context" else f" ({each.branch})"
        what = each.key if each.key is not None else "the whole revision"
        env.output.line(f"{name}: {what}{f' of {each.revision}' if each.revision else ''}{where}")
