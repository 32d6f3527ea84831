"""Named points in the code paths that write, where a test may kill the process or raise.

Off unless a test calls `activate`: then one look at a module variable is all that a point costs.
"""

from __future__ import annotations

from collections.abc import Callable

_actions: dict[str, Callable[[], None]] | None = None

NAMES = (
    "objects.before_write",
    "objects.after_write",
    "pack.before_keep",
    "pack.before_index",
    "pack.before_names",
    "pack.between_names",
    "pack.after_index",
    "compact.before_merge",
    "compact.after_merge",
    "compact.between_deletes",
    "compact.after_delete",
    "recover.after_journal",
    "recover.after_frame",
    "recover.after_locks",
    "recover.after_install",
    "recover.after_refs",
    "recover.after_rescue",
    "recover.after_head",
    "recover.after_reflogs",
    "recover.after_quarantine",
    "swap.before_lock",
    "swap.after_lock",
    "swap.after_reflog",
    "swap.after_rename",
    "swap.after_sync",
    "write.before_objects",
    "write.before_swap",
    "write.after_swap",
    "queue.after_ticket",
    "queue.after_acquire",
    "mail.after_ask",
    "serve.after_begin",
    "serve.before_answer",
    "serve.after_answer",
)
"""The points of a write, and of what goes on beside it."""

MAINTENANCE_NAMES = (
    "maintain.after_locks",
    "maintain.after_leftovers",
    "maintain.after_refs",
    "maintain.after_pack",
    "maintain.after_unreachable",
    "maintain.after_graph",
    "maintain.after_prune",
    "reflog.before_lock",
    "reflog.before_rename",
    "reflog.after_rename",
    "repack.after_keep",
    "repack.between_names",
    "repack.after_appear",
    "repack.before_delete",
    "repack.between_deletes",
)
"""The points of maintenance."""

SESSION_NAMES = (
    "session.after_lease",
    "session.after_register",
    "session.after_judge",
    "session.after_closing",
    "session.between_forgets",
)
"""The points of a session's start and of the recovery that goes with it, beside those of its writes."""

ROTATION_NAMES = (
    "rotate.before_objects",
    "rotate.after_objects",
    "rotate.before_swap",
    "rotate.after_swap",
    "rotate.before_record",
    "rotate.before_forgetting",
)
"""The points of a rotation, beside those of the ref swaps in it."""

SYNC_NAMES = (
    "exchange.before_fetch",
    "exchange.after_fetch",
    "exchange.after_merge",
    "exchange.before_push",
    "exchange.after_push",
    "join.after_fetch",
    "join.before_rename",
)
"""The points of an exchange with a remote, and of joining a store, beside those of writes."""


def hit(name: str) -> None:
    """Run the action that a test put at this point, if any."""
    if _actions is not None:
        action = _actions.get(name)
        if action is not None:
            action()


def activate(name: str, action: Callable[[], None]) -> None:
    """Put an action at a named point. Raises KeyError for a name that no code path has."""
    global _actions
    known = (*NAMES, *MAINTENANCE_NAMES, *SESSION_NAMES, *ROTATION_NAMES, *SYNC_NAMES)
    if name not in known:
        raise KeyError(f"no failpoint {name!r}; there are {', '.join(known)}")
    if _actions is None:
        _actions = {}
    _actions[name] = action


def deactivate() -> None:
    """Switch every point off."""
    global _actions
    _actions = None
