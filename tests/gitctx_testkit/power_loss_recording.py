"""What was written, named and synced below a folder, told apart by file rather than by path; and what was said
meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gitctx_testkit.power_loss_strace import Call, NotUnderstood, bytes_in, descriptor_in, text_in

ROOT = 0
"""The number of the recorded folder. Every file and folder that is made below it gets the next one."""


@dataclass(frozen=True, slots=True)
class Names:
    """One step in which names changed: each (folder, name, what it means from now on; None: nothing).

    A rename is one step: the name that it gives comes last.
    """

    what: str
    path: str
    changes: tuple[tuple[int, str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes written into a file at an offset. Without bytes: the file was cut off (or filled up) to end there."""

    what: str
    path: str
    file: int
    offset: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync of one file's bytes, or of one folder's names, or (`node` None) of everything, that has ended.

    It covers the operations with a number less than `covers`.
    """

    what: str
    path: str
    node: int | None
    covers: int


@dataclass(frozen=True, slots=True)
class Said:
    """A line that the recorded program wrote for us: from here on, the world may know."""

    what: str
    path: str
    text: str


Operation = Names | Data | Sync | Said


@dataclass(frozen=True, slots=True)
class Recording:
    """Operations below a folder that was empty; `folders` are the numbers that are folders."""

    operations: tuple[Operation, ...]
    folders: frozenset[int]

    def without_syncs(self, is_dropped: Callable[[Sync], bool]) -> tuple[Recording, int]:
        """The recording of a program that forgot these syncs, and how many there were."""
        kept: list[Operation] = []
        before: list[int] = []
        for operation in self.operations:
            before.append(len(kept))
            if not (isinstance(operation, Sync) and is_dropped(operation)):
                kept.append(operation)
        before.append(len(kept))
        mended = (replace(item, covers=before[item.covers]) if isinstance(item, Sync) else item for item in kept)
        return replace(self, operations=tuple(mended)), len(self.operations) - len(kept)


@dataclass(slots=True)
class _Open:
    """An open file: shared by descriptors that were duplicated or inherited."""

    node: int
    position: int = 0
    appends: bool = False


@dataclass(slots=True)
class _Process:
    """What threads share and a forked child gets a copy of."""

    folder: str
    files: dict[int, _Open]


class Recorder:
    """Turns calls into operations on what lies below `root`; writes to the file `said` are lines for us."""

    def __init__(self, root: Path, said: Path, start: Path) -> None:
        self._root = str(root)
        self._said = str(said)
        self._start = str(start)
        self._processes: dict[int, _Process] = {}
        self._folders: dict[int, dict[str, int]] = {ROOT: {}}
        self._sizes: dict[int, int] = {}
        self._operations: list[Operation] = []
        self._ending: list[tuple[int, Callable[[], None]]] = []

    def recording(self, calls: Iterable[Call]) -> Recording:
        """The operations in order.

        What a call does counts from when it began; a sync, and a new descriptor, from when the call ended. A call that
        only another one makes possible, begun later but within its time, comes after that one.
        """
        waiting: list[Call] = []
        for call in calls:
            self._finish(call.began)
            again, waiting = [*waiting, call], []
            for each in again:
                try:
                    self._take(each)
                except NotUnderstood:
                    if each.ended <= call.began:
                        raise
                    waiting.append(each)
        for call in waiting:
            self._take(call)
        self._finish(None)
        return Recording(tuple(self._operations), frozenset(self._folders))

    def _take(self, call: Call) -> None:
        process = self._processes.setdefault(call.pid, _Process(self._start, {}))
        getattr(self, f"_on_{_FAMILY.get(call.name, call.name)}")(process, call)

    def _finish(self, before: int | None) -> None:
        while self._ending and (before is None or self._ending[0][0] < before):
            self._ending.pop(0)[1]()

    def _when_ended(self, call: Call, act: Callable[[], None]) -> None:
        self._ending.append((call.ended, act))
        self._ending.sort(key=lambda item: item[0])

    # -- processes and descriptors ------------------------------------------------------------------------------------

    def _on_clone(self, process: _Process, call: Call) -> None:
        if any("CLONE_THREAD" in argument for argument in call.arguments):
            self._processes[call.result] = process
        else:
            self._processes[call.result] = _Process(process.folder, dict(process.files))

    def _on_chdir(self, process: _Process, call: Call) -> None:
        process.folder = self._absolute(process, text_in(call.arguments[0]))

    def _on_fchdir(self, process: _Process, call: Call) -> None:
        process.folder = descriptor_in(call.arguments[0])[1]

    def _on_close(self, process: _Process, call: Call) -> None:
        process.files.pop(descriptor_in(call.arguments[0])[0], None)

    def _on_dup(self, process: _Process, call: Call) -> None:
        if call.name == "fcntl" and "F_DUPFD" not in call.arguments[1]:
            return
        opened = process.files.get(descriptor_in(call.arguments[0])[0])
        if opened is not None:
            self._when_ended(call, partial(process.files.__setitem__, call.result, opened))

    def _opened(self, process: _Process, argument: str) -> _Open | None:
        """The open file of a descriptor; None if it is none of ours."""
        number, path = descriptor_in(argument)
        if self._below(path) is None:
            return None
        opened = process.files.get(number)
        if opened is None:
            raise NotUnderstood(f"descriptor {number} is open on {path}, and nobody opened it")
        if not argument.endswith("(deleted)") and self._find(path) not in (None, opened.node):
            raise NotUnderstood(f"descriptor {number} is open on {path}, but on another file of that name")
        return opened

    def _on_open(self, process: _Process, call: Call) -> None:
        legacy = call.name != "openat"
        flags = "O_WRONLY|O_CREAT|O_TRUNC" if call.name == "creat" else call.arguments[1 if legacy else 2]
        path = self._path(process, None if legacy else call.arguments[0], call.arguments[0 if legacy else 1])
        if self._below(path) is None:
            return
        if "O_TMPFILE" in flags:
            raise NotUnderstood(f"a file without a name was opened in {path}")
        node = self._find(path)
        if node is None:
            if "O_CREAT" not in flags:
                raise NotUnderstood(f"{path} was opened, and nobody made it")
            node = self._new(path, "create")
            self._sizes[node] = 0
        elif "O_TRUNC" in flags and self._sizes[node]:
            self._resize(path, node, 0)
        opened = _Open(node, appends="O_APPEND" in flags)
        self._when_ended(call, partial(process.files.__setitem__, call.result, opened))

    def _on_mmap(self, process: _Process, call: Call) -> None:
        if "MAP_SHARED" in call.arguments[3] and "PROT_WRITE" in call.arguments[2]:
            self._on_unknown(process, replace(call, arguments=(call.arguments[4],)))

    def _on_unknown(self, process: _Process, call: Call) -> None:
        for argument in call.arguments:
            if "<" in argument and self._below(descriptor_in(argument)[1]) is not None:
                raise NotUnderstood(f"{call.name} on {descriptor_in(argument)[1]}: its bytes aren't in the recording")

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _on_read(self, process: _Process, call: Call) -> None:
        opened = process.files.get(int(call.arguments[0], 0))
        if opened is not None:
            opened.position += call.result

    def _on_lseek(self, process: _Process, call: Call) -> None:
        opened = self._opened(process, call.arguments[0])
        if opened is not None:
            opened.position = call.result

    def _on_write(self, process: _Process, call: Call) -> None:
        path = descriptor_in(call.arguments[0])[1]
        data = bytes_in(call.arguments[1])[: call.result]
        if path == self._said:
            self._operations += [Said("said", "", line) for line in data.decode().splitlines()]
            return
        opened = self._opened(process, call.arguments[0])
        if opened is None:
            return
        if call.name.startswith("pw"):
            offset = int(call.arguments[3], 0)
        else:
            offset = self._sizes[opened.node] if opened.appends else opened.position
            opened.position = offset + len(data)
        self._sizes[opened.node] = max(self._sizes[opened.node], offset + len(data))
        self._operations.append(Data("write", self._relative(path), opened.node, offset, data))

    def _on_ftruncate(self, process: _Process, call: Call) -> None:
        opened = self._opened(process, call.arguments[0])
        if opened is not None:
            self._resize(descriptor_in(call.arguments[0])[1], opened.node, int(call.arguments[1], 0))

    def _on_truncate(self, process: _Process, call: Call) -> None:
        path = self._path(process, None, call.arguments[0])
        if self._below(path) is not None:
            self._resize(path, self._known(path), int(call.arguments[1], 0))

    def _resize(self, path: str, node: int, size: int) -> None:
        self._sizes[node] = size
        self._operations.append(Data("truncate", self._relative(path), node, size, None))

    def _on_fsync(self, process: _Process, call: Call) -> None:
        opened = self._opened(process, call.arguments[0])
        if opened is not None:
            path = self._relative(descriptor_in(call.arguments[0])[1])
            self._synced(call, Sync(call.name, path, opened.node, len(self._operations)))

    def _on_sync(self, process: _Process, call: Call) -> None:
        if not call.arguments[0] or self._below(descriptor_in(call.arguments[0])[1]) is not None:
            self._synced(call, Sync(call.name, "", None, len(self._operations)))

    def _synced(self, call: Call, sync: Sync) -> None:
        self._when_ended(call, partial(self._operations.append, sync))

    # -- names --------------------------------------------------------------------------------------------------------

    def _on_mkdir(self, process: _Process, call: Call) -> None:
        path = self._path(process, *_places(call)[0])
        if self._below(path) is not None:
            self._folders[self._new(path, "mkdir")] = {}

    def _on_unlink(self, process: _Process, call: Call) -> None:
        path = self._path(process, *_places(call)[0])
        if self._below(path) is not None:
            self._known(path)
            self._name(call.name.removesuffix("at"), path, (path, None))

    def _on_rename(self, process: _Process, call: Call) -> None:
        source, target = (self._path(process, *place) for place in _places(call))
        if (self._below(source) is None) != (self._below(target) is None) or "EXCHANGE" in call.arguments[-1]:
            raise NotUnderstood(f"{source} was renamed to {target}")
        if self._below(source) is not None and self._find(source) != self._find(target):
            self._name("rename", target, (source, None), (target, self._known(source)))

    def _on_link(self, process: _Process, call: Call) -> None:
        source, target = (self._path(process, *place) for place in _places(call))
        if self._below(target) is None:
            return
        if self._below(source) is None or self._find(target) is not None:
            raise NotUnderstood(f"{target} became a link to {source}")
        self._name("link", target, (target, self._known(source)))

    def _on_symlink(self, process: _Process, call: Call) -> None:
        """Taken for an empty file: libgit2 makes one to see whether it can, and removes it at once."""
        folder = call.arguments[1] if call.name == "symlinkat" else None
        path = self._path(process, folder, call.arguments[-1])
        if self._below(path) is not None:
            self._sizes[self._new(path, "symlink")] = 0

    def _new(self, path: str, what: str) -> int:
        node = len(self._folders) + len(self._sizes)
        self._name(what, path, (path, node))
        return node

    def _name(self, what: str, path: str, *changes: tuple[str, int | None]) -> None:
        done = []
        for place, node in changes:
            folder, name = self._folders[self._known(os.path.dirname(place))], os.path.basename(place)
            if node is None:
                del folder[name]
            else:
                folder[name] = node
            done.append((self._known(os.path.dirname(place)), name, node))
        self._operations.append(Names(what, self._relative(path), tuple(done)))

    # -- paths --------------------------------------------------------------------------------------------------------

    def _path(self, process: _Process, folder: str | None, name: str) -> str:
        if folder is not None:
            number, path = descriptor_in(folder)
            if number == -100:
                process.folder = path
            return self._absolute(process, text_in(name), path)
        return self._absolute(process, text_in(name))

    def _absolute(self, process: _Process, name: str, folder: str | None = None) -> str:
        return os.path.normpath(os.path.join(folder or process.folder, name))

    def _below(self, path: str) -> Sequence[str] | None:
        """The steps from the root to a path; None if it isn't below it."""
        if path == self._root:
            return []
        return path[len(self._root) + 1 :].split("/") if path.startswith(self._root + "/") else None

    def _relative(self, path: str) -> str:
        return "/".join(self._below(path) or [])

    def _find(self, path: str) -> int | None:
        node: int | None = ROOT
        for step in self._below(path) or []:
            node = self._folders.get(node, {}).get(step) if node is not None else None
        return node

    def _known(self, path: str) -> int:
        node = self._find(path)
        if node is None:
            raise NotUnderstood(f"{path} is there, and nobody made it")
        return node


def _places(call: Call) -> list[tuple[str | None, str]]:
    """The paths of a call, each as (argument of its folder if it has one, argument of its name)."""
    by_folder = call.name.rstrip("2").endswith("at")
    names = [(at, argument) for at, argument in enumerate(call.arguments) if argument.startswith('"')]
    return [(call.arguments[at - 1] if by_folder else None, name) for at, name in names]


_FAMILY = {
    **dict.fromkeys(("open", "openat", "creat"), "open"),
    **dict.fromkeys(("dup", "dup2", "dup3", "fcntl"), "dup"),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), "write"),
    **dict.fromkeys(("copy_file_range", "sendfile", "splice", "fallocate"), "unknown"),
    **dict.fromkeys(("fsync", "fdatasync"), "fsync"),
    **dict.fromkeys(("syncfs", "sync"), "sync"),
    **dict.fromkeys(("rename", "renameat", "renameat2"), "rename"),
    **dict.fromkeys(("link", "linkat"), "link"),
    **dict.fromkeys(("symlink", "symlinkat"), "symlink"),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(("mkdir", "mkdirat"), "mkdir"),
    **dict.fromkeys(("clone", "clone3", "fork", "vfork"), "clone"),
}
"""System calls that do the same thing."""
