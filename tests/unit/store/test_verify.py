"""Each kind of damage and oddity is found once, by its own code, and finding it changes nothing."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.format.keys import CLAIMS_PREFIX
from gitctx.store import Store
from gitctx.store.edits import Put
from gitctx.store.request import Planned, Request
from gitctx.store.verify import verify
from gitctx_testkit.git import git, make_loose


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store.create(tmp_path_factory.mktemp("template") / "store.git")
    ctx = Context(store, actor="planner")
    ctx.put("plan/a", "a value")
    ctx.put("plan/b", "another", id="the-write")
    ctx.checkpoints.create("mark")
    ctx.claims.claim("job")
    ctx.sessions.start(actor="coder-1")
    shutil.rmtree(store.path / "gitctx")
    return store.path


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Store:
    """A copy of a store, to be damaged."""
    shutil.copytree(template, tmp_path / "store.git")
    return Store.open(tmp_path / "store.git")


def fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        digest.update(f"{file.relative_to(path)}\n".encode())
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def loose(store: Store, oid: str) -> Path:
    """The file of an object, of which there is no other copy."""
    make_loose(store.path)
    return store.path / "objects" / oid[:2] / oid[2:]


def git_id(store: Store, what: str) -> str:
    return git(store.path, "rev-parse", what)


def foreign_root(store: Store, *rows: str) -> None:
    """The context's root tree with more rows, by another git client."""
    lines = [*git(store.path, "ls-tree", "context").splitlines(), *rows]
    tree = git(store.path, "mktree", stdin="\n".join(lines) + "\n")
    git(store.path, "update-ref", "refs/heads/context", foreign_commit(store, tree))


def foreign_commit(store: Store, tree: str, message: str = "by hand", branch: str = "context") -> str:
    return git(store.path, "commit-tree", "-p", branch, "-m", message, tree)


def raw_write(store: Store, branch: str, key: str, data: bytes) -> None:
    """A write without any of the checks for such keys and values."""
    plan = Planned(changes={key: data})
    target = store.context if branch == "context" else store.sessions
    target.write(Request("put", "put", "planner", lambda view: plan))


def test_a_sound_store_has_no_findings_and_is_counted(copy: Store) -> None:
    before = fingerprint(copy.path)
    for full in (False, True):
        found = verify(copy, full=full)
        assert (found.ok, found.problems, found.warnings) == (True, (), ())
        assert found.commits == int(git(copy.path, "rev-list", "--all", "--count"))
        assert found.objects == len(git(copy.path, "rev-list", "--all", "--objects").splitlines())
    assert fingerprint(copy.path) == before


# -- problems ---------------------------------------------------------------------------------------------------------


def missing_blob(store: Store) -> str:
    oid = git_id(store, "context:plan/a")
    loose(store, oid).unlink()
    return oid


def missing_commit(store: Store) -> str:
    oid = git_id(store, "context~2")
    loose(store, oid).unlink()
    return oid


def empty_tree_file(store: Store) -> str:
    oid = git_id(store, "context:plan")
    loose(store, oid).chmod(0o644)
    loose(store, oid).write_bytes(b"")
    return oid


def branch_without_our_root(store: Store) -> str:
    tree = git_id(store, "sessions^{tree}")
    git(store.path, "update-ref", "refs/heads/sessions", git(store.path, "commit-tree", "-m", "not ours", tree))
    shutil.rmtree(store.path / "logs/refs/heads")
    return "refs/heads/sessions"


def head_elsewhere(store: Store) -> str:
    (store.path / "HEAD").write_text("ref: refs/heads/sessions\n")
    return "HEAD"


def unsafe_setting(store: Store) -> str:
    git(store.path, "config", "receive.denyNonFastForwards", "false")
    return "receive.denynonfastforwards"


def unset_setting(store: Store) -> str:
    git(store.path, "config", "--unset", "gc.auto")
    return "gc.auto"


def no_reflog(store: Store) -> str:
    (store.path / "logs/refs/heads/sessions").unlink()
    return "sessions"


def thrown_off(store: Store) -> str:
    head = git_id(store, "context")
    git(store.path, "update-ref", "refs/heads/context", "context~1")
    return head


def wrong_session(store: Store) -> str:
    name = git(store.path, "ls-tree", "--name-only", "sessions")
    raw_write(
        store, "sessions", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json", git(store.path, "show", f"sessions:{name}").encode()
    )
    return "01ARZ3NDEKTSV4RRFFQ69G5FAV.json"


def garbled_session(store: Store) -> str:
    raw_write(store, "sessions", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json", b"{}")
    return "records"


def garbled_claim(store: Store) -> str:
    raw_write(store, "context", CLAIMS_PREFIX + "job", b"not json")
    return "content"


def lost_branch(store: Store) -> str:
    git(store.path, "update-ref", "-d", "refs/heads/sessions")
    return "refs/heads/sessions"


PROBLEMS: list[tuple[str, Callable[[Store], str]]] = [
    ("object", missing_blob),
    ("object", missing_commit),
    ("object", empty_tree_file),
    ("branch", branch_without_our_root),
    ("branch", head_elsewhere),
    ("branch", lost_branch),
    ("config", unsafe_setting),
    ("config", unset_setting),
    ("reflog", no_reflog),
    ("thrown_off", thrown_off),
    ("session", wrong_session),
    ("corrupt_store", garbled_session),
    ("corrupt_store", garbled_claim),
]


@pytest.mark.parametrize(("code", "damage"), PROBLEMS)
def test_each_kind_of_damage_is_found_and_named(copy: Store, code: str, damage: Callable[[Store], str]) -> None:
    subject = damage(copy)
    shutil.rmtree(copy.path / "gitctx", ignore_errors=True)
    before = fingerprint(copy.path)
    found = verify(Store(copy.repository, copy.config) if code != "object" else copy)
    assert not found.ok
    assert (code, subject) in [(finding.code, finding.subject) for finding in found.problems]
    assert all(finding.text for finding in found.problems)
    assert fingerprint(copy.path) == before


@pytest.mark.parametrize("damage", [unsafe_setting, unset_setting, no_reflog, thrown_off, wrong_session, garbled_claim])
def test_one_damage_is_one_finding(copy: Store, damage: Callable[[Store], str]) -> None:
    damage(copy)
    found = verify(copy)
    assert len(found.problems) == 1
    assert found.warnings == ()


def test_bytes_that_changed_on_disk_are_found_by_a_full_look(copy: Store) -> None:
    oid = git_id(copy, "context:plan/a")
    loose(copy, oid).chmod(0o644)
    loose(copy, oid).write_bytes(zlib.compress(b"blob 7\0a valve"))
    found = verify(copy, full=True)
    assert {(finding.code, finding.subject) for finding in found.problems} >= {("object", oid)}
    assert found.objects == 0, "nothing was counted as checked"


# -- warnings ---------------------------------------------------------------------------------------------------------


def flat_wide_folder(store: Store) -> str:
    blob = git_id(store, "context:plan/a")
    flat = git(store.path, "mktree", stdin="".join(f"100644 blob {blob}\t{number:03}\n" for number in range(257)))
    foreign_root(store, f"040000 tree {flat}\twide")
    return "wide/"


def foreign_name(store: Store) -> str:
    foreign_root(store, f"100644 blob {git_id(store, 'context:plan/a')}\t~odd")
    return "~odd"


def symbolic_link(store: Store) -> str:
    foreign_root(store, f"120000 blob {git_id(store, 'context:plan/a')}\tlink")
    return "link"


def case_twin(store: Store) -> str:
    Context(store, actor="planner").apply([Put("plan/Straße", b"1"), Put("plan/STRASSE", b"2")])
    return "plan/Straße"


def bad_settings(store: Store) -> str:
    raw_write(store, "context", ".gitctx/settings.toml", b"[limits]\nmax_value_bytes = 0\n")
    return ".gitctx/settings.toml"


def lightweight_tag(store: Store) -> str:
    git(store.path, "tag", "light")
    return "refs/tags/light"


def id_twice(store: Store) -> str:
    tree = git_id(store, "context^{tree}")
    message = "again\n\nGitctx-Op: put\nGitctx-Id: the-write"
    git(store.path, "update-ref", "refs/heads/context", foreign_commit(store, tree, message))
    return "the-write"


WARNINGS: list[tuple[str, Callable[[Store], str]]] = [
    ("layout", flat_wide_folder),
    ("foreign_name", foreign_name),
    ("foreign_name", symbolic_link),
    ("case_twin", case_twin),
    ("settings", bad_settings),
    ("checkpoint", lightweight_tag),
    ("id_twice", id_twice),
]


@pytest.mark.parametrize(("code", "oddity"), WARNINGS)
def test_each_oddity_is_a_warning_and_no_problem(copy: Store, code: str, oddity: Callable[[Store], str]) -> None:
    subject = oddity(copy)
    found = verify(copy, full=True)
    assert found.ok
    assert [(finding.code, finding.subject) for finding in found.warnings] == [(code, subject)]
