"""What a command runs in: options that every command takes, environment, streams; and the store they lead to.

A flag counts more than the environment, that more than `git config gitctx.*` of the project.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitctx_cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from gitctx.context import Context, Reading
    from gitctx.store import Store

READER = "reader"
"""The actor of a context that is only read from; it is written nowhere."""


class Env:
    """The surroundings of one run of a command. Tests make one with streams and an environment of their own."""

    def __init__(
        self,
        output: Output,
        *,
        stdin: BinaryIO | None,
        environ: Mapping[str, str],
        folder: Path,
        login: str | None = None,
    ) -> None:
        self.output = output
        self.stdin = stdin
        self.environ = environ
        self.json = False
        self._folder = folder
        self._login = login
        self._given: dict[str, str] = {}
        self._stdin_bytes: bytes | None = None
        self.may_recover = environ.get("GITCTX_AUTO_RECOVER", "1") not in ("0", "false", "no", "off")

    @classmethod
    def of_process(cls) -> Env:
        """The surroundings of this process."""
        output = Output(
            _bytes_of(sys.stdout),
            _bytes_of(sys.stderr),
            out_encoding=getattr(sys.stdout, "encoding", None) or "utf-8",
            err_encoding=getattr(sys.stderr, "encoding", None) or "utf-8",
        )
        stdin = sys.stdin.buffer if sys.stdin is not None else None
        return cls(output, stdin=stdin, environ=os.environ, folder=Path())

    def adopt(
        self,
        *,
        store: str | None = None,
        folder: str | None = None,
        actor: str | None = None,
        session: str | None = None,
        quiet: bool = False,
        json: bool = False,
    ) -> None:
        """Take options in that were given on the command line."""
        given = {"store": store, "folder": folder, "actor": actor, "session": session}
        self._given.update({name: value for name, value in given.items() if value is not None})
        self.json = self.json or json
        self.output.quiet = self.output.quiet or quiet

    def read_stdin(self) -> bytes:
        """All of standard input; once more the same, if it is asked again."""
        if self._stdin_bytes is None:
            self._stdin_bytes = self.stdin.read() if self.stdin is not None else b""
        return self._stdin_bytes

    # -- where --------------------------------------------------------------------------------------------------------

    @property
    def start(self) -> Path:
        """The folder that the command runs in."""
        return self._folder / self._asked("folder", "GITCTX_DIR", "")

    def path(self, text: str) -> Path:
        """A path as the user wrote it, from the folder that the command runs in."""
        return self.start / text

    @cached_property
    def configuration(self) -> Mapping[str, str]:
        """What `git config` says around that folder."""
        from gitctx.repository.discovery import read_project_config

        return read_project_config(self.start)

    def store_path(self) -> Path:
        """Where the store is, or would be made. Nothing says that there is one."""
        from gitctx.repository.discovery import default_store

        if self._asked("folder", "GITCTX_DIR", "") and not os.path.isdir(self.start):
            from gitctx.errors import StoreNotFound

            raise StoreNotFound(f"there is no folder {self.start}", hint="name one that exists with -C")
        asked = self._asked("store", "GITCTX_STORE", "")
        if asked:
            return self.path(asked)
        found = default_store(self.start)
        if found is not None:
            return found
        configured = self.configuration.get("gitctx.store")
        if configured:
            return self.path(os.path.expanduser(configured))
        from platformdirs import user_data_path

        return user_data_path("gitctx") / "store.git"

    def open_store(self) -> Store:
        """The store. Raises StoreNotFound, NotAStore, StoreNotOwned, FormatUnsupported, BrokenHistory."""
        from gitctx.store import Store

        return Store.open(self.store_path())

    def recover(self, error: BaseException) -> bool:
        """Recover the store once if an error comes from damage to it, and say so; whether the command may be run again.

        Not after something was printed.
        """
        if not self.may_recover or self.output.wrote:
            return False
        from gitctx.context.opening import recover_from
        from gitctx.errors import GitctxError

        self.may_recover = False
        if not isinstance(error, GitctxError):
            return False
        try:
            recovered = recover_from(error, self.store_path())
        except GitctxError as failed:
            if failed.code != "recovery_impossible":
                return False
            raise
        if recovered is None:
            return False
        from gitctx_cli.recovery import summary

        self.output.say(f"the store was damaged and has been recovered: {summary(recovered)}")
        return True

    # -- who ----------------------------------------------------------------------------------------------------------

    def session_of(self, store: Store) -> str | None:
        """The session that this belongs to: as it was said, else the live one tied to a process that this one is
        below.
        """
        asked = self._asked("session", "GITCTX_SESSION", self.configuration.get("gitctx.session", ""))
        if asked or "session" in self._given:
            return asked or None
        if not any(True for _ in store.sessions.view().etags()):
            return None
        from gitctx.sessions import Machine, Sessions

        return Sessions(store, Machine()).anchored()

    def actor_of(self, store: Store | None, session: str | None) -> str:
        """Who writes: as it was said, else the session's actor, git's `user.name`, the login name."""
        asked = self._asked("actor", "GITCTX_ACTOR", self.configuration.get("gitctx.actor", ""))
        if asked:
            return asked
        if store is not None and session is not None:
            from gitctx.sessions import Machine, Sessions

            return Sessions(store, Machine()).record(session).actor
        from gitctx.errors import InvalidName
        from gitctx.format.keys import check_actor

        for name in (self.configuration.get("user.name", ""), self._login_name()):
            try:
                return check_actor(name)
            except InvalidName:
                continue
        return "unknown"

    def reading(self, *, session: bool = True) -> Reading:
        """The context, to be read from; without `session` as nobody's in particular."""
        from gitctx.context.reading import Reading

        store = self.open_store()
        own = self.session_of(store) if session else None
        return Reading(store, actor=READER, session=own, share_bases=own is not None)

    def context(self, *, dry_run: bool = False) -> Context:
        """The context, to be written to; with `dry_run` nothing is."""
        from gitctx.context.context import Context
        from gitctx_cli.growing import keeping_small_apart

        store = self.open_store()
        store.repository.on_growth = keeping_small_apart(store)
        session = self.session_of(store)
        actor = self.actor_of(store, session)
        return Context(store, actor=actor, session=session, share_bases=session is not None, dry_run=dry_run)

    def _asked(self, name: str, variable: str, otherwise: str) -> str:
        if name in self._given:
            return self._given[name]
        return self.environ.get(variable) or otherwise

    def _login_name(self) -> str:
        if self._login is not None:
            return self._login
        import getpass

        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return ""


def _bytes_of(stream: object) -> BinaryIO:
    """The bytes below a text stream; of a closed one, something that refuses to be written to."""
    buffer: BinaryIO | None = getattr(stream, "buffer", None)
    return buffer if buffer is not None else open(os.devnull, "rb")
