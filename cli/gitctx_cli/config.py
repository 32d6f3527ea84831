"""`gitctx config`: the settings that travel with the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitctx.errors import ConfigInvalid, EntryNotFound
from gitctx.format.keys import SETTINGS_KEY
from gitctx_cli import completion
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.env import Env
from gitctx_cli.parameters import DryRun, Id, Message

if TYPE_CHECKING:
    from gitctx.context import Reading

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.settings)]


def list_settings(env: Env) -> None:
    """Show the settings in force, and which of them are set.

    Examples:
      gitctx config list
      gitctx config list --json
    """
    reading = env.reading(session=False)
    raw = _raw(reading)
    for name, value in sorted(_in_force(reading).items()):
        is_set = name in raw
        if env.json:
            env.output.document({"name": name, "value": value, "set": is_set})
        else:
            env.output.line(f"{name} = {_shown(value)}{'' if is_set else ' (default)'}")
    for problem in reading.settings().problems:
        env.output.say(f"warning: {problem}")


def get(env: Env, name: Name) -> None:
    """Print the value of one setting as it is in force.

    Examples:
      gitctx config get limits.max_value_bytes
      gitctx config get strategies.decision/
    """
    from gitctx.format.settings import DEFAULTS, check

    reading = env.reading(session=False)
    in_force = _in_force(reading)
    table, _, prefix = name.partition(".")
    if table == "strategies":
        check(name, DEFAULTS.strategy_for(""))
        value: Any = reading.settings().strategy_for(prefix)
    elif table == "merge":
        check(name, {})
        value = reading.settings().rules_for(prefix).as_document()
    elif name in in_force:
        value = in_force[name]
    else:
        check(name, None)
    if env.json:
        env.output.document({"name": name, "value": value, "set": name in _raw(reading)})
    else:
        env.output.line(_shown(value))


def set_value(
    env: Env,
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE")],
    *,
    message: Message = "",
    id: Id = None,
    dry_run: DryRun = False,
) -> None:
    """Change one setting: strategies.PREFIX, merge.PREFIX, limits.max_value_bytes, claims.ttl_s,
    sessions.take_over_silent_after_s, rotation.auto, rotation.keep_writes, rotation.keep_days.

    VALUE is read as TOML (2000000, true, "text"), or as a JSON object, or else as text.

    Examples:
      gitctx config set limits.max_value_bytes 2000000
      gitctx config set strategies.decision/ fail -m "decisions are never overwritten unseen"
      gitctx config set merge.status/ '{"counters": ["/done"], "sets": ["/tags"]}'
    """
    written = env.context(dry_run=dry_run).configure(name, _parsed(value), message=message, id=id)
    acknowledge(env, f"config {name}", written, dry_run=dry_run)


def unset(env: Env, name: Name, *, message: Message = "", id: Id = None, dry_run: DryRun = False) -> None:
    """Put one setting back to its default.

    Examples:
      gitctx config unset limits.max_value_bytes
    """
    written = env.context(dry_run=dry_run).configure(name, None, message=message, id=id)
    acknowledge(env, f"config {name}", written, dry_run=dry_run)


def edit(env: Env, *, message: Message = "", id: Id = None) -> None:
    """Edit the settings file in your editor. What isn't valid is refused, and kept for you.

    Examples:
      gitctx config edit
    """
    from gitctx.format.settings import parse_settings
    from gitctx_cli.editing import edited

    context = env.context()
    try:
        entry = context.get(SETTINGS_KEY)
        before, etag = entry.value, entry.etag
    except EntryNotFound:
        before, etag = b"", None
    with edited(env, before, name="settings.toml") as after:
        problems = parse_settings(after).problems
        if problems and after != before:
            raise ConfigInvalid("; ".join(problems), hint="mend it and try again")
        written = context.replace_settings(
            after if after or etag else None,
            if_match=etag,
            if_absent=etag is None and bool(after),
            message=message,
            id=id,
        )
    acknowledge(env, "config", written)


def reset(env: Env, *, message: Message = "", id: Id = None, dry_run: DryRun = False) -> None:
    """Put every setting back to its default.

    Examples:
      gitctx config reset
    """
    written = env.context(dry_run=dry_run).replace_settings(None, message=message, id=id)
    acknowledge(env, "config", written, dry_run=dry_run)


def _in_force(reading: Reading) -> dict[str, Any]:
    settings = reading.settings()
    return {
        "claims.ttl_s": settings.claim_ttl_s,
        "sessions.take_over_silent_after_s": settings.take_over_silent_after_s,
        "rotation.auto": settings.rotation.auto,
        "rotation.keep_writes": settings.rotation.keep_writes,
        "rotation.keep_days": settings.rotation.keep_days,
        "limits.max_value_bytes": settings.max_value_bytes,
        **{f"strategies.{prefix}": strategy for prefix, strategy in settings.strategies.items()},
        **{f"merge.{prefix}": rules.as_document() for prefix, rules in settings.merge_rules.items()},
    }


def _raw(reading: Reading) -> dict[str, Any]:
    """What the file says, valid or not; nothing if it can't be read."""
    import tomllib

    from gitctx.format.settings import flatten

    try:
        return flatten(tomllib.loads(reading.get(SETTINGS_KEY).text()))
    except (EntryNotFound, ValueError, RecursionError):
        return {}


def _parsed(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, KeyError, RecursionError):
        return _object_or_text(text)


def _object_or_text(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text


def _shown(value: Any) -> str:
    if value is None:
        return "never"
    if isinstance(value, (bool, dict)):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)
