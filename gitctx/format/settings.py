"""`.gitctx/settings.toml`: what travels with the store. Pure: from bytes to Settings, and back with comments kept.

[strategies]
"decision/" = "fail"          # per key prefix; the longest one that fits counts
"status/" = "merge"

[merge]
"status/" = {counters = ["/done"], sets = ["/tags"], appends = ["/log"]}   # places in JSON values, per key prefix

[limits]
max_value_bytes = 1048576

[claims]
ttl_s = 1800

[sessions]
take_over_silent_after_s = 86400   # not set: never

[maintenance]
auto = true
grace_s = 1209600
[rotation]
auto = true                        # rotate by itself when history is twice what is kept
keep_writes = 10000                # the newest writes, and those of so many days, whichever is more
keep_days = 90
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from gitctx.config import DEFAULT_MAX_VALUE_BYTES
from gitctx.errors import ConfigInvalid, InvalidKey
from gitctx.format.keys import check_prefix
from gitctx.format.merge_rules import NO_RULES, MergeRules, read_rules
from gitctx.format.strategies import LAST_WRITE_WINS, STRATEGIES

MAX_VALUE_BYTES_CEILING = 1024**3
_Value = TypeVar("_Value")
LEAST_SILENCE_S = 7200.0
"""So long a heartbeat isn't even suspicious: one long call of a tool may take it."""
DEFAULT_GRACE_S = 14 * 24 * 3600.0
LEAST_GRACE_S = 3600.0
"""A plain push may be under way for so long, and what it brought isn't reached before its end."""


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """Whether the store rotates by itself when its history is twice what is kept, and what is: the newest writes, and
    those of so many days, whichever is more.
    """

    auto: bool = True
    keep_writes: int = 10_000
    keep_days: float = 90.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. `problems` are sentences about what was refused; defaults stand in for it."""

    strategies: Mapping[str, str] = field(default_factory=dict)
    merge_rules: Mapping[str, MergeRules] = field(default_factory=dict)
    max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES
    claim_ttl_s: float = 1800.0
    take_over_silent_after_s: float | None = None
    maintains_itself: bool = True
    maintenance_grace_s: float = DEFAULT_GRACE_S
    rotation: RotationPolicy = RotationPolicy()
    problems: tuple[str, ...] = ()

    def strategy_for(self, key: str) -> str:
        """The strategy of the longest prefix that fits the key."""
        return _of_longest_prefix(self.strategies, key, LAST_WRITE_WINS)

    def rules_for(self, key: str) -> MergeRules:
        """What the longest prefix that fits the key declares for `merge`."""
        return _of_longest_prefix(self.merge_rules, key, NO_RULES)


DEFAULTS = Settings()
NAMES = (
    *("strategies.<prefix>", "merge.<prefix>", "limits.max_value_bytes", "claims.ttl_s"),
    *("sessions.take_over_silent_after_s", "maintenance.auto", "maintenance.grace_s"),
    *("rotation.auto", "rotation.keep_writes", "rotation.keep_days"),
)


def _of_longest_prefix(values: Mapping[str, _Value], key: str, default: _Value) -> _Value:
    fitting = [prefix for prefix in values if key.startswith(prefix) or key + "/" == prefix]
    return values[max(fitting, key=len)] if fitting else default


def _strategy(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in STRATEGIES:
        raise ConfigInvalid(
            f"strategies.{name!r} is {value!r}",
            hint=f"use one of {', '.join(sorted(STRATEGIES))}",
            details={"name": name},
        )
    _check_prefix("strategies", name)
    return value


def _rules(name: str, value: Any) -> MergeRules:
    _check_prefix("merge", name)
    try:
        return read_rules(value)
    except ValueError as error:
        raise ConfigInvalid(
            f"merge.{name!r} can't be used: {error}",
            hint='declare places in JSON values like {"counters": ["/done"], "sets": ["/tags"], "appends": ["/log"]}',
            details={"name": name},
        ) from error


def _check_prefix(table: str, name: str) -> None:
    try:
        check_prefix(name)
    except InvalidKey as error:
        raise ConfigInvalid(
            f"{table}.{name!r} is no key prefix: {error.message}", hint="use a prefix like plan/"
        ) from error


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigInvalid(
            f"{name} is {value!r}", hint=f"use a number from {low:g} to {high:g}", details={"name": name}
        )
    return value


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigInvalid(f"{name} is {value!r}", hint="use true or false", details={"name": name})
    return value


def check(name: str, value: Any) -> Any:
    """The value of one setting (`strategies.<prefix>`, `merge.<prefix>` as MergeRules, `limits.max_value_bytes`,
    `claims.ttl_s`, ...: see NAMES). Raises ConfigInvalid.
    """
    table, _, rest = name.partition(".")
    if table == "strategies" and rest:
        return _strategy(rest, value)
    if table == "merge" and rest:
        return _rules(rest, value)
    if name == "limits.max_value_bytes":
        return int(_number(name, value, 1, MAX_VALUE_BYTES_CEILING))
    if name == "claims.ttl_s":
        return float(_number(name, value, 1, 30 * 24 * 3600))
    if name == "sessions.take_over_silent_after_s":
        return float(_number(name, value, LEAST_SILENCE_S, 365 * 24 * 3600))
    if name == "maintenance.auto":
        return _switch(name, value)
    if name == "maintenance.grace_s":
        return float(_number(name, value, LEAST_GRACE_S, 10 * 365 * 24 * 3600))
    if name == "rotation.auto":
        return _switch(name, value)
    if name == "rotation.keep_writes":
        return int(_number(name, value, 1, 1e9))
    if name == "rotation.keep_days":
        return float(_number(name, value, 0, 36500))
    raise ConfigInvalid(f"there is no setting {name!r}", hint=f"there are {', '.join(NAMES)}")


def flatten(document: Mapping[str, Any]) -> dict[str, Any]:
    """A parsed document as `table.name` -> value."""
    flat: dict[str, Any] = {}
    for table, content in document.items():
        if isinstance(content, Mapping):
            flat.update({f"{table}.{name}": value for name, value in content.items()})
        else:
            flat[table] = content
    return flat


@lru_cache(maxsize=16)
def parse_settings(data: bytes) -> Settings:
    """The settings in a file. What can't be used is left out and told in `problems`: a bad file never stops a write."""
    import tomllib

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return Settings(problems=(f".gitctx/settings.toml isn't TOML ({error}); defaults are in force",))
    good: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in flatten(document).items():
        try:
            good[name] = check(name, value)
        except ConfigInvalid as error:
            problems.append(f".gitctx/settings.toml: {error.message}; {error.hint}")
    return Settings(
        strategies=_by_prefix(good, "strategies"),
        merge_rules=_by_prefix(good, "merge"),
        max_value_bytes=good.get("limits.max_value_bytes", DEFAULT_MAX_VALUE_BYTES),
        claim_ttl_s=good.get("claims.ttl_s", DEFAULTS.claim_ttl_s),
        take_over_silent_after_s=good.get("sessions.take_over_silent_after_s"),
        maintains_itself=good.get("maintenance.auto", DEFAULTS.maintains_itself),
        maintenance_grace_s=good.get("maintenance.grace_s", DEFAULTS.maintenance_grace_s),
        rotation=RotationPolicy(
            good.get("rotation.auto", DEFAULTS.rotation.auto),
            good.get("rotation.keep_writes", DEFAULTS.rotation.keep_writes),
            good.get("rotation.keep_days", DEFAULTS.rotation.keep_days),
        ),
        problems=tuple(problems),
    )


def _by_prefix(values: Mapping[str, Any], table: str) -> dict[str, Any]:
    """The values of one table whose names are key prefixes."""
    found = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{table}.")}
    return {prefix.rstrip("/") + "/" if prefix.strip("/") else "": value for prefix, value in found.items()}


def edit_settings(data: bytes, name: str, value: Any) -> bytes:
    """The file with one setting changed (None removes it), comments kept. Raises ConfigInvalid."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    if value is not None:
        value = check(name, value)
    if isinstance(value, MergeRules):
        rules, value = value.as_document(), tomlkit.inline_table()
        value.update(rules)
    try:
        document = tomlkit.parse(data.decode("utf-8"))
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ConfigInvalid(
            f".gitctx/settings.toml isn't TOML: {error}",
            hint="mend it with `gitctx config edit`, or start anew with `gitctx config reset`",
        ) from error
    table, _, rest = name.partition(".")
    if table in document and not isinstance(document[table], Mapping):
        raise ConfigInvalid(
            f".gitctx/settings.toml: {table!r} isn't a table", hint="mend it with `gitctx config edit`, or remove it"
        )
    if value is None:
        if rest not in document.get(table, {}):
            raise ConfigInvalid(f"the setting {name!r} isn't set", hint="`gitctx config list` shows what is")
        del document[table][rest]
    else:
        if table not in document:
            document[table] = tomlkit.table()
        document[table][rest] = value
    return tomlkit.dumps(document).encode("utf-8")
