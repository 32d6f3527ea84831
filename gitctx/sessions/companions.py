"""What a session is given from above: a context of its own, and what keeps it in step with what others write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gitctx.sessions.session import Session
    from gitctx.values import WatchedChange


class Sync(Protocol):
    """Keeps a session in step in the background; see `gitctx.sync.live.Live`, which it is."""

    @property
    def state(self) -> str:
        """`off`, `running`, `paused` or `backing off`."""

    @property
    def last_error(self) -> BaseException | None:
        """What went wrong last since it was started."""

    def start(
        self,
        on_change: Callable[[WatchedChange], object],
        *,
        prefix: str = "",
        include_self: bool = False,
        since: str | None = None,
    ) -> None:
        """Call `on_change` with every change below a folder from now on, in a thread of its own."""

    def stop(self, *, wait_s: float = ...) -> None:
        """Hand out nothing more."""


class Companions(Protocol):
    """Makes them."""

    def context_of(self, session: Session) -> Any:
        """The context (`gitctx.Context`) in which the session reads and writes."""

    def sync_of(self, session: Session) -> Sync:
        """What keeps the session in step."""
