"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from gitctx_cli import completion

Message = Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="why", show_default=False)]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="idempotency key: repeated with the same id, it happens once"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would change, and write nothing")]
IfMatch = Annotated[str | None, typer.Option("--if-match", metavar="ETAG", help="only if the entry has this etag")]
IfAbsent = Annotated[bool, typer.Option("--if-absent", help="only if there is no entry")]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="if somebody else changed it meanwhile: last-write-wins, merge, or fail",
        autocompletion=completion.strategies,
    ),
]
Base = Annotated[str | None, typer.Option("--base", metavar="REV", help="the revision that the change is built on")]
ExpectedHead = Annotated[
    str | None, typer.Option("--expected-head", metavar="REV", help="only if nothing was written since this revision")
]
UnderClaim = Annotated[
    str | None,
    typer.Option("--claim", metavar="NAME", help="only if you hold this claim", autocompletion=completion.claims),
]
Limit = Annotated[int | None, typer.Option("-n", metavar="N", help="at most so many")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="REV", help="at a revision or checkpoint", autocompletion=completion.revisions),
]
Only = Annotated[
    str,
    typer.Option(
        "--only", metavar="PREFIX", help="only below this folder", show_default=False, autocompletion=completion.keys
    ),
]
Key = Annotated[str, typer.Argument(metavar="KEY", autocompletion=completion.keys, show_default=False)]
File = Annotated[str | None, typer.Option("--file", metavar="PATH", help="take the value from a file")]
