"""`gitctx remote`: the remotes that the store is exchanged with."""

from __future__ import annotations

from typing import Annotated

import typer

from gitctx_cli import completion
from gitctx_cli.documents import of_remote
from gitctx_cli.env import Env

_LOOK_S = 10.0
Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.remotes)]


def add(
    env: Env,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    url: Annotated[str, typer.Argument(metavar="URL")],
    *,
    own: Annotated[
        bool, typer.Option("--own", help="it holds nothing but the store: use refs/heads and refs/tags")
    ] = False,
    shared: Annotated[bool, typer.Option("--shared", help="it holds a project too: use refs/gitctx")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="don't ask the remote anything now")] = False,
) -> None:
    """Add a remote: any git server, or a bare repository at a path. Nothing is sent before `gitctx sync`.

    Where the store's refs go there is found out by itself: where a store is already, else below refs/gitctx if the
    remote holds a project too. Credentials are git's own.

    Examples:
      gitctx remote add origin git@example.com:team/context.git
      gitctx remote add origin "$(git remote get-url origin)"
      gitctx remote add backup /mnt/backup/context.git
    """
    from gitctx.errors import RemoteError
    from gitctx.repository.discovery import remotes_of_project
    from gitctx.repository.network import hidden
    from gitctx.repository.remotes import OWN, SHARED
    from gitctx_cli.failures import UsageError

    if own and shared:
        raise UsageError("--own and --shared contradict each other", hint="give one of them, or none")
    namespace = OWN if own else SHARED if shared else ""
    if not namespace and url in remotes_of_project(env.start).values():
        namespace = SHARED
    sync = env.reading(session=False).sync
    remote = sync.add_remote(name, _absolute(env, url), namespace=namespace)
    env.output.say(f"added {name} ({hidden(remote.url)}); `gitctx sync` exchanges with it")
    holds = None
    if not no_check:
        try:
            holds = sync.holds_store(name, timeout_s=_LOOK_S)
            env.output.say("it holds a store already" if holds else "it holds no store yet")
        except RemoteError as error:
            env.output.say(f"warning: {error.message}")
    if env.json:
        env.output.document({**of_remote(remote), "holds_store": holds})


def list_all(env: Env) -> None:
    """List the store's remotes.

    Examples:
      gitctx remote list
    """
    from gitctx.repository.network import hidden

    for remote in env.reading(session=False).sync.remotes():
        if env.json:
            env.output.document(of_remote(remote))
        else:
            place = f"  {remote.namespace}" if remote.namespace else ""
            env.output.line(f"{remote.name}  {hidden(remote.url)}{place}")


def remove(env: Env, name: Name) -> None:
    """Forget a remote. What is there stays there, and what came from there stays here.

    Examples:
      gitctx remote remove backup
    """
    remote = env.reading(session=False).sync.remove_remote(name)
    env.output.say(f"removed {name}")
    if env.json:
        env.output.document(of_remote(remote))


def _absolute(env: Env, url: str) -> str:
    """A path as git will find it from anywhere; anything else as it is."""
    from gitctx.repository.remotes import is_local

    return str(env.path(url).absolute()) if is_local(url) else url
