"""Joining a store that a remote holds: with the same history, never an empty twin beside it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gitctx import failpoints
from gitctx.config import Config
from gitctx.errors import FormatUnsupported, GitctxError, NotAStore, RemoteError
from gitctx.format import messages
from gitctx.repository import Repository
from gitctx.repository.discovery import common_dir, remotes_of_project
from gitctx.repository.network import Network, hidden
from gitctx.repository.remotes import Remotes, fetch_refspecs, tracking
from gitctx.repository.repository import temporary_sibling
from gitctx.repository.translate import from_os
from gitctx.store.host import hostname
from gitctx.store.identity import CONTEXT, SESSIONS, begin_branch, config_of, refuse_full_folder
from gitctx.sync.exchange import namespace_in
from gitctx.sync.joint import root_stores

LOOK_S = 3.0
"""So long the remotes of a project are asked, all at once, whether they hold a store."""


class Held(NamedTuple):
    """A store that a remote holds: the remote's name and URL, and where its refs are there."""

    remote: str
    url: str
    namespace: str


class Look(NamedTuple):
    """What the remotes of a project said: the stores that they hold, and by name why the others couldn't be asked."""

    found: Sequence[Held]
    silent: Mapping[str, str]


def look_for_store(start: Path, *, limit_s: float = LOOK_S) -> Look:
    """Ask the remotes of the project around a folder whether they hold a store; it takes `limit_s` seconds at most."""
    git_dir = common_dir(start)
    urls = remotes_of_project(start)
    found: dict[str, Held] = {}
    silent = dict.fromkeys(urls, f"no answer within {limit_s:g} s")
    if git_dir is None or not urls:
        return Look((), {})

    def ask(name: str, url: str) -> None:
        try:
            with Network(git_dir, timeout_s=limit_s) as network:
                namespace = namespace_in(network.refs(name, REFS))
        except GitctxError as error:
            silent[name] = error.message
            return
        silent.pop(name, None)
        if namespace is not None:
            found[name] = Held(name, url, namespace)

    threads = [threading.Thread(target=ask, args=pair, name="gitctx-look", daemon=True) for pair in urls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(limit_s + 1)  # the command itself ends in time; this is for one that can't be ended
    return Look([found[name] for name in urls if name in found], dict(silent))


REFS = ("refs/gitctx/heads/*", "refs/heads/*")


def join(path: Path, url: str, *, name: str = "origin", namespace: str = "", config: Config | None = None) -> Path:
    """Make a store at a path that doesn't exist yet out of the one that a remote holds, and add that remote. Its path.

    It is built beside the path and renamed into place: there is never half a store. Raises AlreadyExists, NotAStore
    (the remote holds none), RemoteUnreachable, RemoteAuthFailed, FormatUnsupported, DiskFull, StoreReadOnly.
    """
    config = config or Config()
    refuse_full_folder(path)
    place = temporary_sibling(path)
    try:
        building = Repository.create(place, head=f"refs/heads/{CONTEXT}", config=config_of(""))
        with Network(building.path, timeout_s=config.network_timeout_s) as network:
            _fill(building, network, url, name, namespace, config)
        failpoints.hit("join.before_rename")
        return building.move_to(path).path
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, GitctxError):
            raise
        raise from_os(error, path) from error
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _fill(building: Repository, network: Network, url: str, name: str, namespace: str, config: Config) -> None:
    if not namespace:
        namespace = namespace_in(network.refs(url)) or ""
    if not namespace:
        raise NotAStore(
            f"{hidden(url)} holds no store to join",
            hint="`gitctx init` makes one here, `gitctx remote add` and `gitctx sync` bring it there",
            details={"url": hidden(url)},
        )
    remotes = Remotes(building)
    remotes.add(name, url, namespace=namespace)
    network.fetch(name, fetch_refspecs(name, namespace))
    failpoints.hit("join.after_fetch")
    head = building.read_ref(f"{tracking(name)}heads/{CONTEXT}")
    stores = root_stores(building, head) if head is not None else []
    if head is None or not stores:
        raise NotAStore(
            f"the branch {CONTEXT} at {hidden(url)} wasn't made by gitctx",
            hint="`gitctx init --alone` makes a store here without looking",
            details={"url": hidden(url)},
        )
    newer = [store.format for store in stores if store.format != str(messages.FORMAT)]
    if newer:
        raise FormatUnsupported(
            f"the store at {hidden(url)} has format {newer[0]}, and this gitctx reads format {messages.FORMAT}",
            hint="upgrade gitctx: pip install --upgrade gitctx-store",
        )
    store_id = min(store.id for store in stores)
    building.set_config("gitctx.store", store_id)
    prefix = tracking(name)
    for ref in building.ref_names(prefix):
        oid = building.read_ref(ref)
        kind, _, rest = ref.removeprefix(prefix).partition("/")
        if oid is not None and (kind == "tags" or rest in (CONTEXT, SESSIONS)):
            _publish(building, f"refs/{kind}/{rest}", oid, name, config)
    if building.read_ref(f"refs/heads/{SESSIONS}") is None:
        begin_branch(building, SESSIONS, store_id, config)


def _publish(building: Repository, ref: str, oid: str, remote: str, config: Config) -> None:
    now = config.clock()
    host = messages.host_identity(hostname(), now)
    building.publish(
        [],
        ref,
        oid,
        expected=None,
        who=f"{host.name} <{host.email}>",
        message=f"gitctx: join {remote}",
        at_s=int(now.timestamp()),
        durable=False,
    )


def join_project(path: Path, look: Look, *, config: Config | None = None) -> Held:
    """Join the store that the project's remotes hold; of several the first that can be had. Raises what `join` raises.

    `look` has to have found one.
    """
    *others, last = look.found
    for held in others:
        try:
            join(path, held.url, name=held.remote, namespace=held.namespace, config=config)
            return held
        except RemoteError:
            continue
    join(path, last.url, name=last.remote, namespace=last.namespace, config=config)
    return last
