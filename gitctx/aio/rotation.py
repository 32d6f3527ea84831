"""Rotation of a store, for asyncio."""

from __future__ import annotations

from gitctx.aio.bridge import Part, reading, writing
from gitctx.rotation.rotation import Rotation


class AsyncRotation(Part[Rotation]):
    """`Rotation` for asyncio. A rotation that has begun is seen through."""

    plan = reading(Rotation.plan, lane="waits")
    apply = writing(Rotation.apply, lane="waits", withdraws=False, whole=False)
    apply_if_due = writing(Rotation.apply_if_due, lane="waits", withdraws=False, whole=False)
    undo = writing(Rotation.undo, lane="waits", withdraws=False, whole=False)
    finish = writing(Rotation.finish, lane="waits", withdraws=False, whole=False)
