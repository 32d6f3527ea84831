"""Recovery of a damaged store, for asyncio."""

from __future__ import annotations

from gitctx.aio.bridge import Part, reading, writing
from gitctx.recovery.recovery import Recovery


class AsyncRecovery(Part[Recovery]):
    """`Recovery` for asyncio. A recovery that has begun is seen through."""

    scan = reading(Recovery.scan, lane="waits")
    apply = writing(Recovery.apply, lane="waits", withdraws=False, whole=False)
    clear_locks = writing(Recovery.clear_locks, withdraws=False, whole=False)
    undo = writing(Recovery.undo)
