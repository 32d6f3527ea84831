"""`gitctx get` and `gitctx ls`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx_cli.env import Env
from gitctx_cli.inputs import limit
from gitctx_cli.parameters import At, Key, Limit

if TYPE_CHECKING:
    from gitctx.context import Reading
    from gitctx.values import Write


def get(env: Env, key: Key, *, at: At = None) -> None:
    """Print the value at a key, exactly as it is: nothing is appended.

    With --json also its etag, the path for plain git, and who wrote it last and when.

    Examples:
      gitctx get plan/auth.md
      gitctx get plan/auth.md --at before-refactor
      gitctx get plan/auth.md --json | jq -r .etag
    """
    reading = env.reading()
    entry = reading.get(key, at=at)
    if not env.json:
        env.output.data(entry.value)
        return
    from gitctx_cli.documents import of_entry

    env.output.document(of_entry(entry, _last_write(reading, key, at if at is not None else entry.revision)))


def ls(
    env: Env,
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", show_default=False)] = "",
    *,
    at: At = None,
    limited: Limit = None,
    long: Annotated[bool, typer.Option("-l", "--long", help="with etag and size in bytes")] = False,
) -> None:
    """List keys, sorted; only those below a folder if one is named.

    gitctx's own entries are listed by `gitctx ls .gitctx`.

    Examples:
      gitctx ls
      gitctx ls plan/ -l
      gitctx ls --at before-refactor -n 20
    """
    from gitctx_cli.documents import of_info

    for info in islice(env.reading().list(prefix, at=at), limit(limited)):
        if env.json:
            env.output.document(of_info(info))
        elif long:
            env.output.line(f"{info.etag[:10]} {info.size:>9} {info.key}")
        else:
            env.output.line(info.key)


def _last_write(reading: Reading, key: str, at: str) -> Write | None:
    """The last write of a key; of a checkpoint's content, as history tells it for the revision it was taken at."""
    from gitctx.errors import NotFound

    if reading.store.checkpoint_commit(at) is not None:
        try:
            return reading.last_write(key, at=reading.checkpoints.show(at).revision)
        except NotFound:
            pass
    return reading.last_write(key, at=at)
