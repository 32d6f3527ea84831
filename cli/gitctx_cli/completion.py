"""What the shell may complete: keys, checkpoints, claims, sessions. Whatever goes wrong, it completes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

import typer

from gitctx.errors import GitctxError

if TYPE_CHECKING:
    from gitctx.context import Reading

_MOST = 500


def _reading(context: typer.Context) -> Reading:
    from gitctx_cli.env import Env

    env = context.find_root().obj
    assert isinstance(env, Env)
    chain: list[typer.Context] = [context]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)  # type: ignore[arg-type]
    for each in reversed(chain):
        env.adopt(store=each.params.get("global_store"), folder=each.params.get("global_folder"))
    return env.reading(session=False)


def _complete(context: typer.Context, incomplete: str, names: Callable[[Reading], Iterable[str]]) -> list[str]:
    try:
        found = (name for name in names(_reading(context)) if name.startswith(incomplete))
        return list(islice(found, _MOST))
    except GitctxError:
        return []


def keys(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of entries below the folder that is written already."""
    folder = incomplete.rpartition("/")[0]
    return _complete(context, incomplete, lambda reading: (info.key for info in reading.list(folder)))


def checkpoints(context: typer.Context, incomplete: str) -> list[str]:
    """Names of checkpoints."""
    return _complete(context, incomplete, lambda reading: (each.name for each in reading.checkpoints.list()))


def revisions(context: typer.Context, incomplete: str) -> list[str]:
    """Names of checkpoints, and the head."""
    return [name for name in ("head",) if name.startswith(incomplete)] + checkpoints(context, incomplete)


def claims(context: typer.Context, incomplete: str) -> list[str]:
    """Names of claims that are held."""
    return _complete(context, incomplete, lambda reading: (each.name for each in reading.claims.list()))


def sessions(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of sessions that haven't ended."""
    return _complete(context, incomplete, lambda reading: (each.record.id for each in reading.sessions.list()))


def remotes(context: typer.Context, incomplete: str) -> list[str]:
    """Names of remotes."""
    return _complete(context, incomplete, lambda reading: (each.name for each in reading.sync.remotes()))


def conflicts(context: typer.Context, incomplete: str) -> list[str]:
    """Keys about which a conflict is open."""
    return _complete(context, incomplete, lambda reading: (each.key for each in reading.sync.conflicts.list()))


def strategies(context: typer.Context, incomplete: str) -> list[str]:
    """Names of strategies."""
    from gitctx.format.strategies import STRATEGIES

    return [name for name in sorted(STRATEGIES) if name.startswith(incomplete)]


def settings(context: typer.Context, incomplete: str) -> list[str]:
    """Names of settings."""
    from gitctx.format.settings import NAMES

    names = sorted(name.removesuffix("<prefix>") for name in NAMES)
    return [name for name in names if name.startswith(incomplete)]
