"""Maintenance by itself: after writes, when it is due, a slice of it. Whoever writes never waits for it."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import suppress

from gitctx.errors import GitctxError
from gitctx.maintenance.growth import has_grown, is_under_way, note_looked
from gitctx.store import Store

LOOK_EVERY_S = 2.0
"""A program looks no oftener than this whether it is due (looking takes about a millisecond)."""

_looked_at: weakref.WeakKeyDictionary[Store, float] = weakref.WeakKeyDictionary()


def is_due(store: Store) -> bool:
    """Whether a slice is due now, and the store's settings let it go on by itself. Raises nothing."""
    now = time.monotonic()
    if now - _looked_at.get(store, -LOOK_EVERY_S) < LOOK_EVERY_S:
        return False
    _looked_at[store] = now
    path = str(store.path)
    if not has_grown(path) or is_under_way(path):
        return False
    from gitctx.maintenance.maintenance import Maintenance

    try:
        if not store.context.view().settings().maintains_itself:
            return False
        due = bool(Maintenance(store).run(dry_run=True, gentle=True).steps)
    except GitctxError:
        return False
    if not due:
        with suppress(OSError):
            note_looked(path)
    return due


def maintain_beside(store: Store) -> threading.Thread | None:
    """Begin a slice in a thread of its own if one is due; the thread. It ends with the program, without harm."""
    if not is_due(store):
        return None
    thread = threading.Thread(target=run_slice, args=(store,), name="gitctx-maintenance", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def run_slice(store: Store) -> None:
    """One slice. Raises nothing: what fails is tried again the next time, and nothing depends on it."""
    from gitctx.maintenance.maintenance import Maintenance

    with suppress(GitctxError):
        Maintenance(store).run(gentle=True)
    with suppress(OSError):
        note_looked(str(store.path))
