"""Commands that change entries: `put`, `rm`, `mv`, `append`, `add`, `undo`."""

from __future__ import annotations

from typing import Annotated

import typer

from gitctx_cli import completion
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.env import Env
from gitctx_cli.inputs import read_value
from gitctx_cli.parameters import (
    Base,
    DryRun,
    ExpectedHead,
    File,
    Id,
    IfAbsent,
    IfMatch,
    Key,
    Message,
    Strategy,
    UnderClaim,
)

Text = Annotated[str | None, typer.Argument(metavar="[TEXT|-]", show_default=False)]


def put(
    env: Env,
    key: Key,
    value: Annotated[str | None, typer.Argument(metavar="[VALUE|-]", show_default=False)] = None,
    *,
    file: File = None,
    if_match: IfMatch = None,
    if_absent: IfAbsent = False,
    strategy: Strategy = None,
    base: Base = None,
    claim: UnderClaim = None,
    expected_head: ExpectedHead = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Put a value at a key.

    VALUE is text. `-` reads standard input, and so does no VALUE when standard input isn't a terminal. A VALUE that
    starts with a dash goes after `--`. What is there already is left alone: no write is made then.

    Examples:
      gitctx put plan/auth.md "ship the parser first" -m "agreed with coder-1"
      pytest 2>&1 | gitctx put finding/tests.txt
      gitctx put plan/auth.md --file draft.md --if-match 1f7a7a472abf3dd9643fd615f6da379c4acb3e3a
      gitctx put status/lock "mine" --if-absent
      gitctx put note -- "- a list item"
    """
    data = read_value(env, value, file)
    written = env.context(dry_run=dry_run).put(
        key,
        data,
        message=message,
        if_match=if_match,
        if_absent=if_absent,
        expected_head=expected_head,
        base=base,
        strategy=strategy,
        claim=claim,
        id=id,
    )
    acknowledge(env, "put", written, dry_run=dry_run, given=data)


def rm(
    env: Env,
    key: Key,
    *,
    if_match: IfMatch = None,
    missing_ok: Annotated[bool, typer.Option("--missing-ok", help="no error if there is no entry")] = False,
    strategy: Strategy = None,
    base: Base = None,
    claim: UnderClaim = None,
    expected_head: ExpectedHead = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Remove the entry at a key. Its value stays in history.

    Examples:
      gitctx rm plan/auth.md -m "done"
      gitctx rm plan/auth.md --if-match 1f7a7a472abf3dd9643fd615f6da379c4acb3e3a
    """
    written = env.context(dry_run=dry_run).remove(
        key,
        if_match=if_match,
        missing_ok=missing_ok,
        expected_head=expected_head,
        base=base,
        strategy=strategy,
        message=message,
        claim=claim,
        id=id,
    )
    acknowledge(env, "rm", written, dry_run=dry_run)


def mv(
    env: Env,
    source: Annotated[str, typer.Argument(metavar="A", autocompletion=completion.keys)],
    target: Annotated[str, typer.Argument(metavar="B")],
    *,
    force: Annotated[bool, typer.Option("--force", "-f", help="over an entry that is there")] = False,
    claim: UnderClaim = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Move an entry; with a slash at the end of A, a whole folder.

    Examples:
      gitctx mv plan/auth.md plan/done/auth.md
      gitctx mv plan/ archive/plan/
    """
    written = env.context(dry_run=dry_run).move(source, target, overwrite=force, message=message, claim=claim, id=id)
    acknowledge(env, "mv", written, dry_run=dry_run)


def append(
    env: Env,
    key: Key,
    text: Text = None,
    *,
    file: File = None,
    claim: UnderClaim = None,
    message: Message = "",
    id: Id = None,
) -> None:
    """Add a line (or several) at the end of an entry. Never in conflict; a missing entry is made.

    Examples:
      gitctx append status/log "parser: started"
      make 2>&1 | gitctx append finding/build.log
    """
    data = read_value(env, text, file, what="TEXT")
    acknowledge(env, "append", env.context().append(key, data, message=message, claim=claim, id=id))


def add(
    env: Env,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX/", show_default=False)],
    text: Text = None,
    *,
    file: File = None,
    suffix: Annotated[str, typer.Option("--suffix", metavar="TEXT", help="how the key ends")] = ".md",
    claim: UnderClaim = None,
    message: Message = "",
    id: Id = None,
) -> None:
    """Make a new entry below a folder, with a name that nobody else uses, and print its key.

    Examples:
      gitctx add finding/ "the lexer is quadratic"
      key=$(gitctx add decision/ --file why.md)
    """
    data = read_value(env, text, file, what="TEXT")
    written = env.context().add(prefix, data, suffix=suffix, message=message, claim=claim, id=id)
    if not env.json:
        env.output.line(written.key)
    acknowledge(env, "add", written)


def undo(
    env: Env,
    revision: Annotated[str, typer.Argument(metavar="REV", autocompletion=completion.revisions)],
    *,
    strategy: Strategy = "fail",
    claim: UnderClaim = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Take back what one write did, as a new write.

    Where an entry changed since then, the strategy settles it.

    Examples:
      gitctx undo head
      gitctx undo 3f2a9c1b40 --dry-run
      gitctx undo 3f2a9c1b40 --strategy last-write-wins
    """
    written = env.context(dry_run=dry_run).undo(revision, strategy=strategy, message=message, claim=claim, id=id)
    acknowledge(env, "undo", written, dry_run=dry_run)
