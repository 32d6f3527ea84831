"""A repository beside the store that sees of its objects only those that are whole.

It is made in the system's temporary folder, of links. So a store with damaged packs, indexes, HEAD or configuration can
be read with git's own commands and with libgit2, and nothing in the store changes. What a recovery would write is put
down in it first.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gitctx.errors import GitFailed, StorageError
from gitctx.format.objects import Object
from gitctx.repository import Repository
from gitctx.repository.translate import from_os

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EIO, errno.EAGAIN, *_FULL)
_SPARE_HANDLES = 16
_SPARE_BYTES = 4 << 20


class Shadow:
    """See above. `close` removes it."""

    def __init__(self, store: Path, *, git_timeout_s: float) -> None:
        self._store = store
        require_room(store)
        try:
            self.path = Path(tempfile.mkdtemp(prefix="gitctx-recovery-"))
            for name in ("objects/info", "objects/pack", "refs/heads", "logs/refs/heads"):
                os.makedirs(self.path / name)
            (self.path / "HEAD").write_bytes(b"ref: refs/heads/none\n")
            (self.path / "config").write_bytes(b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
            self._link_alternates()
        except OSError as error:
            raise from_os(error, store) from error
        self.repository = Repository(self.path, git_timeout_s=git_timeout_s)

    def __enter__(self) -> Shadow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it."""
        self.repository._drop_handle()
        shutil.rmtree(self.path, ignore_errors=True)

    def link_pack(self, name: str, *, index: Path | None = None) -> None:
        """See a pack of the store, with its own index or with another one."""
        folder = self._store / "objects" / "pack"
        self._link(folder / f"{name}.pack", f"objects/pack/{name}.pack")
        if index is None:
            self._link(folder / f"{name}.idx", f"objects/pack/{name}.idx")

    def link_loose(self, fan: str, names: Iterable[str] | None) -> None:
        """See the loose objects of one folder: all of them, or only those named."""
        if names is None:
            self._link(self._store / "objects" / fan, f"objects/{fan}")
            return
        os.makedirs(self.path / "objects" / fan, exist_ok=True)
        for name in names:
            self._link(self._store / "objects" / fan / name, f"objects/{fan}/{name}")

    def put_down(self, objects: Sequence[Object]) -> None:
        """Write objects into the shadow."""
        if objects:
            try:
                self.repository.put_down(objects, durable=False)
            except OSError as error:
                raise from_os(error, self.path) from error

    def git(self, *arguments: str, stdin: Iterable[str] | bytes = b"") -> tuple[int, bytes, str]:
        """Run git here, whatever its status. Raises StorageError where the machine failed rather than the store."""
        data = stdin if isinstance(stdin, bytes) else "".join(f"{line}\n" for line in stdin).encode()
        try:
            status, output, talk = self.repository.git(*arguments, stdin=data, ok=tuple(range(-64, 256)))
        except GitFailed as error:
            raise_if_machine(error, self._store)
            raise
        raise_if_machine_failed(talk, self._store)
        if status < 0:
            raise GitFailed(f"git {arguments[0]} was killed by signal {-status}", hint="try again")
        return status, output, talk

    def _link(self, source: Path, name: str) -> None:
        os.symlink(source.absolute(), self.path / name)

    def _link_alternates(self) -> None:
        try:
            lines = (self._store / "objects" / "info" / "alternates").read_text("utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return
        found = [
            str((self._store / "objects" / line).absolute()) for line in lines if line and not line.startswith("#")
        ]
        (self.path / "objects" / "info" / "alternates").write_text("".join(f"{line}\n" for line in found), "utf-8")


def require_room(path: Path) -> None:
    """Raise StorageError (or MemoryError) if this process has hardly any file handles or memory left: then whatever
    can't be opened or read tells nothing.
    """
    opened: list[int] = []
    try:
        bytearray(_SPARE_BYTES)
        opened.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(_SPARE_HANDLES))
    except OSError as error:
        raise from_os(error, path) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def raise_if_machine_failed(talk: str, path: Path) -> None:
    """Raise StorageError if what git said is about the machine."""
    number = next((each for each in _MACHINE if os.strerror(each) in talk), None)
    if number is not None or "ut of memory" in talk:
        number = number or errno.ENOMEM
        raise from_os(OSError(number, f"{os.strerror(number)} ({talk.strip()[-200:]})"), path)


def raise_if_machine(error: BaseException | None, path: Path) -> None:
    """Raise StorageError if an error, or what it came from, is about the machine and not about the store."""
    while error is not None:
        if isinstance(error, MemoryError):
            raise from_os(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), path) from error
        if isinstance(error, OSError) and not isinstance(error, StorageError) and error.errno in _MACHINE:
            raise from_os(error, path) from error
        raise_if_machine_failed(str(error), path)
        error = error.__cause__
