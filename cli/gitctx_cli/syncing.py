"""`gitctx sync`: exchange with remotes; and the switch that silences all watchers of a store."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gitctx_cli import completion
from gitctx_cli.documents import of_exchanged, of_pause
from gitctx_cli.ending import until_told
from gitctx_cli.env import Env
from gitctx_cli.inputs import seconds
from gitctx_cli.parameters import Message

if TYPE_CHECKING:
    from gitctx.errors import GitctxError
    from gitctx.sync.sync import Sync
    from gitctx.values import Exchanged, SyncPause

REMOTE_FAILED = 8


def sync(
    env: Env,
    what: Annotated[
        str | None, typer.Argument(metavar="[REMOTE|pause|resume]", autocompletion=completion.remotes)
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="go on until it is stopped")] = False,
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="with --watch: how often to ask the remote")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy", metavar="NAME", help="settle every conflict this way", autocompletion=completion.strategies
        ),
    ] = None,
    merge_apart: Annotated[
        bool, typer.Option("--merge-apart", help="merge a store there that began apart from this one")
    ] = False,
    message: Message = "",
) -> None:
    """Exchange with a remote, or with all: take in what others wrote, merge it by key, and send what is new here.

    Writes here never wait for the network; many travel in one push. With --watch it goes on: a write here is sent at
    once, what others send is taken in about a second later. `pause` silences every watcher of this store on this
    machine (`gitctx watch`, live sessions, `gitctx sync --watch`) until `resume`; nothing is missed.

    Exit code 8 if a remote can't be reached or refuses something. Nothing here is lost then.

    Examples:
      gitctx sync
      gitctx sync origin --watch
      gitctx sync pause -m "moving the server"
      gitctx sync resume
    """
    if what in ("pause", "resume"):
        _switch(env, what, message)
        return
    context = env.context()
    if watch:
        _watch(env, what, every, strategy)
        return
    from gitctx.errors import GitctxError

    names = [what] if what is not None else [each.name for each in context.sync.remotes()]
    if not names:
        context.sync.remote()
    failed: GitctxError | None = None
    complete = True
    for name in names:
        try:
            report = until_told(partial(_exchange, context.sync, name, strategy, merge_apart))
        except GitctxError as error:
            if len(names) == 1:
                raise
            failed = error
            env.output.complain(f"error: {name}: {error.message}")
            continue
        complete = complete and report.complete
        tell(env, report)
    if failed is not None:
        raise failed
    if not complete:
        raise typer.Exit(REMOTE_FAILED)


def _watch(env: Env, name: str | None, every: str | None, strategy: str | None) -> None:
    from gitctx.errors import GitctxError

    interval_s = seconds(every, option="--every") if every is not None else None
    guard = threading.Lock()

    def on_report(remote: str, report: Exchanged | GitctxError) -> None:
        with guard:
            if isinstance(report, GitctxError):
                env.output.complain(f"warning: {remote}: {report.message}")
            else:
                tell(env, report)
            env.output.flush()

    sync = env.context().sync
    names = [name] if name is not None else None

    def keep(stop: threading.Event) -> None:
        sync.keep_exchanging(names, on_report=on_report, stop=stop, interval_s=interval_s, strategy=strategy)

    until_told(keep)


def _exchange(sync: Sync, remote: str, strategy: str | None, merge_apart: bool, stop: threading.Event) -> Exchanged:
    return sync.exchange(remote, strategy=strategy, merge_apart=merge_apart, stop=stop)


def _switch(env: Env, what: str, message: str) -> None:
    from gitctx.sync.switch import pause, resume

    context = env.context()
    path = context.store.path
    found: SyncPause | None
    if what == "pause":
        at = context.store.config.clock()
        found = pause(path, actor=context.actor, at=at, session=context.session, message=message)
        env.output.say("paused: watchers of this store are told nothing until `gitctx sync resume`")
    else:
        found = resume(path)
        env.output.say("resumed" if found is not None else "it wasn't paused")
    if env.json:
        env.output.document({"paused": what == "pause", "pause": of_pause(found) if found is not None else None})


def tell(env: Env, report: Exchanged) -> None:
    """What an exchange did: JSON, or a few lines."""
    if env.json:
        env.output.document(of_exchanged(report))
        return
    parts = []
    for each in report.branches:
        counts = [f"{number} {word}" for number, word in ((each.received, "received"), (each.sent, "sent")) if number]
        if counts:
            parts.append(f"{each.branch} {' and '.join(counts)}")
    tags = report.checkpoints
    for word, names in (("received", tags.received), ("sent", tags.sent), ("deleted", tags.deleted)):
        if names:
            parts.append(f"{len(names)} checkpoint{'s' if len(names) != 1 else ''} {word}")
    env.output.line(f"{report.remote}: {', '.join(parts) or 'nothing new'}")
    for line in _notes(report):
        env.output.say(line)


def _notes(report: Exchanged) -> list[str]:
    lines = []
    for each in report.branches:
        if each.forced_back is not None:
            lines.append(
                f"note: {report.remote} was set back: it had {each.forced_back[:10]} as its {each.branch};"
                " nothing here was taken back"
            )
        if each.rejoined:
            lines.append(
                f"note: {report.remote} takes no rewritten history, so the rotation of {each.branch} was taken back"
            )
        lines += [f"settled {one.key}: {one.strategy}, {one.kept[:10]} after {one.lost[:10]}" for one in each.settled]
        lines += [f"moved {one.key} to {one.moved_to}: an entry and a folder had one name" for one in each.moved]
        lines += [f"open conflict {one.id} about {one.key}: see `gitctx conflict list`" for one in each.opened]
        if each.refused:
            lines.append(f"warning: {report.remote} refused the branch {each.branch}: {each.refused}")
    tags = report.checkpoints
    lines += [
        f"note: the checkpoint {old} is called {new} now: {report.remote} has another {old}"
        for old, new in tags.renamed
    ]
    lines += [
        f"note: the checkpoint {name} was deleted on {report.remote}; it stays here (`gitctx checkpoint delete {name}`)"
        for name in tags.gone
    ]
    lines += [f"warning: the checkpoint {name} was refused: {reason}" for name, reason in tags.refused]
    return lines
