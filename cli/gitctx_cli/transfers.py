"""`gitctx export` and `gitctx import`: entries as files, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitctx.store.edits import Put
from gitctx.store.transfer import export_entries, gather_files
from gitctx_cli import completion
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.documents import of_written
from gitctx_cli.env import Env
from gitctx_cli.parameters import At, DryRun, Id, Message, UnderClaim

if TYPE_CHECKING:
    from gitctx.store.transfer import Skipped

Folder = Annotated[str, typer.Argument(metavar="DIR")]


def export(
    env: Env,
    folder: Folder,
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", autocompletion=completion.keys)] = "",
    *,
    at: At = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="replace files that hold something else")] = False,
) -> None:
    """Write entries to files: `DIR/<key>` each, all of them or those below a folder.

    If a file is in the way that holds something else, nothing is written. Nothing is written outside DIR.

    Examples:
      gitctx export context/
      gitctx export backup/ plan/ --at before-refactor
    """
    store = env.reading(session=False).store
    revision = store.resolve(at) if at is not None else store.context.head()
    done = export_entries(store.context.view(revision), env.path(folder), prefix, force=force)
    _tell_skipped(env, done.skipped)
    if env.json:
        document = {"folder": str(env.path(folder)), "revision": revision, "written": list(done.written)}
        env.output.document({**document, "unchanged": list(done.unchanged), "skipped": _documents(done.skipped)})
    env.output.say(f"exported {len(done.written)} to {folder}" + _were_there(len(done.unchanged)))


def import_folder(
    env: Env,
    folder: Folder,
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX/]", autocompletion=completion.keys)] = "",
    *,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="leave out files whose names can't be keys")
    ] = False,
    claim: UnderClaim = None,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Put every file below DIR, exactly as it is, as one write; entries without a file stay.

    Symbolic links and `.git` are left out. If a name can't be a key, nothing is imported and all such names are told.

    Examples:
      gitctx import notes/ --dry-run
      gitctx import ../plans plan/ -m "moved over from the wiki"
    """
    context = env.context(dry_run=dry_run)
    gathered = gather_files(env.path(folder), prefix, skip_invalid=skip_invalid)
    _tell_skipped(env, gathered.skipped)
    edits = [Put(key, data) for key, data in gathered.entries]
    written = context.apply(edits, message=message or f"import {len(edits)} files", claim=claim, id=id)
    if env.json:
        more: dict[str, Any] = {"skipped": _documents(gathered.skipped)}
        env.output.document({**of_written(written), **more, **({"dry_run": True} if dry_run else {})})
    else:
        acknowledge(env, "import", written, dry_run=dry_run)


def _tell_skipped(env: Env, skipped: Sequence[Skipped]) -> None:
    for each in skipped:
        env.output.say(f"note: {each.path} is left out: {each.reason}")


def _documents(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    return [{"path": each.path, "reason": each.reason} for each in skipped]


def _were_there(count: int) -> str:
    return f" ({count} {'was' if count == 1 else 'were'} there already)" if count else ""
