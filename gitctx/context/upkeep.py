"""What keeps a store small by itself: rotation and maintenance, after writes, when they are due.

Whoever writes never waits for it: a program does it in a thread, a command in a process that outlives it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress

from gitctx.errors import GitctxError
from gitctx.maintenance.growth import has_grown, is_under_way, note_looked
from gitctx.store import Store
from gitctx.values import Rotated

LOOK_EVERY_S = 2.0
"""A program looks no oftener than this whether anything is due (a look takes about a millisecond)."""

_looked_at: weakref.WeakKeyDictionary[Store, float] = weakref.WeakKeyDictionary()


def may_be_due(store: Store) -> bool:
    """Whether the store has grown enough to look closely, and nobody else is at it. Cheap. Raises nothing."""
    now = time.monotonic()
    if now - _looked_at.get(store, -LOOK_EVERY_S) < LOOK_EVERY_S:
        return False
    _looked_at[store] = now
    path = str(store.path)
    return has_grown(path) and not is_under_way(path)


def is_due(store: Store) -> bool:
    """Whether the settings let anything go on by itself that is due now; asked when it may be. Raises nothing."""
    from gitctx.maintenance.maintenance import is_slice_due
    from gitctx.rotation.policy import branches_due, has_old_heads

    try:
        settings = store.context.view().settings()
        due = (settings.maintains_itself and is_slice_due(store)) or bool(branches_due(store))
        due = due or has_old_heads(store)
    except GitctxError:
        return False
    if not due:
        with suppress(OSError):
            note_looked(str(store.path))
    return due


def upkeep_beside(store: Store, *, actor: str) -> threading.Thread | None:
    """Begin what is due in a thread of its own, if anything may be; the thread. It ends with the program, without
    harm. Raises nothing.
    """
    if not may_be_due(store):
        return None

    def run() -> None:
        if is_due(store):
            run_slice(store, actor=actor)

    thread = threading.Thread(target=run, name="gitctx-upkeep", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def run_slice(store: Store, *, actor: str) -> None:
    """Rotate if that is due, then a slice of maintenance. Raises nothing: what fails is tried again the next time, and
    nothing depends on it.
    """
    from gitctx.maintenance.maintenance import Maintenance

    with suppress(GitctxError):
        rotate_if_due(store, actor=actor)
    with suppress(GitctxError):
        if store.context.view().settings().maintains_itself:
            Maintenance(store).run(gentle=True)
    with suppress(OSError):
        note_looked(str(store.path))


def rotate_if_due(store: Store, *, actor: str) -> Sequence[Rotated]:
    """Squash what the settings say, and let go of old heads whose grace has ended, so that maintenance gives their
    space back; what was rotated. Does nothing while another program is at it. Raises what `Rotation.apply` raises.
    """
    from gitctx.maintenance.maintenance import alone
    from gitctx.rotation import Rotation

    with alone(store.path) as free:
        if not free:
            return ()
        rotation = Rotation(store, actor=actor)
        done = rotation.apply_if_due()
        rotation.finish()
        return done
