"""Checkpoints, for asyncio."""

from __future__ import annotations

from gitctx.aio.bridge import Part, reading, writing
from gitctx.checkpoints import Checkpoints


class AsyncCheckpoints(Part[Checkpoints]):
    """`Checkpoints` for asyncio."""

    create = writing(Checkpoints.create)
    list = reading(Checkpoints.list)
    show = reading(Checkpoints.show)
    delete = writing(Checkpoints.delete)
    changes_since = reading(Checkpoints.changes_since)
    restore = writing(Checkpoints.restore)
