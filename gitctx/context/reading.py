"""Reading the context: entries, history, differences. Nothing here takes a lock or writes to the repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from gitctx.errors import RevisionNotFound
from gitctx.format.keys import RESERVED, check_actor, check_key, check_prefix
from gitctx.store import Store, View
from gitctx.store.bases import Bases, seen_folder
from gitctx.store.store import is_full_id
from gitctx.store.withdrawal import is_withdrawn
from gitctx.values import Revision, SessionId

if TYPE_CHECKING:
    from datetime import datetime

    from gitctx.checkpoints import Checkpoints
    from gitctx.format.settings import Settings
    from gitctx.maintenance.maintenance import Maintenance
    from gitctx.recovery import Recovery
    from gitctx.rotation import Rotation
    from gitctx.sessions import Claims, Machine, Sessions
    from gitctx.sync.live import Live
    from gitctx.sync.sync import Sync
    from gitctx.sync.waiting import Until
    from gitctx.sync.watch import Watch
    from gitctx.values import Change, Entry, EntryInfo, Etag, Recovered, Verification, WatchedChange, Write


class Reading:
    """What an actor (perhaps in a session) can read of a store, and the parts of it: sessions, claims, checkpoints.

    With `dry_run` writes to the context are planned and acknowledged as if they were made, and nothing is written.
    """

    def __init__(
        self,
        store: Store,
        *,
        actor: str,
        session: str | None = None,
        machine: Machine | None = None,
        share_bases: bool = False,
        dry_run: bool = False,
    ) -> None:
        if dry_run:
            from gitctx.store.preview import previewing

            store = previewing(store)
        self.store = store
        self.actor = check_actor(actor)
        self.session = SessionId(session) if session is not None else None
        self._machine = machine
        self.recovered: Recovered | None = None
        """What was recovered when the store was opened (see `Config.auto_recover`)."""
        folder = seen_folder(store.path, session) if session is not None and share_bases else None
        self._bases = Bases(folder, learn=not dry_run)
        if self.session is not None:
            self.sessions.require_active(self.session)

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of the store."""
        from gitctx.context.companions import Workplace
        from gitctx.sessions import Machine, Sessions

        machine = self._machine or Machine()
        sessions = Sessions(self.store, machine)
        sessions.companions = Workplace(self.store, machine)
        return sessions

    @cached_property
    def claims(self) -> Claims:
        """Claims on pieces of work, as this actor and session makes them."""
        from gitctx.sessions import Claims

        return Claims(self.store, self.sessions, actor=self.actor, session=self.session)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Names for contents, and restoring one."""
        from gitctx.checkpoints import Checkpoints

        return Checkpoints(self.store, actor=self.actor, session=self.session)

    @cached_property
    def recovery(self) -> Recovery:
        """Looking for damage in the store, and mending it."""
        from gitctx.recovery import Recovery

        return Recovery(self.store.path, self.store.config, actor=self.actor, session=self.session)

    @cached_property
    def maintenance(self) -> Maintenance:
        """Keeping the store small and quick. It also goes on by itself, after writes."""
        from gitctx.maintenance.maintenance import Maintenance

        return Maintenance(self.store)

    @cached_property
    def rotation(self) -> Rotation:
        """Squashing old history, so that the store stays small."""
        from gitctx.rotation import Rotation

        return Rotation(self.store, actor=self.actor, session=self.session)

    @cached_property
    def sync(self) -> Sync:
        """Exchange with other machines, and the conflicts that it leaves open."""
        from gitctx.sync.sync import Sync

        return Sync(
            self.store, actor=self.actor, session=self.session, sessions=self.sessions, claims=lambda: self.claims
        )

    @property
    def head(self) -> Revision:
        """The revision that the context is at now."""
        return self.store.context.head()

    def get(self, key: str, *, at: str | None = None) -> Entry:
        """The entry at a key, now or at a revision or checkpoint. Raises InvalidKey, EntryNotFound, RevisionNotFound.

        What is read now becomes the base of this actor's next change of that key.
        """
        check_key(key, reserved=True)
        view = self._view(at)
        try:
            entry = view.entry(key)
        except LookupError:
            if at is None:
                self._remember(key, None)
            raise
        if at is None:
            self._remember(key, entry.etag)
        return entry

    def list(self, prefix: str = "", *, at: str | None = None) -> Iterator[EntryInfo]:
        """Entries below a folder (all, without one), sorted by key. gitctx's own are only listed below `.gitctx/`."""
        folder = check_prefix(prefix)
        reserved = folder.startswith(RESERVED + "/")
        for info in self._view(at).infos(folder.rstrip("/")):
            if reserved or not info.key.startswith(RESERVED + "/"):
                yield info

    def diff(self, before: str, after: str | None = None, *, prefix: str = "") -> Sequence[Change]:
        """How the entries differ between two revisions or checkpoints (`after` None: now), sorted by key."""
        return self._view(before).changes_to(self._view(after), check_prefix(prefix).rstrip("/"))

    def log(
        self,
        key: str | None = None,
        *,
        limit: int | None = None,
        actor: str | None = None,
        session: str | None = None,
        since: datetime | str | None = None,
        start: str | None = None,
    ) -> Iterator[Write]:
        """Writes, newest first: all, or those that changed a key (or a folder, if it ends in a slash).

        `since` is a time, or a revision whose history is left out.
        """
        if key is not None:
            check_key(key.rstrip("/"), reserved=True)
        head = self.store.resolve(start) if start is not None else self.head
        hide = (self.store.resolve(since),) if isinstance(since, str) else ()
        moment = None if isinstance(since, str) else since
        writes = self.store.history.writes(head, key=key, hide=hide, actor=actor, session=session, since=moment)
        return islice(writes, limit)

    def show(self, revision: str) -> tuple[Write, Sequence[Change]]:
        """One write, and how it changed the entries."""
        found = self.store.resolve(revision)
        write = self.store.history.write(found)
        after = self.store.context.view(found)
        if not write.parents:
            return write, []
        return write, self.store.context.view(write.parents[0]).changes_to(after)

    def last_write(self, key: str, *, at: str | None = None) -> Write | None:
        """The newest write that changed a key; None if no write did."""
        return self.store.history.last_write(self._view(at).revision, check_key(key, reserved=True))

    def changes(
        self, prefix: str = "", *, since: str | None = None, exclude_session: str | None = None
    ) -> Iterator[WatchedChange]:
        """What changed below a folder since a revision or checkpoint (None: since the beginning), oldest first, each
        with the revision that made it; what comes while it is read isn't told any more.

        Of more than `gitctx.store.changes.MOST_REVISIONS` revisions, and where `since` isn't in the head's history,
        only the difference, under the head's revision. What the session `exclude_session` wrote is left out, as far as
        it is told by revision. Raises InvalidKey, RevisionNotFound.
        """
        from gitctx.store.changes import Changes

        start = self._place(since) if since is not None else None
        told = Changes(self.store.repository, prefix=check_prefix(prefix), without_session=exclude_session)
        for step in told.between(start, self.head):
            yield from step.changes

    def watch(
        self,
        prefix: str = "",
        *,
        since: str | None = None,
        timeout_s: float | None = None,
        exclude_session: str | None = None,
    ) -> Watch:
        """Changes below a folder as they happen, after the revision `since` (None: after now): an iterator, see
        `gitctx.sync.watch.Watch`. It ends after `timeout_s` seconds (None: never), and when it is closed.
        """
        from gitctx.sync.watch import Watch

        start = self._place(since) if since is not None else None
        return Watch(self.store, prefix=prefix, since=start, exclude_session=exclude_session, timeout_s=timeout_s)

    def on_change(
        self,
        callback: Callable[[WatchedChange], object],
        prefix: str = "",
        *,
        since: str | None = None,
        include_self: bool = False,
    ) -> Live:
        """Have a callback called with every change below a folder, in a thread of its own, until `stop()` of the
        result: see `gitctx.sync.live.Live`. What this context's session writes is left out unless `include_self`.
        """
        from gitctx.sync.live import Live

        start = self._place(since) if since is not None else None
        live = Live(self.store, session=self.session)
        live.start(callback, prefix=prefix, since=start, include_self=include_self)
        return live

    def wait(
        self, key: str, *, until: Until = "exists", timeout_s: float | None = None, since: str | None = None
    ) -> Entry | None:
        """Wait until a key `exists`, is `absent`, or has `changed` after the revision `since` (None: after now): the
        entry then, None if there is none. Raises WaitTimeout after `timeout_s` seconds (None: never).

        Unlike `get` it leaves the base of this actor's next change alone.
        """
        from gitctx.sync.waiting import wait_for

        start = self._place(since) if since is not None else None
        return wait_for(self.store, key, until=until, timeout_s=timeout_s, since=start)

    def settings(self) -> Settings:
        """The settings in force; `problems` tells what was refused of them."""
        return self._view(None).settings()

    def verify(self, *, full: bool = False) -> Verification:
        """Whether the store is sound. `full` hashes every object."""
        from gitctx.store.verify import verify

        return verify(self.store, full=full)

    def _remember(self, key: str, etag: Etag | None) -> None:
        """What nobody waits for any more wasn't seen by anybody."""
        if not is_withdrawn():
            self._bases.remember(key, etag)

    def _view(self, at: str | None) -> View:
        return self.store.context.view(self.store.resolve(at) if at is not None else None)

    def _place(self, text: str) -> Revision:
        """Where in history a text points: for a checkpoint where it was taken, as long as that can be read. A full id
        is taken as it is, whether there is such a revision or not.
        """
        if is_full_id(text):
            try:
                return self.store.resolve(text)
            except RevisionNotFound:
                return Revision(text)
        found = self.store.resolve(text)
        if self.store.checkpoint_commit(text) is not None:
            taken_at = self.checkpoints.show(text).revision
            if self.store.repository.has(taken_at):
                return taken_at
        return found
