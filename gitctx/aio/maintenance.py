"""Maintenance of a store, for asyncio."""

from __future__ import annotations

from gitctx.aio.bridge import Part, writing
from gitctx.maintenance.maintenance import Maintenance


class AsyncMaintenance(Part[Maintenance]):
    """`Maintenance` for asyncio. A run that has begun is seen through."""

    run = writing(Maintenance.run, lane="waits", withdraws=False, whole=False)
