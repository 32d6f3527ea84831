"""Exchange with other machines, for asyncio."""

from __future__ import annotations

from functools import cached_property

from gitctx.aio.bridge import Part, reading, writing
from gitctx.sync.conflicts import Conflicts
from gitctx.sync.sync import Sync


class AsyncConflicts(Part[Conflicts]):
    """`Conflicts` for asyncio."""

    list = reading(Conflicts.list)
    count = reading(Conflicts.count)
    get = reading(Conflicts.get)
    waiting_value = reading(Conflicts.waiting_value)
    keep = writing(Conflicts.keep)
    take = writing(Conflicts.take)
    put = writing(Conflicts.put)


class AsyncSync(Part[Sync]):
    """`Sync` for asyncio. An exchange that is cancelled ends within a second, as if `stop` had been set."""

    @cached_property
    def conflicts(self) -> AsyncConflicts:
        """Conflicts that were left open for somebody to decide."""
        return AsyncConflicts(lambda: self._find().conflicts, self._calls)

    remotes = reading(Sync.remotes)
    remote = reading(Sync.remote)
    holds_store = reading(Sync.holds_store, lane="waits")
    unsent = reading(Sync.unsent)
    add_remote = writing(Sync.add_remote)
    remove_remote = writing(Sync.remove_remote)
    exchange = writing(Sync.exchange, lane="waits", whole=False)
    keep_exchanging = writing(Sync.keep_exchanging, lane="waits", whole=False)
    claim = writing(Sync.claim, lane="waits", whole=False)
