"""What a writer last saw of each key: the base of its next change, so that a change in between is noticed.

In memory for one program; below `gitctx/seen/<session>/` as well where a session is made of several processes (shell
commands). These files are hints: without one, the base is the head.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gitctx.values import EntryEtag, Etag

_KEPT = 10_000
_SHARED_AT_ONCE = 100


class Bases:
    """Etags by key, the last 10,000 of them. With a folder they are shared by all who use that folder.

    With `learn=False` nothing is remembered: what others share is known, and stays as it is.
    """

    def __init__(self, folder: Path | None = None, *, learn: bool = True) -> None:
        self._folder = folder
        self._learn = learn
        self._etags: OrderedDict[str, Etag | None] = OrderedDict()

    def remember(self, key: str, etag: Etag | None) -> None:
        """The caller has seen (or written) this etag at the key; None: it has seen that there is no entry."""
        if not self._learn:
            return
        self._keep(key, etag)
        if self._folder is not None:
            self._save(self._folder, key, etag)

    def remember_all(self, entries: Sequence[EntryEtag]) -> None:
        """Like `remember`, for what a write left. Of a large write nothing is shared: one file each would cost too
        much, so what was shared of these keys before is taken back.
        """
        if len(entries) <= _SHARED_AT_ONCE:
            for entry in entries:
                self.remember(entry.key, entry.etag)
        elif self._learn:
            for entry in entries:
                self._keep(entry.key, entry.etag)
                if self._folder is not None:
                    self._take_back(self._folder, entry.key)

    def known(self, keys: Iterable[str]) -> Mapping[str, Etag | None]:
        """What is known of these keys."""
        found: dict[str, Etag | None] = {}
        for key in keys:
            if self._folder is not None:
                self._load(self._folder, key)
            with suppress(KeyError):
                found[key] = self._etags[key]
        return found

    def _keep(self, key: str, etag: Etag | None) -> None:
        self._etags.pop(key, None)
        self._etags[key] = etag
        while len(self._etags) > _KEPT:
            with suppress(KeyError):  # another thread was faster
                self._etags.popitem(last=False)

    def _take_back(self, folder: Path, key: str) -> None:
        with suppress(OSError):
            os.unlink(folder / _name(key))

    def _save(self, folder: Path, key: str, etag: Etag | None) -> None:
        path = folder / _name(key)
        temporary = folder / f".{secrets.token_hex(6)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{etag or '-'} {key}\n", encoding="utf-8")
            os.replace(temporary, path)
        except OSError:
            return

    def _load(self, folder: Path, key: str) -> None:
        try:
            text = (folder / _name(key)).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return
        etag, _, saved = text.rstrip("\n").partition(" ")
        if saved == key and (etag == "-" or len(etag) == 40):
            self._etags[key] = None if etag == "-" else Etag(etag)


def seen_folder(store_path: Path, session: str) -> Path:
    """Where a session's bases lie."""
    return store_path / "gitctx" / "seen" / session


def forget_session(store_path: Path, session: str) -> None:
    """Remove a session's bases."""
    shutil.rmtree(seen_folder(store_path, session), ignore_errors=True)


def _name(key: str) -> str:
    return hashlib.sha1(key.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
