"""What was last seen of a key: kept in memory, shared by the processes of a session, and never more than a hint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.errors import EntryNotFound, MergeConflict
from gitctx.store import Store, bases
from gitctx.store.bases import Bases, forget_session, seen_folder
from gitctx.store.edits import Put
from gitctx.values import EntryEtag, Etag

ONE, TWO = Etag("1" * 40), Etag("2" * 40)


def test_what_was_not_seen_is_not_known() -> None:
    seen = Bases()
    seen.remember("a", ONE)
    seen.remember("gone", None)
    assert seen.known(["a", "gone", "never"]) == {"a": ONE, "gone": None}


def test_the_latest_look_counts() -> None:
    seen = Bases()
    seen.remember("a", ONE)
    seen.remember_all([EntryEtag("a", TWO), EntryEtag("b", None)])
    assert seen.known(["a", "b"]) == {"a": TWO, "b": None}


def test_only_so_many_keys_are_kept_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "_KEPT", 3)
    seen = Bases()
    for key in ("a", "b", "c", "a", "d"):
        seen.remember(key, ONE)
    assert set(seen.known("abcd")) == {"a", "c", "d"}


def test_nothing_is_learned_when_only_looking(tmp_path: Path) -> None:
    Bases(tmp_path / "seen").remember("a", ONE)
    looking = Bases(tmp_path / "seen", learn=False)
    looking.remember("a", TWO)
    looking.remember_all([EntryEtag("b", TWO)] * 200)
    assert looking.known("ab") == {"a": ONE}
    assert Bases(tmp_path / "seen").known("ab") == {"a": ONE}


def test_what_one_program_saw_another_one_of_the_session_knows(tmp_path: Path) -> None:
    first, second = Bases(tmp_path / "seen"), Bases(tmp_path / "seen")
    first.remember("plan/ü", ONE)
    first.remember("gone", None)
    assert second.known(["plan/ü", "gone"]) == {"plan/ü": ONE, "gone": None}
    second.remember("plan/ü", TWO)
    assert first.known(["plan/ü"]) == {"plan/ü": TWO}


def test_a_large_write_is_not_shared_file_by_file_and_leaves_no_outdated_hint(tmp_path: Path) -> None:
    first, second = Bases(tmp_path / "seen"), Bases(tmp_path / "seen")
    first.remember("key-7", ONE)
    first.remember_all([EntryEtag(f"key-{number}", TWO) for number in range(101)])
    assert first.known(["key-7"]) == {"key-7": TWO}
    assert second.known(["key-7"]) == {}
    assert list((tmp_path / "seen").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"- another key\n", b"123 a\n", b"\0" * 100])
def test_a_hint_that_is_garbled_counts_as_none(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "seen"
    Bases(folder).remember("a", ONE)
    for path in folder.iterdir():
        path.write_bytes(content)
    assert Bases(folder).known("a") == {}


def _lost(folder: Path) -> None:
    shutil.rmtree(folder)


def _a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def _folders(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("damage", [_lost, _a_file, _folders])
def test_hints_that_cannot_be_shared_are_kept_to_oneself(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    seen = Bases(tmp_path / "seen")
    seen.remember("a", ONE)
    damage(tmp_path / "seen")
    seen.remember("a", TWO)
    assert seen.known("a") == {"a": TWO}


# -- through a context ------------------------------------------------------------------------------------------------


def test_shell_commands_of_one_session_share_what_they_saw(store: Store, ctx: Context) -> None:
    session = ctx.sessions.start(actor="coder-1").id

    def command() -> Context:
        return Context(Store.open(store.path), actor="coder-1", session=session, share_bases=True)

    ctx.put("plan/a", "1")
    command().get("plan/a")
    with pytest.raises(EntryNotFound):
        command().get("plan/b")
    ctx.put("plan/a", "theirs")
    ctx.put("plan/b", "theirs")
    for key in ("plan/a", "plan/b"):
        with pytest.raises(MergeConflict):
            command().put(key, "ours", strategy="fail")
    command().put("plan/a", "ours")
    assert command().put("plan/a", "ours again", strategy="fail").changed
    forget_session(store.path, session)
    assert not seen_folder(store.path, session).exists()
    ctx.put("plan/a", "theirs again")
    assert command().put("plan/a", "no base, no conflict", strategy="fail").changed


def test_contexts_that_do_not_share_know_nothing_of_each_other(store: Store, ctx: Context) -> None:
    session = ctx.sessions.start(actor="coder-1").id
    ctx.put("a", "1")
    Context(store, actor="coder-1", session=session).get("a")
    assert not seen_folder(store.path, session).exists()
    ctx.put("a", "2")
    assert Context(store, actor="coder-1", session=session).put("a", "3", strategy="fail").changed


def test_a_dry_run_learns_nothing(store: Store, ctx: Context) -> None:
    session = ctx.sessions.start(actor="coder-1").id
    ctx.put("a", "1")
    dry = Context(store, actor="coder-1", session=session, share_bases=True, dry_run=True)
    dry.get("a")
    dry.apply([Put("a", b"2")])
    assert not seen_folder(store.path, session).exists()
