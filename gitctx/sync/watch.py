"""Watching a branch: telling what others write, milliseconds after they wrote it.

The ref is the truth: each look compares it with where the watch is. Hints of the kernel only say when to look; without
them it is looked at every few milliseconds. So packed refs, a rotation, a recovery or a lost hint can't hide anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gitctx.errors import CorruptStore, GitctxError, RevisionNotFound, StorageError
from gitctx.format.keys import check_prefix
from gitctx.store.changes import Changes, place_lost
from gitctx.sync.pace import Pace
from gitctx.sync.switch import is_paused
from gitctx.values import Revision, WatchedChange

if TYPE_CHECKING:
    from types import TracebackType

    from gitctx.store import Branch, Store
    from gitctx.store.changes import Step

NET_BEYOND = 1024
"""A consumer that is so many revisions behind is told the difference instead of each."""
PATIENCE_S = 10.0
"""So long a head that can't be read is waited out: somebody may be recovering the store."""
_AGAIN_S = 0.05
_SWITCH_EVERY_S = 0.2


class Watch:
    """Changes of the shared entries below a folder prefix, as they happen. An iterator, and a context manager.

    Begins after the revision `since` (None: after the head of now), and never leaves a gap: `revision` is up to where
    everything was handed out, and a new Watch from there, or from any change's `revision` with `last_of_revision`,
    goes on (a change may come twice then, never not at all). What the session `exclude_session` wrote is left out.
    Iteration ends when the watch is closed, and after `timeout_s` seconds.

    A slow consumer makes nothing pile up: each look tells what happened since the last one, revision by revision or,
    if that were more than `NET_BEYOND`, the difference. While the store is paused (see `gitctx.sync.switch`), nothing
    is told.

    For one consumer at a time; `close` may be called from any thread, and wakes it. Other faces wait with
    `next_revision(timeout_s)` in a thread of theirs, and end that wait with `close()`.
    """

    def __init__(
        self,
        store: Store,
        *,
        prefix: str = "",
        since: str | None = None,
        exclude_session: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Raises InvalidKey; what `Branch.head` raises; RevisionNotFound only when it is iterated."""
        self._path = store.path
        self._branch: Branch = store.context
        self._repository = store.repository
        self._monotonic = store.config.monotonic
        self._changes = Changes(
            store.repository,
            prefix=check_prefix(prefix),
            without_session=exclude_session,
            most_revisions=NET_BEYOND,
        )
        self._all_at_once = Changes(store.repository, prefix=check_prefix(prefix), most_revisions=0)
        self._handed_out = Revision(since) if since is not None else self._branch.head()
        self._reached: Revision | None = self._handed_out
        self._steps: Iterator[Step] = iter(())
        self._left: deque[WatchedChange] = deque()
        self._pace = Pace(store.path / "refs" / "heads", self._monotonic)
        now = self._monotonic()
        self._deadline = now + timeout_s if timeout_s is not None else None
        self._asked_switch_at = -_SWITCH_EVERY_S
        self._paused = False
        self._failing_since: float | None = None

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> WatchedChange:
        change = self.next(self._remaining())
        if change is None:
            raise StopIteration
        return change

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def revision(self) -> Revision:
        """Up to here everything was handed out: where another watch may go on."""
        return self._handed_out

    @property
    def paused(self) -> bool:
        """Whether the store was paused at the last look."""
        return self._paused

    @property
    def closed(self) -> bool:
        """Whether the watch was closed."""
        return self._pace.awake

    def close(self) -> None:
        """End the watch, from any thread: whoever waits in it is woken and told nothing more."""
        self._pace.wake()

    def next(self, timeout_s: float | None = None) -> WatchedChange | None:
        """Wait for the next change; None if none came in so many seconds (None: ever), or the watch is closed.

        Raises RevisionNotFound when there is no going on from where it is (the hint says what to do), and what reading
        the store raises when that has failed for `PATIENCE_S` seconds; the call may be repeated then.
        """
        if not self._left:
            told = self._wait(timeout_s)
            if told is None:
                return None
            self._left.extend(told.changes)
        elif not self._may_tell(timeout_s):
            return None
        change = self._left.popleft()
        if not self._left:
            self._handed_out = change.revision
        return change

    def next_revision(self, timeout_s: float | None = None) -> tuple[WatchedChange, ...]:
        """Like `next`, for all changes of one revision at once; () if none came, or the watch is closed."""
        if self._left:
            if not self._may_tell(timeout_s):
                return ()
            changes = tuple(self._left)
            self._left.clear()
        else:
            told = self._wait(timeout_s)
            changes = told.changes if told is not None else ()
        if changes:
            self._handed_out = changes[-1].revision
        return changes

    def begin_anew(self) -> None:
        """Tell every entry as added, as it is at the head, then go on from there: the way on from a RevisionNotFound.
        What was removed in between isn't told.
        """
        self._steps, self._reached = iter(()), None
        self._left.clear()

    # -- looking ------------------------------------------------------------------------------------------------------

    def _remaining(self) -> float | None:
        return max(0.0, self._deadline - self._monotonic()) if self._deadline is not None else None

    def _wait(self, timeout_s: float | None) -> Step | None:
        """The next revision that changed something here."""
        deadline = self._monotonic() + timeout_s if timeout_s is not None else None
        while not self.closed:
            silenced = self._is_silenced()
            step = None if silenced else self._look()
            if step is not None:
                return step
            left_s = deadline - self._monotonic() if deadline is not None else None
            if left_s is not None and left_s <= 0:
                return None
            if silenced or self._failing_since is not None:
                self._pace.sleep(_AGAIN_S if left_s is None else min(_AGAIN_S, left_s))
            else:
                self._repository.renew_early()
                self._pace.rest(left_s)
        return None

    def _may_tell(self, timeout_s: float | None) -> bool:
        """Wait until the store isn't paused: whether what was found already may be handed out."""
        deadline = self._monotonic() + timeout_s if timeout_s is not None else None
        while self._is_silenced() and not self.closed:
            if deadline is not None and self._monotonic() >= deadline:
                return False
            self._pace.sleep(_AGAIN_S)
        return not self.closed

    def _is_silenced(self) -> bool:
        now = self._monotonic()
        if now - self._asked_switch_at >= _SWITCH_EVERY_S:
            self._asked_switch_at = now
            self._paused = is_paused(self._path)
        return self._paused

    def _look(self) -> Step | None:
        try:
            step = self._next_step()
        except RevisionNotFound:
            raise
        except (CorruptStore, StorageError) as error:
            self._bear(error)
            return None
        self._failing_since = None
        return step

    def _next_step(self) -> Step | None:
        """The next step that changed something, of those that the last look found or of a new one."""
        step = self._go_on()
        if step is None and (head := self._branch.head()) != self._reached:
            self._pace.found()
            told_by = self._changes if self._reached is not None else self._all_at_once
            self._steps = told_by.between(self._reached, head)
            step = self._go_on()
        return step

    def _go_on(self) -> Step | None:
        for step in self._steps:
            self._reached = step.revision
            if step.changes:
                return step
            self._handed_out = step.revision
        return None

    def _bear(self, error: GitctxError) -> None:
        now = self._monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= PATIENCE_S:
            self._failing_since = None
            if self._reached is not None and self._head_is_sound():
                raise place_lost(self._reached) from error
            raise error

    def _head_is_sound(self) -> bool:
        """Whether all that a watch needs of the head can be read: then it is where this one is that can't."""
        try:
            return any(True for _ in self._all_at_once.between(None, self._branch.head()))
        except (CorruptStore, StorageError):
            return False
