"""Whether a store is sound: objects by git's own check, the rest by ours. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from gitctx.errors import GitctxError
from gitctx.format import layout, messages
from gitctx.format.keys import CLAIMS_PREFIX
from gitctx.format.records import decode_claim, decode_session
from gitctx.store import rejoin
from gitctx.store.draft import Draft
from gitctx.store.identity import CONTEXT, REQUIRED_CONFIG, SESSIONS
from gitctx.store.rotated import original_of
from gitctx.store.store import Store
from gitctx.values import Finding, Verification


def verify(store: Store, *, full: bool = False) -> Verification:
    """Check a store. `full` reads and hashes every object, without it their existence is checked.

    Problems are damage or broken promises; warnings are oddities that lose nothing.
    """
    problems: list[Finding] = []
    warnings: list[Finding] = []
    commits, objects = _check_objects(store, problems, full=full)
    for check in (_check_branches, _check_config, _check_thrown_off):
        problems += _run(check, store)
    for check in (_check_content, _check_records, _check_ids):
        for finding in _run(check, store):
            (warnings if finding.code in _WARNINGS else problems).append(finding)
    return Verification(not problems, commits, objects, tuple(problems), tuple(warnings))


_WARNINGS = {"layout", "foreign_name", "case_twin", "settings", "checkpoint", "id_twice"}


def _run(check: Callable[[Store], Iterator[Finding]], store: Store) -> list[Finding]:
    try:
        return list(check(store))
    except GitctxError as error:
        return [Finding(error.code, check.__name__.removeprefix("_check_"), f"{error.message}; {error.hint}")]


def _check_objects(store: Store, problems: list[Finding], *, full: bool) -> tuple[int, int]:
    arguments = ["fsck", "--no-progress", "--no-dangling", "--no-reflogs"]
    arguments.append("--full" if full else "--connectivity-only")
    with store.repository.without_compaction():
        status, output, talk = store.repository.git(*arguments, ok=tuple(range(256)))
    lines = (output.decode("utf-8", "replace") + talk).splitlines()
    problems += [
        Finding("object", _object_in(line), f"git fsck says: {line}")
        for line in lines
        if not line.startswith("notice:")
    ]
    if status != 0 and not lines:
        problems.append(Finding("object", "fsck", f"git fsck ended with status {status}"))
    if problems:
        return 0, 0
    _, count, _ = store.repository.git("rev-list", "--all", "--count")
    _, listed, _ = store.repository.git("rev-list", "--all", "--objects", "--no-object-names")
    return int(count), listed.count(b"\n")


def _object_in(line: str) -> str:
    match = re.search(r"[0-9a-f]{40}", line)
    return match[0] if match else "fsck"


def _check_branches(store: Store) -> Iterator[Finding]:
    for name in (CONTEXT, SESSIONS):
        ref = f"refs/heads/{name}"
        head = store.repository.read_ref(ref)
        if head is None:
            yield Finding("branch", ref, f"the branch {name} is gone; its last values are in logs/{ref}")
            continue
        ours = [commit.trailer(messages.STORE) for _, commit in store.repository.walk(head) if not commit.parents]
        if store.identity.store_id not in ours:
            yield Finding("branch", ref, f"no root commit of {name} names this store ({store.identity.store_id})")
    status, output, _ = store.repository.git("symbolic-ref", "HEAD", ok=(0, 1, 128))
    if status != 0 or output.decode().strip() != f"refs/heads/{CONTEXT}":
        yield Finding(
            "branch", "HEAD", f"HEAD doesn't name the branch {CONTEXT}: `git symbolic-ref HEAD refs/heads/{CONTEXT}`"
        )


def _check_config(store: Store) -> Iterator[Finding]:
    config = store.repository.config()
    for name, wanted in REQUIRED_CONFIG.items():
        if config.get(name, "").lower() != wanted:
            yield Finding(
                "config",
                name,
                f"{name} is {config.get(name) or 'unset'};"
                f" `git --git-dir={store.path} config {name} {wanted}` mends it",
            )
    for name in (CONTEXT, SESSIONS):
        if not (store.path / "logs" / "refs" / "heads" / name).exists():
            yield Finding("reflog", name, f"the branch {name} has no reflog; the next write makes one")


def _check_thrown_off(store: Store) -> Iterator[Finding]:
    for branch in (store.context, store.sessions):
        for oid in rejoin.thrown_off(store.repository, branch.ref, branch.head(), None):
            yield Finding(
                "thrown_off",
                oid,
                f"{branch.name} was at {oid} and was moved away from it by force; the next write brings it back",
            )


def _check_content(store: Store) -> Iterator[Finding]:
    view = store.context.view()
    for code, subject, text in layout.faults(Draft(store.repository), (view.tree,)):
        yield Finding(code, subject, text)
    for problem in view.settings().problems:
        yield Finding("settings", ".gitctx/settings.toml", problem)
    for key, etag in view.etags(CLAIMS_PREFIX):
        decode_claim(key.removeprefix(CLAIMS_PREFIX), view.blob(etag))


def _check_records(store: Store) -> Iterator[Finding]:
    sessions = store.sessions.view()
    for key, etag in sessions.etags():
        record = decode_session(sessions.blob(etag))
        if key != f"{record.id}.json":
            yield Finding("session", key, f"the record at {key} names the session {record.id}")
    for name in store.repository.ref_names("refs/tags/"):
        oid = store.repository.read_ref(name)
        if oid is None:
            continue
        tag = store.repository.read_tag(oid)
        if tag is None or not store.repository.has(tag.target):
            yield Finding("checkpoint", name, f"{name} isn't an annotated tag on a commit, so it is no checkpoint")


def _check_ids(store: Store) -> Iterator[Finding]:
    seen: dict[str, tuple[str, str]] = {}
    for branch in (store.context, store.sessions):
        for oid, commit in store.repository.walk(branch.head()):
            id, original = commit.trailer(messages.ID), original_of(commit) or oid
            if id is not None and seen.setdefault(id, (oid, original))[1] != original:
                yield Finding("id_twice", id, f"the commits {seen[id][0]} and {oid} carry the same id {id}")
