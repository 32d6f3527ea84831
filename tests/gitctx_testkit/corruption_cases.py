"""The corpus: kinds of damage, each with the revision and the keys that a recovery has to give.

Revisions go by the names of the base store. What isn't told of a case is nothing: nothing lost, nothing stale.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gitctx_testkit.damage import (
    CONTEXT,
    SESSIONS,
    Damage,
    blank,
    both,
    cut,
    empty,
    flip,
    loose,
    old,
    on,
    overwrite,
    pack,
    pack_of,
    packed,
    remove_pack,
    stale_lock,
    unlink,
)
from gitctx_testkit.git import git, make_loose

Item = tuple[str, str | None]
"""A revision's name, and a key (None: the whole revision)."""


@dataclass(frozen=True)
class Case:
    """One kind of damage and its outcome. `changed` are the keys whose value isn't the old head's (None: no entry)."""

    name: str
    damage: Damage
    codes: frozenset[str]
    best: str = "d1"
    source: str = "ref"
    changed: Mapping[str, str | None] = field(default_factory=dict)
    lost: frozenset[Item] = frozenset()
    stale: frozenset[Item] = frozenset()
    resurrected: frozenset[Item] = frozenset()
    gone: frozenset[str] = frozenset()
    """Revisions whose commit, with its id, is lost."""


def _codes(*names: str) -> frozenset[str]:
    return frozenset(names)


def _missing_object(path: Path) -> None:
    overwrite(path, b"1" * 40 + b"\n")


def _tree_of_head(store: Path) -> None:
    overwrite(store / CONTEXT, git(store, "rev-parse", "context^{tree}").encode() + b"\n")


def _blob_of_head(store: Path) -> None:
    overwrite(store / CONTEXT, git(store, "rev-parse", "context:plan/d.md").encode() + b"\n")


def _append(name: str, data: bytes) -> Damage:
    def act(store: Path) -> None:
        with (store / name).open("ab") as file:
            file.write(data)

    return act


def _packed_refs(share: float) -> Damage:
    def act(store: Path) -> None:
        git(store, "pack-refs", "--all", "--prune")
        cut(store / "packed-refs", share)

    return act


def _multi_index(how: Damage) -> Damage:
    def act(store: Path) -> None:
        git(store, "multi-pack-index", "write")
        how(store / "objects" / "pack" / "multi-pack-index")

    return act


def _commit_graph(how: Damage) -> Damage:
    def act(store: Path) -> None:
        git(store, "commit-graph", "write", "--reachable")
        how(store / "objects" / "info" / "commit-graph")

    return act


def _graph_chain(store: Path) -> None:
    git(store, "commit-graph", "write", "--reachable", "--split")
    for graph in (store / "objects" / "info" / "commit-graphs").glob("*.graph"):
        flip(graph)


def _remove_folder(*names: str) -> Damage:
    def act(store: Path) -> None:
        for name in names:
            shutil.rmtree(store / name)

    return act


def _gc_ate_the_head(store: Path) -> None:
    """`git gc --prune=now` looked at the refs before the head's write came, and pruned after."""
    head = git(store, "rev-parse", "context")
    overwrite(store / CONTEXT, git(store, "rev-parse", "context~1").encode() + b"\n")
    log = store / "logs" / CONTEXT
    lines = log.read_bytes()
    log.write_bytes(b"".join(line for line in lines.splitlines(keepends=True) if head.encode() not in line))
    git(store, "gc", "-q", "--prune=now")
    log.write_bytes(lines)
    (store / CONTEXT).parent.mkdir(parents=True, exist_ok=True)
    (store / CONTEXT).write_bytes(head.encode() + b"\n")


def _full_disk(store: Path) -> None:
    """What git and gitctx had written when there was no room any more: half a lock, half a pack, half a line."""
    stale_lock(f"{CONTEXT}.lock", b"3f2a")(store)
    (store / "objects" / "pack" / "tmp_pack_Xy12ab").write_bytes(b"PACK\0\0\0\2\0\0")
    (store / "objects" / "ab").mkdir(exist_ok=True)
    (store / "objects" / "ab" / ("0" * 38)).write_bytes(b"")
    _append(f"logs/{CONTEXT}", git(store, "rev-parse", "context").encode()[:30])(store)


def _half_pack_without_index(store: Path) -> None:
    target = store / "objects" / "pack" / f"pack-{'ab' * 20}.pack"
    (source,) = list((store / "objects" / "pack").glob("*.pack"))[:1]
    target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    old(target)


def _empty_and_old(path: Path) -> None:
    path.write_bytes(b"")
    old(path)


def _half_indexes(store: Path) -> None:
    for index in (store / "objects" / "pack").glob("*.idx"):
        cut(index)


def _index_of_another(path: Path) -> None:
    overwrite(path, b"\xfftOc\0\0\0\2" + b"\0" * 1024 + b"\1" * 40)


def _without_index(path: Path) -> None:
    old(path)
    path.with_suffix(".idx").unlink()


def _config_without_store(path: Path) -> None:
    path.write_bytes(b"[core]\n\tbare = true\n")


def _pack_older(store: Path) -> None:
    """packed-refs holds what the branch was three writes ago."""
    older = git(store, "rev-parse", "context~3")
    (store / "packed-refs").write_text(f"# pack-refs with: sorted \n{older} {CONTEXT}\n")


def _pack_named(store: Path, id: str) -> None:
    """Remove the pack of the write with that id, which the reflog still names."""
    for line in reversed((store / "logs" / CONTEXT).read_text().splitlines()):
        old_oid, new_oid = line.split(" ")[:2]
        for oid in (new_oid, old_oid):
            for index in (store / "objects" / "pack").glob("*.idx"):
                if bytes.fromhex(oid) in index.read_bytes():
                    found = git(store, "log", "-1", "--format=%B", oid, check=False)
                    if f"Gitctx-Id: id-{id}\n" in found + "\n":
                        remove_pack(index.with_suffix(".pack"))
                        return
    raise AssertionError(f"no pack of {id}")


HEAD_LOST = {
    "best": "e1",
    "source": "reflog",
    "changed": {"plan/d.md": None},
    "lost": frozenset({("d1", None), ("d1", "plan/d.md")}),
    "gone": frozenset({"d1"}),
}
D_LOST = {
    "best": "e1",
    "source": "reflog",
    "changed": {"plan/d.md": None},
    "lost": frozenset({("d1", "plan/d.md")}),
}

CASES: list[Case] = [
    # -- refs
    Case("an empty ref", on(CONTEXT, empty), _codes("ref"), source="queue"),
    Case("a ref of NUL bytes", on(CONTEXT, blank), _codes("ref"), source="queue"),
    Case("half a ref", on(CONTEXT, cut), _codes("ref"), source="queue"),
    Case("no ref", on(CONTEXT, unlink), _codes("ref"), source="queue"),
    Case(
        "an empty ref, and no working folder",
        both(on(CONTEXT, empty), _remove_folder("gitctx")),
        _codes("ref"),
        source="reflog",
    ),
    Case("a ref to a missing object", on(CONTEXT, _missing_object), _codes("ref"), source="queue"),
    Case("a ref to a tree", _tree_of_head, _codes("ref"), source="queue"),
    Case("a ref to a blob", _blob_of_head, _codes("ref"), source="queue"),
    Case("an empty ref of the sessions", on(SESSIONS, empty), _codes("ref")),
    Case("no ref of the sessions", on(SESSIONS, unlink), _codes("ref")),
    Case("an empty tag", on("refs/tags/mark", empty), _codes("checkpoint")),
    Case(
        "both refs empty, nothing but packed refs and a working folder",
        both(
            lambda store: git(store, "pack-refs", "--all", "--no-prune"),
            on(CONTEXT, empty),
            on(SESSIONS, empty),
            _remove_folder("logs"),
        ),
        _codes("ref", "reflog", "folder"),
        source="queue",
    ),
    Case(
        "an older packed value shows through",
        both(_pack_older, on(CONTEXT, unlink)),
        _codes("ref"),
        source="queue",
    ),
    # -- loose objects of the head
    *[
        Case(f"the head's commit {how.__name__}", loose("context", how), codes, **HEAD_LOST)  # type: ignore[arg-type]
        for how, codes in (
            (empty, _codes("object", "ref", "reflog")),
            (flip, _codes("object", "ref", "reflog")),
            (cut, _codes("object", "ref", "reflog")),
            (unlink, _codes("ref", "reflog")),
        )
    ],
    *[
        Case(f"the head's root tree {how.__name__}", loose("context^{tree}", how), codes, **D_LOST)  # type: ignore[arg-type]
        for how, codes in (
            (empty, _codes("object", "history", "reflog")),
            (flip, _codes("object", "history", "reflog")),
        )
    ],
    *[
        Case(f"a folder of the head {how.__name__}", loose("context:plan", how), codes, **D_LOST)  # type: ignore[arg-type]
        for how, codes in (
            (empty, _codes("object", "history", "reflog")),
            (flip, _codes("object", "history", "reflog")),
        )
    ],
    *[
        Case(f"a blob of the head {how.__name__}", loose("context:plan/d.md", how), codes, **D_LOST)  # type: ignore[arg-type]
        for how, codes in (
            (empty, _codes("object", "history", "reflog")),
            (flip, _codes("object", "history", "reflog")),
        )
    ],
    # -- objects of older revisions
    Case(
        "an older value of a key that has a newer one",
        loose("context~8:plan/a.md", empty),
        _codes("object", "history", "reflog", "checkpoint"),
        best="root",
        source="reflog",
        lost=frozenset({("a1", "plan/a.md"), ("refs/tags/mark", None)}),
    ),
    Case(
        "the value of a key, of which there is an older one",
        loose("context:plan/b.md", empty),
        _codes("object", "history", "reflog"),
        best="job",
        source="reflog",
        changed={"plan/b.md": "b1"},
        stale=frozenset({("b2", "plan/b.md")}),
    ),
    Case(
        "a commit in the middle of history",
        loose("context~3", empty),
        _codes("object", "history", "reflog"),
        best="job",
        source="reflog",
        lost=frozenset({("b2", None)}),
        gone=frozenset({"b2"}),
    ),
    Case(
        "a commit in the middle of history, and no reflog",
        both(loose("context~3", flip), on(f"logs/{CONTEXT}", unlink)),
        _codes("object", "history", "reflog"),
        best="b1",
        source="checkpoint",
        lost=frozenset({("b2", None)}),
        gone=frozenset({"a2", "c1", "b2", "job"}),
    ),
    Case(
        "a folder of an older revision",
        loose("context~1:plan", unlink),
        _codes("history", "reflog"),
        best="job",
        source="reflog",
        lost=frozenset({("b2", "plan/")}),
    ),
    # -- publications as gitctx writes them
    Case("the pack of the head's write is gone", pack_of("context", remove_pack), _codes("ref", "reflog"), **HEAD_LOST),  # type: ignore[arg-type]
    Case(
        "the packs of the last two writes are gone",
        both(pack_of("context", remove_pack), lambda store: _pack_named(store, "e1")),
        _codes("ref", "reflog"),
        best="c-gone",
        source="reflog",
        changed={"plan/d.md": None, "deep/er/e.md": None},
        lost=frozenset({("d1", None), ("d1", "plan/d.md"), ("e1", None), ("e1", "deep/er/e.md")}),
        gone=frozenset({"d1", "e1"}),
    ),
    Case(
        "the writes that removed an entry and came after it are gone",
        both(
            pack_of("context", remove_pack),
            lambda store: _pack_named(store, "e1"),
            lambda store: _pack_named(store, "c-gone"),
        ),
        _codes("ref", "reflog"),
        best="b2",
        source="reflog",
        changed={"plan/d.md": None, "deep/er/e.md": None, "notes/c.md": "c1"},
        lost=frozenset({("d1", None), ("d1", "plan/d.md"), ("e1", None), ("e1", "deep/er/e.md"), ("c-gone", None)}),
        resurrected=frozenset({("c-gone", "notes/c.md")}),
        gone=frozenset({"d1", "e1", "c-gone"}),
    ),
    Case("git gc --prune=now ate the head", _gc_ate_the_head, _codes("ref", "reflog"), **HEAD_LOST),  # type: ignore[arg-type]
    # -- packs and what is derived
    Case("a bit of a value in the pack", packed("context:plan/d.md"), _codes("pack", "history", "reflog"), **D_LOST),  # type: ignore[arg-type]
    Case("a bit of the head's commit in the pack", packed("context"), _codes("pack", "ref", "reflog"), **HEAD_LOST),  # type: ignore[arg-type]
    Case(
        "a bit of a value in the pack, and half of its index",
        both(packed("context:plan/d.md"), _half_indexes),
        _codes("pack", "history", "reflog"),
        **D_LOST,  # type: ignore[arg-type]
    ),
    Case("the header of the pack", pack(lambda path: flip(path, 5)), _codes("pack")),
    Case("the checksum of the pack", pack(lambda path: flip(path, -7)), _codes("pack")),
    Case("the pack's index is empty", pack(empty, ".idx"), _codes("index")),
    Case("a bit of the pack's index", pack(flip, ".idx"), _codes("index")),
    Case("half of the pack's index", pack(cut, ".idx"), _codes("index")),
    Case("the pack's index is gone", pack(_without_index), _codes("index")),
    Case("the index of another pack", pack(_index_of_another, ".idx"), _codes("index")),
    Case("an empty pack beside the others", on(f"objects/pack/pack-{'ef' * 20}.pack", _empty_and_old), _codes("pack")),
    Case("half a pack without an index", _half_pack_without_index, _codes("pack")),
    Case("an empty multi-pack-index", _multi_index(empty), _codes("multi_pack_index")),
    Case("a bit of the multi-pack-index", _multi_index(flip), _codes("multi_pack_index")),
    Case("an empty commit-graph", _commit_graph(empty), _codes("commit_graph")),
    Case("a bit of the commit-graph", _commit_graph(flip), _codes("commit_graph")),
    Case("a bit of a chain of commit-graphs", _graph_chain, _codes("commit_graph")),
    # -- reflogs and packed refs
    Case("a torn reflog", _append(f"logs/{CONTEXT}", b"0123456789abcdef" * 4), _codes("reflog")),
    Case("a reflog that ends in NUL bytes", _append(f"logs/{CONTEXT}", b"\0" * 4096), _codes("reflog")),
    Case("a reflog of NUL bytes", on(f"logs/{CONTEXT}", blank), _codes("reflog")),
    Case(
        "an empty ref and a torn reflog",
        both(on(CONTEXT, empty), on(f"logs/{CONTEXT}", lambda path: cut(path, 0.97))),
        _codes("ref", "reflog"),
        source="queue",
    ),
    Case("packed-refs cut off", _packed_refs(0.85), _codes("packed_refs")),
    Case(
        "packed-refs of which hardly anything is left", _packed_refs(0.2), _codes("packed_refs", "ref"), source="queue"
    ),
    # -- the frame
    Case("an empty HEAD", on("HEAD", empty), _codes("head")),
    Case("a HEAD of NUL bytes", on("HEAD", blank), _codes("head")),
    Case("no HEAD", on("HEAD", unlink), _codes("head")),
    Case("an empty configuration", on("config", empty), _codes("config")),
    Case("a configuration of NUL bytes", on("config", blank), _codes("config")),
    Case("no configuration", on("config", unlink), _codes("config")),
    Case("half a configuration", on("config", cut), _codes("config")),
    Case("a configuration that doesn't name the store", on("config", _config_without_store), _codes("config")),
    Case("no refs", _remove_folder("refs"), _codes("folder", "ref"), source="queue"),
    Case("no logs", _remove_folder("logs"), _codes("folder", "reflog")),
    Case("no folder of tags", _remove_folder("refs/tags"), _codes("ref")),
    Case(
        "no folder of packs, all being loose",
        both(make_loose, _remove_folder("objects/pack")),
        _codes("folder"),
    ),
    # -- locks
    *[
        Case(f"a stale {name}", stale_lock(name, data), _codes("stale_lock"))
        for name, data in (
            (f"{CONTEXT}.lock", b""),
            (f"{SESSIONS}.lock", b""),
            ("refs/tags/mark.lock", b""),
            ("packed-refs.lock", b""),
            ("HEAD.lock", b""),
            ("config.lock", b""),
            (f"logs/{CONTEXT}.lock", b""),
            ("objects/pack/multi-pack-index.lock", b""),
            ("objects/info/commit-graph.lock", b""),
            ("objects/maintenance.lock", b""),
            ("gc.pid", b"999999 somewhere"),
            ("shallow.lock", b""),
        )
    ],
    # -- several together
    Case("a full disk in the middle of a write", _full_disk, _codes("stale_lock", "object", "reflog")),
    Case(
        "an empty ref, a torn reflog, no HEAD, no configuration, stale locks",
        both(
            on(CONTEXT, empty),
            _append(f"logs/{CONTEXT}", b"\0" * 100),
            on("HEAD", unlink),
            on("config", unlink),
            stale_lock(f"{CONTEXT}.lock"),
            stale_lock("packed-refs.lock"),
        ),
        _codes("ref", "reflog", "head", "config", "stale_lock"),
        source="queue",
    ),
    Case(
        "the head's commit and an older value, a broken index and a broken commit-graph",
        both(
            _commit_graph(flip),
            loose("context:plan/b.md", empty),
            loose("context", flip),
        ),
        _codes("object", "ref", "reflog", "commit_graph", "history"),
        best="job",
        source="reflog",
        changed={"plan/d.md": None, "plan/b.md": "b1"},
        lost=frozenset({("d1", None), ("d1", "plan/d.md")}),
        stale=frozenset({("b2", "plan/b.md")}),
        gone=frozenset({"d1"}),
    ),
]
