"""The content of a branch at one revision: reading, without any lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gitctx.errors import EntryNotFound
from gitctx.format import layout
from gitctx.format.keys import SETTINGS_KEY
from gitctx.format.layout import Found
from gitctx.values import Change, Entry, EntryInfo, Etag

if TYPE_CHECKING:
    from gitctx.format.settings import Settings
    from gitctx.repository import Repository
    from gitctx.store.draft import Draft
    from gitctx.values import ChangeKind, Revision


_KNOWN_KEYS = 4096
_KNOWN_BYTES = 8 * 1024 * 1024
_ENTRY_BYTES = 400
_KNOWN_SETTINGS = 16

_settings: dict[str, Settings] = {}
"""Settings by the etag of their file: the same bytes say the same in every store."""


class View:
    """What a branch holds at `revision`. Never changes, so it may be kept as long as one likes.

    Its objects may be of a draft: then it is what a write that isn't published yet would leave. What was looked up is
    remembered, as far as `_KNOWN_KEYS` and `_KNOWN_BYTES` go.
    """

    __slots__ = ("_entries", "_found", "_repository", "_room", "_settings", "revision", "tree")

    def __init__(self, repository: Repository | Draft, revision: Revision, tree: str) -> None:
        self._repository = repository
        self.revision = revision
        self.tree = tree
        self._found: dict[str, Found] = {}
        self._entries: dict[str, Entry] = {}
        self._room = _KNOWN_BYTES
        self._settings: Settings | None = None

    def after(self, revision: Revision, tree: str, *, settings_stay: bool) -> View:
        """What a write that is built on this content leaves; `settings_stay` if it didn't touch the settings."""
        view = View(self._repository, revision, tree)
        if settings_stay:
            view._settings = self._settings
        return view

    def through(self, repository: Repository | Draft) -> View:
        """The same content, with its objects from there."""
        view = View(repository, self.revision, self.tree)
        view._settings = self._settings
        return view

    def find(self, key: str) -> Found:
        """What a key stands for: an entry, a folder, something foreign or nothing. Any text may be asked for."""
        found = self._found.get(key)
        if found is None:
            found = layout.find(self._repository, self.tree, key)
            if len(self._found) >= _KNOWN_KEYS:
                self._found.clear()
            self._found[key] = found
        return found

    def etag(self, key: str) -> Etag | None:
        """The etag at a key; None if there is no entry."""
        found = self._found.get(key)
        if found is None:
            entry = layout.plain_entry(self._repository, self.tree, key)
            if entry is not None:
                return Etag(entry.oid)
            found = self.find(key)
        return Etag(found.entry.oid) if found.entry is not None else None

    def value(self, key: str) -> bytes | None:
        """The bytes at a key; None if there is no entry."""
        entry = self.find(key).entry
        return self._repository.read_blob(entry.oid) if entry is not None else None

    def blob(self, etag: str) -> bytes:
        """The bytes of an etag."""
        return self._repository.read_blob(etag)

    def entry(self, key: str) -> Entry:
        """The entry at a key. Raises EntryNotFound."""
        known = self._entries.get(key)
        if known is not None:
            return known
        found = self.find(key)
        if found.entry is None:
            hint = f"`gitctx ls {key}/` lists what is in that folder" if found.folder else "`gitctx ls` lists the keys"
            what = "is a folder" if found.folder else "holds no entry"
            raise EntryNotFound(
                f"'{key}' {what} at {self.revision[:10]}", hint=hint, details={"key": key, "revision": self.revision}
            )
        value = self._repository.read_blob(found.entry.oid)
        entry = Entry(key, value, Etag(found.entry.oid), "/".join(found.path), self.revision)
        self._room -= len(value) + _ENTRY_BYTES
        if self._room < 0:
            self._entries.clear()
            self._room = _KNOWN_BYTES - len(value)
        self._entries[key] = entry
        return entry

    def etags(self, prefix: str = "") -> Iterator[tuple[str, Etag]]:
        """Keys below a folder prefix (or the entry of that very name) with their etags, sorted by key."""
        folder: layout.Folder = (self.tree,)
        if prefix:
            found = self.find(prefix.rstrip("/"))
            if found.entry is not None:
                if not prefix.endswith("/"):
                    yield prefix, Etag(found.entry.oid)
                return
            folder = found.folder
            prefix = prefix.rstrip("/") + "/"
        for key, node in layout.walk(self._repository, folder, prefix):
            yield key, Etag(node.oid)

    def infos(self, prefix: str = "") -> Iterator[EntryInfo]:
        """Like `etags`, with sizes in bytes."""
        for key, etag in self.etags(prefix):
            yield EntryInfo(key, etag, self._repository.size_of(etag))

    def changes_to(self, other: View, prefix: str = "") -> Sequence[Change]:
        """How `other` differs from this content below a folder prefix, sorted by key."""
        before: layout.Folder = (self.tree,)
        after: layout.Folder = (other.tree,)
        changes: list[tuple[str, str | None, str | None]] = []
        if before == after:
            return []
        if prefix:
            name = prefix.rstrip("/")
            mine, theirs = self.find(name), other.find(name)
            left = mine.entry.oid if mine.entry else None
            right = theirs.entry.oid if theirs.entry else None
            if left != right:
                changes.append((name, left, right))
            before, after, prefix = mine.folder, theirs.folder, name + "/"
        changes += layout.compare(self._repository, before, after, prefix)
        return [_change(key, left, right) for key, left, right in layout.sort_changes(changes)]

    def settings(self) -> Settings:
        """The store's settings at this revision."""
        if self._settings is None:
            self._settings = self._read_settings()
        return self._settings

    def _read_settings(self) -> Settings:
        from gitctx.format.settings import DEFAULTS, parse_settings

        etag = self.etag(SETTINGS_KEY)
        if etag is None:
            return DEFAULTS
        known = _settings.get(etag)
        if known is None:
            known = parse_settings(self._repository.read_blob(etag))
            if len(_settings) >= _KNOWN_SETTINGS:
                _settings.clear()
            _settings[etag] = known
        return known


def _change(key: str, before: str | None, after: str | None) -> Change:
    kind: ChangeKind = "added" if before is None else ("removed" if after is None else "changed")
    return Change(key, kind, Etag(before) if before else None, Etag(after) if after else None)
