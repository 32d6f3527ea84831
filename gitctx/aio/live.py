"""Keeping in step in the background, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitctx.aio.bridge import Part, writing
from gitctx.sync.live import Live

if TYPE_CHECKING:
    from gitctx.sync.live import State


class AsyncLive(Part[Live]):
    """`Live` for asyncio. The callback is a plain function and is called in a thread of its own: to get back into the
    event loop it takes `loop.call_soon_threadsafe`; `AsyncContext.watch` is there already.
    """

    @property
    def state(self) -> State:
        """See `Live.state`."""
        return self._find().state

    @property
    def last_error(self) -> BaseException | None:
        """See `Live.last_error`."""
        return self._find().last_error

    start = writing(Live.start, withdraws=False)
    stop = writing(Live.stop, lane="waits", withdraws=False)
