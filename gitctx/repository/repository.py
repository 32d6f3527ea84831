"""One git repository: objects, refs, history, git commands. Everything above speaks to git through this class."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pygit2
from pygit2.enums import SortMode

from gitctx import failpoints
from gitctx.errors import (
    WAY_OUT,
    AlreadyExists,
    BrokenHistory,
    FormatUnsupported,
    NotAStore,
    ObjectMissing,
    RevisionNotFound,
    StoreNotFound,
)
from gitctx.format import layout
from gitctx.format.layout import Tree
from gitctx.format.messages import Commit, Tag, decode_commit, decode_tag
from gitctx.format.objects import Kind, Object
from gitctx.repository.disk import sync_files
from gitctx.repository.loose import LooseObjects
from gitctx.repository.reflog import LogLine
from gitctx.repository.refs import Refs, SwapUnsettled
from gitctx.repository.translate import from_git, from_os, not_owned, translated

if TYPE_CHECKING:
    from gitctx.format.packs import Pack
    from gitctx.repository.packs import NewPack

TREE_CACHE_NODES = 60_000
"""How many tree entries a Repository keeps parsed: about 15 MB."""
REOPEN_AFTER_READS = 200_000
"""A libgit2 handle grows with what it reads: this many reads later it is opened anew."""
REOPEN_AFTER_MOVES = 48
"""It never forgets a pack that it saw, and looks through all of them: so many heads later it is opened anew."""
COMPACT_EVERY = 16
"""After so many publications a process looks for packs to merge."""
_KNOWN_PACKS = 64
_KNOWN_PACK_BYTES = 32_768
_SMALL_BLOB_BYTES = 4096
_BLOBS_KEPT = 1000
_KINDS: dict[int, Kind] = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}


_alive: weakref.WeakSet[Repository] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: a lock that another thread of the parent held would never be released."""
    for repository in _alive:
        repository._guard = threading.Lock()
        repository._tidying = None


os.register_at_fork(after_in_child=_renew_locks)


class Repository:
    """A bare git repository at `path`. May be shared by threads and used on after a fork: each gets its own handle."""

    def __init__(self, path: Path, *, git_timeout_s: float = 600.0) -> None:
        self.path = path
        self.objects_dir = path / "objects"
        self._objects_path = str(self.objects_dir)
        self._loose = LooseObjects(self._objects_path)
        self.refs = Refs(path)
        self._git_timeout_s = git_timeout_s
        self._local = threading.local()
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self._tree_nodes = 0
        self._blobs: dict[str, bytes] = {}
        self._guard = threading.Lock()
        self._tidying: threading.Thread | None = None
        self._packs: OrderedDict[str, Pack] = OrderedDict()
        self._published = 0
        self._compacted_at = -COMPACT_EVERY
        self.on_growth: Callable[[], None] | None = None
        """Called now and then when something was written, outside of any turn: it has to return at once."""
        _alive.add(self)
        pygit2.settings.mwindow_file_limit = 200

    # -- opening and making -------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, *, git_timeout_s: float = 600.0) -> Repository:
        """The repository at `path`. Raises StoreNotFound, NotAStore, StoreNotOwned, FormatUnsupported, StorageError."""
        with translated(path):
            there, is_folder, place = path.exists(), path.is_dir(), path.resolve()
        if not there:
            raise StoreNotFound(
                f"there is no store at {path}", hint="`gitctx init` makes one", details={"path": str(path)}
            )
        if not is_folder:
            raise NotAStore(
                f"{path} isn't a folder, so it is no store",
                hint="give the path of a store, or make one with `gitctx init` at another path",
                details={"path": str(path)},
            )
        repository = cls(place, git_timeout_s=git_timeout_s)
        repository._handle()
        return repository

    @classmethod
    def create(cls, path: Path, *, head: str, config: Mapping[str, str | bool | int]) -> Repository:
        """Make an empty bare repository (object format sha1, ref format files) at a path that doesn't exist yet."""
        with translated(path):
            path.mkdir()
            handle = pygit2.init_repository(str(path), bare=True, initial_head=head)
            for name, value in config.items():
                handle.config[name] = value
            handle.free()
        return cls(path)

    def move_to(self, path: Path) -> Repository:
        """Rename the whole repository to a path that doesn't exist (or is an empty folder). Raises AlreadyExists."""
        with translated(path):
            sync_filesystem(self.path)
            try:
                os.rename(self.path, path)
            except OSError as error:
                shutil.rmtree(self.path, ignore_errors=True)
                if path.exists():
                    raise AlreadyExists(f"{path} exists already") from error
                raise
        return type(self)(path, git_timeout_s=self._git_timeout_s)

    def _handle(self) -> pygit2.Repository:
        local = self._local
        handle: pygit2.Repository | None = getattr(local, "handle", None)
        if (
            handle is None
            or local.pid != os.getpid()
            or local.reads > REOPEN_AFTER_READS
            or self.refs.moves - local.moves > REOPEN_AFTER_MOVES
        ):
            self._drop_handle()
            handle = self._open_handle()
            local.handle, local.pid, local.reads, local.moves = handle, os.getpid(), 0, self.refs.moves
        local.reads += 1
        return handle

    def renew_early(self) -> None:
        """Open the handle anew if that will be due before long: it takes a while (20 ms), and whoever has nothing else
        to do now spares the reads to come that.
        """
        local = self._local
        if getattr(local, "handle", None) is not None and self.refs.moves - local.moves > REOPEN_AFTER_MOVES // 2:
            self._drop_handle()
            self._handle()

    def _drop_handle(self) -> None:
        """Let go of the handle and of every file that it has open; one of the parent's, in a forked child, is left
        alone.
        """
        handle: pygit2.Repository | None = getattr(self._local, "handle", None)
        self._local.handle = None
        if handle is not None and self._local.pid == os.getpid():
            handle.free()

    def _open_handle(self) -> pygit2.Repository:
        flags = pygit2.enums.RepositoryOpenFlag.NO_SEARCH | pygit2.enums.RepositoryOpenFlag.BARE
        try:
            return pygit2.Repository(str(self.path), flags)
        except pygit2.GitError as error:
            raise self._why_not_open(error) from error
        except OSError as error:
            raise from_os(error, self.path) from error

    def _why_not_open(self, error: Exception) -> Exception:
        if "not owned" in str(error):
            return not_owned(self.path)
        try:
            text = (self.path / "config").read_text("utf-8", "replace").lower()
        except FileNotFoundError:
            text = ""
        except OSError as cause:
            return from_os(cause, self.path)
        for word, what in (
            ("reftable", "keeps its refs in the reftable format"),
            ("sha256", "uses SHA-256 object ids"),
        ):
            if word in text:
                return FormatUnsupported(
                    f"the repository {self.path} {what}, which gitctx doesn't read",
                    hint="make the store with `gitctx init` at another path",
                )
        if (self.path / "HEAD").exists() and self.objects_dir.exists():
            return from_git(error, self.path)
        return NotAStore(
            f"{self.path} isn't a gitctx store",
            hint=f"give the path of a store (a bare repository named store.git), or make one with `gitctx init`; "
            f"if it was one, {WAY_OUT}",
            details={"path": str(self.path)},
        )

    def config(self) -> dict[str, str]:
        """The repository's own configuration, names in lower case (but what is between two dots, as in
        `remote.NAME.url`, as it is).
        """
        with translated(self.path):
            return {entry.name: entry.value or "" for entry in pygit2.Config(str(self.path / "config"))}

    def set_config(self, name: str, value: str | bool | int) -> None:
        """Set one value in the repository's own configuration."""
        with translated(self.path):
            pygit2.Config(str(self.path / "config"))[name] = value

    # -- objects ------------------------------------------------------------------------------------------------------

    def read(self, oid: str) -> tuple[Kind, bytes]:
        """Kind and bytes of an object. Raises ObjectMissing only if a fresh handle and git agree that it isn't
        there.
        """
        try:
            kind, data = self._loose.read(oid) or self._handle().read(oid)
        except (KeyError, ValueError, pygit2.GitError, OSError) as error:
            kind, data = self._read_again(oid, error)
        return _KINDS[int(kind)], data

    def _read_again(self, oid: str, first: Exception) -> tuple[int, bytes]:
        self._drop_handle()
        try:
            kind, data = self._loose.read(oid) or self._handle().read(oid)
            return int(kind), data
        except (KeyError, ValueError, pygit2.GitError, OSError):
            status, output, _ = self.git("cat-file", "--batch", stdin=oid.encode() + b"\n", ok=(0, 1, 128))
        header, _, rest = output.partition(b"\n")
        words = header.split(b" ")
        if status == 0 and len(words) == 3:
            return {"commit": 1, "tree": 2, "blob": 3, "tag": 4}[words[1].decode()], rest[: int(words[2])]
        raise ObjectMissing(
            f"the object {oid} can't be read: {first}",
            hint=WAY_OUT,
            details={"oid": oid},
        ) from first

    def reads(self, oid: str) -> bool:
        """Whether an object is there and can be read."""
        try:
            self.read(oid)
        except ObjectMissing:
            return False
        return True

    def has(self, oid: str) -> bool:
        """Whether an object is there."""
        try:
            return oid in self._handle().odb
        except (ValueError, pygit2.GitError):
            return False

    def size_of(self, oid: str) -> int:
        """The size of an object in bytes, without reading it."""
        try:
            return int(self._handle().odb.read_header(oid)[1])
        except (KeyError, ValueError, pygit2.GitError, OSError):
            return len(self.read(oid)[1])

    def read_blob(self, oid: str) -> bytes:
        """The bytes of a blob. Small ones that were read lately are served from memory."""
        known = self._blobs.get(oid)
        if known is not None:
            return known
        data = self.read(oid)[1]
        if len(data) <= _SMALL_BLOB_BYTES:
            if len(self._blobs) >= _BLOBS_KEPT:
                self._blobs = {}
            self._blobs[oid] = data
        return data

    def read_tree(self, oid: str) -> Tree:
        """A parsed tree; shared, never to be changed."""
        with self._guard:
            tree = self._trees.get(oid)
            if tree is not None:
                self._trees.move_to_end(oid)
                return tree
        kind, data = self.read(oid)
        if kind != "tree":
            raise BrokenHistory(f"{oid} should be a tree and is a {kind}", hint=WAY_OUT)
        try:
            tree = layout.parse(data)
        except ValueError as error:
            raise BrokenHistory(f"the tree {oid} can't be read: {error}", hint=WAY_OUT) from error
        self.remember_tree(oid, tree)
        return tree

    def remember_tree(self, oid: str, tree: Tree) -> None:
        """Keep a parsed tree for later reads."""
        with self._guard:
            if oid in self._trees:
                return
            self._trees[oid] = tree
            self._tree_nodes += len(tree) + 1
            while self._tree_nodes > TREE_CACHE_NODES and len(self._trees) > 1:
                _, dropped = self._trees.popitem(last=False)
                self._tree_nodes -= len(dropped) + 1

    def read_commit(self, oid: str) -> Commit:
        """A decoded commit. Raises BrokenHistory if that object isn't one."""
        kind, data = self.read(oid)
        if kind != "commit":
            raise BrokenHistory(f"{oid} should be a commit and is a {kind}", hint=WAY_OUT)
        try:
            return decode_commit(data)
        except ValueError as error:
            raise BrokenHistory(f"the commit {oid} can't be read: {error}", hint=WAY_OUT) from error

    def read_tag(self, oid: str) -> Tag | None:
        """A decoded annotated tag on a commit; None for a lightweight tag or one on something else."""
        kind, data = self.read(oid)
        if kind != "tag":
            return None
        try:
            return decode_tag(data)
        except ValueError:
            return None

    def put_down(self, objects: Sequence[Object], *, durable: bool) -> None:
        """Write objects that a ref reaches already. Raises OSError."""
        from gitctx.repository.packs import written

        with written(self._objects_path, self._loose, objects, durable=durable) as under_way:
            files = under_way.write()
            if durable:
                sync_files(files)
            under_way.appear()
            failpoints.hit("objects.after_write")

    def publish(
        self,
        objects: Sequence[Object],
        ref: str,
        new: str,
        *,
        expected: str | None,
        who: str,
        message: str,
        at_s: int,
        durable: bool,
    ) -> None:
        """Put objects down and move a ref to `new`, which needs them. Raises what `Refs.swap` raises.

        Objects that somebody took away meanwhile are written again: right before the swap, and once more after it,
        because from then on every repack that begins finds them reached.
        """
        from gitctx.repository.packs import written

        with (
            written(self._objects_path, self._loose, objects, durable=durable) as under_way,
            self.refs.new_value(new) as value,
        ):
            files = under_way.write()
            if durable:
                sync_files([*files, value.descriptor])
            under_way.appear()
            failpoints.hit("objects.after_write")
            failpoints.hit("write.before_swap")
            under_way.ensure()
            self.refs.swap(ref, value, expected=expected, who=who, message=message, at_s=at_s, durable=durable)
            failpoints.hit("write.after_swap")
            self._published += 1
            self._know(under_way.packs)
            try:
                under_way.ensure()
            except OSError as error:
                raise SwapUnsettled(str(error)) from error

    def _know(self, packs: Sequence[NewPack]) -> None:
        """Keep small packs in memory until they are merged."""
        with self._guard:
            for pack in packs:
                if len(pack.pack.pack_bytes) <= _KNOWN_PACK_BYTES:
                    self._packs[pack.name] = pack.pack
            while len(self._packs) > _KNOWN_PACKS:
                self._packs.popitem(last=False)

    def compact_if_due(self) -> None:
        """Merge small packs if there are many: looks after a process's first publication and after each 16 more. To be
        called outside of any turn; costs nothing when it isn't due, and raises nothing.

        A process that goes on publishing does it in a thread beside: most of it is waiting for the disk.
        """
        if not self._published or self._published - self._compacted_at < COMPACT_EVERY:
            return
        first = self._compacted_at < 0
        self._compacted_at = self._published
        if first:
            self._tidy_up()
        elif self._tidying is None or not self._tidying.is_alive():
            self._tidying = threading.Thread(target=self._tidy_up, name="gitctx-compaction", daemon=True)
            try:
                self._tidying.start()
            except RuntimeError:
                self._tidying = None
                self._tidy_up()

    def _tidy_up(self) -> None:
        from gitctx.repository.compaction import Compactor

        with self._guard:
            known = dict(self._packs)
        Compactor(str(self.path), known).run()
        self.refs.let_go()
        self.tell_growth()

    def tell_growth(self) -> None:
        """Say that the store has grown: maintenance may be due."""
        if self.on_growth is not None:
            self.on_growth()

    def without_compaction(self) -> AbstractContextManager[None]:
        """For the time of the block nobody merges packs, in whatever process: git's own check would take one that goes
        away for damage. Writers aren't held up.
        """
        from gitctx.repository.compaction import Compactor

        return Compactor(str(self.path)).held_off()

    def finish_compaction(self) -> None:
        """Wait until packs that are being merged beside are merged."""
        if self._tidying is not None:
            self._tidying.join()

    def clear_stale_keeps(self, before_s: float) -> None:
        """Remove what killed writers left among the packs before a time stamp: `.keep` files, and parts of packs that
        never appeared. Only for the holder of the writer queue.
        """
        from gitctx.repository.packs import clear_leftovers

        clear_leftovers(self._objects_path, before_s)

    def sync_everything(self) -> None:
        """Wait until all that anybody wrote to the store's file system is on disk."""
        with translated(self.path):
            sync_filesystem(self.path)

    # -- refs and history ---------------------------------------------------------------------------------------------

    def read_ref(self, name: str) -> str | None:
        """The object id that a ref holds; None if there is no such ref."""
        try:
            return self.refs.read(name)
        except OSError as error:
            raise from_os(error, self.path) from error

    def last_log_line(self, name: str) -> LogLine | None:
        """The last line of a ref's reflog that can be read; None if there is none."""
        with translated(self.path):
            return self.refs.logs.last_line(name)

    def log_tail(self, name: str, max_bytes: int = 262144) -> list[LogLine]:
        """The last lines of a ref's reflog, oldest first: as many as fit into so many bytes."""
        with translated(self.path):
            return self.refs.logs.tail(name, max_bytes)

    def moved_at_s(self, name: str) -> int | None:
        """When a ref last moved, in seconds since 1970; None if its reflog doesn't tell."""
        with translated(self.path):
            return self.refs.logs.moved_at_s(name)

    def forget_log(self, name: str, oid: str) -> None:
        """Drop the lines of a ref's reflog up to the one by which it last moved away from a value, and all of that same
        second. Raises GitFailed, StorageError.
        """
        with translated(self.path):
            left_at_s = self.refs.logs.moved_at_s(name, oid)
        if left_at_s is not None:
            self.git("reflog", "expire", f"--expire={left_at_s + 1}", "--expire-unreachable=never", name)

    def ref_names(self, prefix: str) -> list[str]:
        """Names of the refs below a prefix, sorted."""
        with translated(self.path):
            return sorted(name for name in self._handle().listall_references() if name.startswith(prefix))

    def delete_ref(self, name: str, *, expected: str) -> None:
        """Delete a ref with git, if it still holds `expected`. Raises GitFailed. (libgit2 beside pack-refs loses
        others.)
        """
        self.git("update-ref", "-d", name, expected)

    def walk(self, start: str, hide: Iterable[str] = ()) -> Iterator[tuple[str, Commit]]:
        """Commits reachable from `start` and not from `hide`, newest first and never a parent before its child.

        Lazy while history is a line; from the first merge on, libgit2 sorts what is left.
        """
        hidden = list(hide)
        oid: str | None = start
        while oid is not None and not hidden:
            commit = self.read_commit(oid)
            if len(commit.parents) > 1:
                break
            yield oid, commit
            oid = commit.parents[0] if commit.parents else None
        if oid is not None:
            for found in self._walk_sorted(oid, hidden):
                yield found, self.read_commit(found)

    def _walk_sorted(self, start: str, hidden: Iterable[str]) -> Iterator[str]:
        with translated(self.path):
            try:
                walker = self._handle().walk(start, SortMode.TOPOLOGICAL | SortMode.TIME)
                for oid in hidden:
                    walker.hide(oid)
                for commit in walker:
                    yield str(commit.id)
            except (KeyError, ValueError) as error:
                raise ObjectMissing(f"history is broken: {error}", hint=WAY_OUT) from error

    def touching(
        self, start: str, hide: Sequence[str], paths: Sequence[str], *, all_sides: bool
    ) -> Iterator[tuple[str, Commit]]:
        """Commits reachable from `start` and not from `hide` in which one of these git paths differs from all parents,
        found by git, newest first. Without `all_sides` only those that explain what is there at `start`.

        Raises GitFailed.
        """
        from gitctx.repository.git_command import git_lines

        sides = ["--full-history", "--topo-order"] if all_sides else []
        hidden = [f"^{oid}" for oid in hide]
        arguments = ("--literal-pathspecs", "rev-list", *sides, start, *hidden, "--", *paths)
        for oid in git_lines(self.path, *arguments, at_once=True):
            yield oid, self.read_commit(oid)

    def ever_changed(self, start: str, hide: Sequence[str], path: str) -> bool:
        """Whether a commit reachable from `start` and not from `hide` changed anything at a git path. Raises
        GitFailed.
        """
        hidden = [f"^{oid}" for oid in hide]
        arguments = ("rev-list", "--full-history", "--max-count=1", start, *hidden, "--", f":(literal){path}")
        return bool(self.git(*arguments)[1])

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `ancestor` is `descendant` or in its history. False if either isn't a commit here."""
        if ancestor == descendant:
            return self.has(ancestor)
        try:
            return bool(self._handle().descendant_of(descendant, ancestor))
        except (KeyError, ValueError, pygit2.GitError):
            return False

    def beyond(self, oids: Iterable[str], heads: Iterable[str]) -> set[str]:
        """Those of some commits that none of the heads reaches, and where clocks went back perhaps some that one does;
        found in one walk. What isn't a commit here is left out. Raises GitFailed where something on the way can't be
        read.
        """
        wanted = list(oids)
        lines = "".join(f"{oid}\n" for oid in (*wanted, *(f"^{head}" for head in heads)))
        _, output, _ = self.git("rev-list", "--ignore-missing", "--stdin", stdin=lines.encode("ascii"))
        return set(wanted) & set(output.decode("ascii").split())

    def ways(self, since: str, head: str, *, most: int) -> dict[str, tuple[str, ...]]:
        """The commits on any way from `head` down to `since`, without that one, each with all its parents; no more than
        the newest `most`. None at all if `since` isn't in the history of `head`. Raises GitFailed.
        """
        from gitctx.repository.git_command import git_lines

        arguments = ("rev-list", "--ancestry-path", "--topo-order", "--parents", f"--max-count={most}")
        found = (line.split() for line in git_lines(self.path, *arguments, head, f"^{since}"))
        return {oid: tuple(parents) for oid, *parents in found}

    def merge_base(self, one: str, other: str) -> str | None:
        """A best common ancestor of two commits; None if they have none."""
        with translated(self.path):
            base = self._handle().merge_base(one, other)
            return str(base) if base is not None else None

    def only(self, head: str, hidden: str) -> dict[str, tuple[str, ...]]:
        """The commits that `head` reaches and `hidden` doesn't, each with its parents; in process, because a few are
        walked sooner than git is started. Raises ObjectMissing.
        """
        with translated(self.path):
            try:
                walker = self._handle().walk(head, SortMode.NONE)
                walker.hide(hidden)
                return {str(commit.id): tuple(map(str, commit.parent_ids)) for commit in walker}
            except (KeyError, ValueError) as error:
                raise ObjectMissing(f"history is broken: {error}", hint=WAY_OUT) from error

    def expand(self, prefix: str) -> str:
        """The full id of the commit that an abbreviation of 4 to 40 hex digits names. Raises RevisionNotFound."""
        reason = f"no revision {prefix} in this store"
        try:
            oid = str(self._handle().expand_id(prefix)) if len(prefix) < 40 else prefix
            if self._handle().odb.read_header(oid)[0] == 1:
                return oid
        except KeyError:
            pass
        except ValueError:
            reason = f"{prefix} is short for several objects"
        except pygit2.GitError as error:
            reason = f"{prefix} can't be looked up: {error}"
        raise RevisionNotFound(reason, hint="`gitctx log` lists revisions; checkpoints go by name")

    # -- git ----------------------------------------------------------------------------------------------------------

    def git(self, *arguments: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,)) -> tuple[int, bytes, str]:
        """Run git on this repository: status, output, talk. Raises GitFailed."""
        from gitctx.repository.git_command import run_git

        return run_git(self.path, *arguments, timeout_s=self._git_timeout_s, stdin=stdin, ok=ok)


def sync_filesystem(path: Path) -> None:
    """Flush the file system that holds `path`: syncfs(2) where the C library has it, else sync(2)."""
    if sys.platform == "linux":
        import ctypes

        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path))
        finally:
            os.close(descriptor)
    else:
        os.sync()


def temporary_sibling(path: Path) -> Path:
    """A fresh path beside `path`, on the same file system."""
    return path.with_name(f".{path.name}.new-{secrets.token_hex(6)}")
