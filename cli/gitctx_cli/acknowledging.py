"""How a write is told to the user: JSON, or a line of talk; after a dry run, what would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitctx.format.objects import blob_id
from gitctx_cli.documents import of_written

if TYPE_CHECKING:
    from gitctx.values import Written
    from gitctx_cli.env import Env

_NAMED = 3


def acknowledge(env: Env, op: str, written: Written, *, dry_run: bool = False, given: bytes | None = None) -> None:
    """Tell what a write did, or would do. `given` is the value that was to be put: the entry may hold a merged one."""
    if env.json:
        env.output.document({**of_written(written), "dry_run": True} if dry_run else of_written(written))
    elif dry_run:
        _foretell(env, written)
    elif not written.changed:
        env.output.say(f"unchanged {_names(written)}".rstrip())
    else:
        env.output.say(f"{op} {_names(written)} {written.revision[:10]}")
    if written.superseded and not dry_run:
        count = len(written.superseded)
        env.output.say(
            f"note: {count} value{'s' if count > 1 else ''} that came in between {'were' if count > 1 else 'was'}"
            f" superseded and {'stay' if count > 1 else 'stays'} in history: {', '.join(written.superseded)}"
        )
    if given is not None and blob_id(given) not in {entry.etag for entry in written.entries}:
        env.output.say("note: merged with what came in between; read it before you change it again")


def _foretell(env: Env, written: Written) -> None:
    if not written.changed:
        env.output.line("nothing would change")
        return
    for entry in written.entries:
        if entry.etag is None:
            env.output.line(f"would remove {entry.key}")
        else:
            env.output.line(f"would put {entry.key} {entry.etag[:10]}")


def _names(written: Written) -> str:
    keys = [entry.key for entry in written.entries]
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
