"""`gitctx claim`, `gitctx release` and `gitctx claims`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from gitctx.format.documents import format_time
from gitctx_cli import completion
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.documents import of_claim
from gitctx_cli.env import Env
from gitctx_cli.inputs import limit, seconds
from gitctx_cli.parameters import Id, Limit, Message

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.claims)]


def claim(
    env: Env,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="for how long: 30m (the default), 90s, 2h, 1d")
    ] = None,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="TIME", help="wait so long for it to become free")
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="extend a claim that you hold")] = False,
    remote: Annotated[
        bool, typer.Option("--remote", help="only when the remote has it: against other machines, too")
    ] = False,
    message: Message = "",
    id: Id = None,
) -> None:
    """Hold a piece of work so that nobody else takes it. Of several who ask, one gets it; the others exit with 4 and
    learn who holds it.

    It ends when you release it, when its time is up, or when your session ends or is found dead. Without --remote it
    holds on this machine at once, and elsewhere once it is exchanged, unless somebody was faster there.

    Examples:
      gitctx claim refactor-auth --ttl 30m -m "moving to tokens"
      gitctx claim deploy --wait 60s && ./deploy.sh && gitctx release deploy
      gitctx claim release-1.2 --remote
    """
    ttl_s = seconds(ttl, option="--ttl") if ttl is not None else None
    wait_s = seconds(wait, option="--wait") if wait is not None else 0.0
    context = env.context()
    claim_it = context.sync.claim if remote else context.claims.claim
    made = claim_it(name, ttl_s=ttl_s, message=message, wait_s=wait_s, renew=renew, id=id)
    if env.json:
        env.output.document(of_claim(made))
    env.output.say(f"claimed {made.name} until {format_time(made.expires_at)}")


def release(
    env: Env,
    name: Name,
    *,
    force: Annotated[bool, typer.Option("--force", "-f", help="even if somebody else holds it")] = False,
    message: Message = "",
    id: Id = None,
) -> None:
    """Give a claim up.

    Examples:
      gitctx release refactor-auth
      gitctx release refactor-auth --force -m "its owner is on holiday"
    """
    written = env.context().claims.release(name, force=force, message=message, id=id)
    if env.json:
        acknowledge(env, "release", written)
    else:
        env.output.say(f"released {name} {written.revision[:10]}")


def list_all(env: Env, *, limited: Limit = None) -> None:
    """List claims: what, who holds it, whether they live, until when, and why.

    Examples:
      gitctx claims
      gitctx claims --json
    """
    for each in islice(env.reading(session=False).claims.list(), limit(limited)):
        if env.json:
            env.output.document(of_claim(each))
            continue
        parts = (each.name, each.actor, each.holder_state, f"until {format_time(each.expires_at)}", each.message)
        env.output.line("  ".join(part.partition("\n")[0] for part in parts if part))
