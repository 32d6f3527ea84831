"""Waiting for one key to be there, to be gone, or to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gitctx.errors import EntryNotFound, InvalidInput, WaitTimeout
from gitctx.format.keys import check_key
from gitctx.store.withdrawal import stop_if_withdrawn, woken_by
from gitctx.sync.watch import Watch

if TYPE_CHECKING:
    from gitctx.store import Store
    from gitctx.values import Entry

Until = Literal["exists", "changed", "absent"]
UNTIL: tuple[Until, ...] = ("exists", "changed", "absent")


def wait_for(
    store: Store, key: str, *, until: Until, timeout_s: float | None = None, since: str | None = None
) -> Entry | None:
    """Wait until there is an entry at a key, until there is none, or until it changed after the revision `since`
    (None: after now), if only for a moment. What it holds then; None if there is no entry.

    Raises InvalidKey, WaitTimeout after `timeout_s` seconds (None: never), and what `Watch.next` raises.
    """
    if until not in UNTIL:
        raise InvalidInput(f"can't wait until {until!r}", hint=f"wait until one of {', '.join(UNTIL)}")
    check_key(key, reserved=True)
    start = since if until == "changed" else None
    with Watch(store, prefix=key, since=start, timeout_s=timeout_s) as watch, woken_by(watch.close):
        if until != "changed":
            entry = _entry(store, key, watch.revision)
            if (entry is not None) == (until == "exists"):
                return entry
        for change in watch:
            if change.key == key and (until == "changed" or (change.etag is not None) == (until == "exists")):
                return _entry(store, key, change.revision)
        stop_if_withdrawn()
        shown = f"{timeout_s:g} s"
        paused = ", while its store was paused" if watch.paused else ""
    raise WaitTimeout(
        f"'{key}' {_NOT_YET[until]} within {shown}{paused}",
        hint="`gitctx sync resume` lets watchers go on"
        if paused
        else "wait longer, or see `gitctx log` for what happens",
        details={"key": key, "until": until, "timeout_s": timeout_s},
    )


_NOT_YET = {"exists": "didn't come to be", "changed": "didn't change", "absent": "wasn't removed"}


def _entry(store: Store, key: str, revision: str) -> Entry | None:
    try:
        return store.context.view(revision).entry(key)
    except EntryNotFound:
        return None
