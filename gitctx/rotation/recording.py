"""Recording what a base stands for, key by key: after the rotation, so that nobody waits for it.

As long as it isn't done, the old history is there and is asked itself. Killed on the way, it begins anew next time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitctx import failpoints
from gitctx.errors import StorageError
from gitctx.format import layout, messages
from gitctx.format.documents import new_ulid
from gitctx.format.messages import Commit
from gitctx.format.objects import Object, make_object
from gitctx.repository import RefLocked, RefMoved, Repository, SwapUnsettled
from gitctx.repository.git_command import git_lines
from gitctx.repository.translate import translated
from gitctx.store import Store
from gitctx.store.base_records import encode_record
from gitctx.store.draft import Draft
from gitctx.store.host import hostname
from gitctx.store.rotated import BASES, is_base

_AT_ONCE = 10_000
_SPLIT = re.compile(r"(?:^|(?<=/))~[0-9a-f]{2}/")


def record_base(store: Store, base: str) -> bool:
    """Record what a base of the context stands for, from the history below it, which has to be there. Whether it was
    recorded now. Raises GitFailed, ObjectMissing, DiskFull, StorageError.
    """
    repository = store.repository
    commit = repository.read_commit(base)
    below, ref = commit.trailer(messages.REVISION), f"{BASES}{commit.trailer(messages.EPOCH)}"
    if below is None or repository.read_ref(ref) is not None or not repository.has(below):
        return False
    draft = Draft(repository)
    blobs: dict[str, str] = {}
    for key, blob in _documents(repository, commit.tree, below):
        blobs[key] = blob.oid
    root = layout.apply(draft, draft.write_tree(layout.Tree()), blobs)
    failpoints.hit("rotate.before_record")
    return _publish(store, ref, root, [*draft.take_reachable(root)])


def _documents(repository: Repository, tree: str, below: str) -> Iterator[tuple[str, Object]]:
    """A document for each live key; the objects are put down as they come."""
    wanted = {key: entry.oid for key, entry in layout.walk(repository, (tree,))}
    waiting: list[Object] = []
    bases: list[Commit] = []
    for revision, touched in _touching(repository, below):
        if not wanted:
            break
        found = [key for key, etag in touched.items() if wanted.get(key) == etag]
        if not found:
            continue
        commit = repository.read_commit(revision)
        if is_base(commit):
            bases.append(commit)
            continue
        blob = make_object("blob", encode_record(revision, commit))
        waiting.append(blob)
        for key in found:
            del wanted[key]
            yield key, blob
        if len(waiting) >= _AT_ONCE:
            _put_down(repository, waiting)
            waiting = []
    for base in bases:
        for key in sorted(wanted):
            known = _from_earlier(repository, base, key)
            if known is not None:
                del wanted[key]
                waiting.append(known)
                yield key, known
    _put_down(repository, waiting)


def _put_down(repository: Repository, objects: list[Object]) -> None:
    with translated(repository.path):
        repository.put_down(objects, durable=False)


def _from_earlier(repository: Repository, base: Commit, key: str) -> Object | None:
    """What an earlier base knows of a key."""
    ref = repository.read_ref(f"{BASES}{base.trailer(messages.EPOCH)}")
    entry = layout.find(repository, repository.read_commit(ref).tree, key).entry if ref is not None else None
    return make_object("blob", repository.read_blob(entry.oid)) if entry is not None else None


def _touching(repository: Repository, head: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The commits of a history, newest first, with the keys that each holds as none of its parents does, and etags."""
    arguments = ("-c", "core.quotePath=false", "log", "--no-show-signature", "--format=%x01%H", "--raw", "--no-abbrev")
    revision, touched = "", dict[str, str]()
    for line in git_lines(repository.path, *arguments, "-c", "--root", "--no-renames", head):
        if line.startswith("\x01"):
            if revision:
                yield revision, touched
            revision, touched = line[1:], {}
        elif line:
            # `:mode mode id id status<tab>path`, of a merge with more modes and ids; the last id is what is there now
            fields, _, path = line.partition("\t")
            touched[_SPLIT.sub("", _unquoted(path))] = fields.split(" ")[-2]
    if revision:
        yield revision, touched


def _unquoted(path: str) -> str:
    """A path as git prints it: in quotes only if it holds quotes or such, which keys may."""
    if not path.startswith('"'):
        return path
    text = path[1:-1].encode("utf-8", "surrogateescape").decode("unicode_escape")
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _publish(store: Store, ref: str, root: str, trees: list[Object]) -> bool:
    config = store.config
    now = config.clock()
    host = messages.host_identity(hostname(), now)
    trailers = [(messages.OP, "base"), (messages.ID, new_ulid(now, config.rng))]
    text = messages.build_message(f"what {ref.removeprefix('refs/gitctx/')} stands for", "", trailers)
    commit = make_object(
        "commit", messages.encode_commit(tree=root, parents=[], author=host, committer=host, message=text)
    )
    repository = store.repository
    try:
        with translated(store.path):
            repository.sync_everything()
            repository.publish(
                [*trees, commit],
                ref,
                commit.oid,
                expected=None,
                who=f"{host.name} <{host.email}>",
                message="gitctx: rotate",
                at_s=int(now.timestamp()),
                durable=config.durability == "durable",
            )
    except RefMoved:
        return False
    except RefLocked as outcome:
        repository.refs.clear_stale_lock(outcome.lock, alone=False)  # for the next time
        return False
    except SwapUnsettled as error:
        raise StorageError(
            f"the disk failed while it was recorded what a base stands for: {error}",
            hint="nothing is lost: mend the cause and rotate again",
        ) from error
    return True
