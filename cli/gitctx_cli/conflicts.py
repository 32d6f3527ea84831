"""`gitctx conflict`: what the strategy `fail` left open at an exchange."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.documents import of_bytes, of_conflict
from gitctx_cli.env import Env
from gitctx_cli.inputs import limit, read_value
from gitctx_cli.parameters import Id, Limit, Message


def list_all(env: Env, *, limited: Limit = None) -> None:
    """List conflicts that wait for a decision: the earlier write stands at the key, the later one waits.

    Examples:
      gitctx conflict list
      gitctx conflict list --json | jq -r .waiting.value
    """
    sync = env.reading(session=False).sync
    for each in islice(sync.conflicts.list(), limit(limited)):
        if env.json:
            waiting = sync.conflicts.waiting_value(each)
            document = of_conflict(each)
            document["waiting"] |= of_bytes(waiting) if waiting is not None else {"value": None}
            env.output.document(document)
            continue
        env.output.line(f"{each.id}  {each.key}")
        for word, side in (("stands", each.standing), ("waits", each.waiting)):
            what = side.etag[:10] if side.etag is not None else "removal"
            at = format_time(side.written_at)
            env.output.line(f"    {word:<7} {what:<11} {side.actor}  {at}  {side.revision[:10]}")


def resolve(
    env: Env,
    what: Annotated[str, typer.Argument(metavar="ID|KEY", autocompletion=completion.conflicts)],
    value: Annotated[str | None, typer.Argument(metavar="[VALUE|-]")] = None,
    *,
    standing: Annotated[bool, typer.Option("--standing", help="keep what the key holds now")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="put what waits in its place")] = False,
    file: Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="put what a file holds")] = None,
    message: Message = "",
    id: Id = None,
) -> None:
    """Settle a conflict: with what stands, with what waits, or with a value of your own. One write does both.

    Examples:
      gitctx conflict resolve decision/db.md --waiting -m "measured again"
      gitctx conflict resolve 3f2a9c1b40d15e77 "postgres, as of today"
    """
    from gitctx_cli.failures import UsageError

    if standing + waiting + (value is not None or file is not None) > 1:
        raise UsageError("a conflict is settled in one way", hint="give --standing, --waiting, or a value")
    conflicts = env.context().sync.conflicts
    if standing:
        written = conflicts.keep(what, message=message, id=id)
    elif waiting:
        written = conflicts.take(what, message=message, id=id)
    else:
        written = conflicts.put(what, read_value(env, value, file), message=message, id=id)
    acknowledge(env, "resolve", written)
