"""What every write method of a Context promises: one commit or none, preconditions, conflicts, ids, undo, limits."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gitctx import failpoints
from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.context.batch import Batch
from gitctx.errors import (
    AlreadyExists,
    ConfigInvalid,
    EntryNotFound,
    EntryTooLarge,
    GitctxError,
    IdReused,
    InvalidInput,
    InvalidKey,
    InvalidName,
    InvalidRevision,
    LockTimeout,
    MergeConflict,
    OutcomeUnknown,
    PreconditionFailed,
    RetriesExhausted,
    RevisionNotFound,
    WriteRejected,
)
from gitctx.format.merge_rules import MergeRules
from gitctx.format.objects import blob_id
from gitctx.format.strategies import Settled, Sides, Unsettled, merge
from gitctx.repository import refs
from gitctx.store import Store
from gitctx.store.edits import Append, Move, Put, Remove
from gitctx.values import EntryEtag, Written
from gitctx_testkit.audit import assert_written_once, head_of, ids_in_history
from gitctx_testkit.git import git

Act = Callable[..., Written]


def relaxed(store: Store, actor: str = "coder-1", **config: Any) -> Context:
    return Context(Store.open(store.path, Config(**{"durability": "relaxed", **config})), actor=actor)


@pytest.fixture
def other(store: Store) -> Context:
    """Another program on the same store."""
    return relaxed(store)


def commits(store: Store) -> int:
    return int(git(store.path, "rev-list", "--count", "context"))


def trailer(store: Store, name: str, revision: str = "context") -> list[str]:
    return git(store.path, "log", "-1", f"--format=%(trailers:key={name},valueonly)", revision).split()


def content(ctx: Context) -> dict[str, str]:
    return {info.key: ctx.get(info.key).text() for info in ctx.list()}


def batch(ctx: Context, **more: Any) -> Written:
    with ctx.batch(**more) as made:
        made.put("plan/b.md", "two")
        made.append("plan/a.md", "more")
        made.move("plan/a.md", "plan/c.md")
        made.remove("plan/old.md")
    assert made.written is not None
    return made.written


def foreign_commit(store: Store) -> None:
    """Another git client moves the head."""
    commit = git(store.path, "commit-tree", "-p", "context", "-m", "foreign", "context^{tree}")
    git(store.path, "update-ref", "refs/heads/context", commit)


WRITES: dict[str, Act] = {
    "put": lambda ctx, **more: ctx.put("plan/a.md", "new", **more),
    "put text": lambda ctx, **more: ctx.put("plan/umlaut.md", "ü", **more),
    "put bytes": lambda ctx, **more: ctx.put("plan/raw", b"\x00\xff", **more),
    "put json": lambda ctx, **more: ctx.put("plan/x.json", {"b": [1, None], "a": "ü"}, **more),
    "update": lambda ctx, **more: ctx.update("plan/n.json", lambda value: (value or 0) + 1, **more),
    "append": lambda ctx, **more: ctx.append("plan/a.md", "a line", **more),
    "add": lambda ctx, **more: ctx.add("finding/", "found", **more),
    "remove": lambda ctx, **more: ctx.remove("plan/a.md", **more),
    "move": lambda ctx, **more: ctx.move("plan/a.md", "done/a.md", **more),
    "move a folder": lambda ctx, **more: ctx.move("plan/", "done/", **more),
    "batch": batch,
    "apply": lambda ctx, **more: ctx.apply([Put("plan/b.md", b"two"), Remove("plan/a.md")], **more),
    "undo": lambda ctx, **more: ctx.undo("head", **more),
    "config": lambda ctx, **more: ctx.configure("claims.ttl_s", 60, **more),
    "config whole": lambda ctx, **more: ctx.replace_settings(b"[claims]\nttl_s = 60\n", **more),
}


@pytest.fixture
def filled(ctx: Context) -> Context:
    ctx.put("plan/a.md", "one")
    ctx.put("plan/old.md", "old")
    return ctx


# -- every write ------------------------------------------------------------------------------------------------------


def test_each_write_is_one_commit_on_the_head_that_says_who_what_and_why(
    store: Store, filled: Context, subtests: pytest.Subtests
) -> None:
    for name in WRITES:
        with subtests.test(name=name):
            written = _one_commit(store, filled, name)
            filled.undo(written.revision)


def _one_commit(store: Store, filled: Context, name: str) -> Written:
    id = "write-" + name.replace(" ", "-")
    before, count = head_of(store.path), commits(store)
    written = WRITES[name](filled, message="because\n\nGitctx-Id: forged", id=id)
    assert written.changed
    assert written.id == id
    assert written.revision == written.head == head_of(store.path) == filled.head
    assert commits(store) == count + 1
    assert git(store.path, "log", "-1", "--format=%P %an %ae %cn") == f"{before} planner planner@gitctx.invalid gitctx"
    assert trailer(store, "Gitctx-Op") == [name.partition(" ")[0].replace("apply", "batch")]
    assert trailer(store, "Gitctx-Id") == [id]
    assert "because" in git(store.path, "log", "-1", "--format=%b")
    changes = filled.diff(before)
    assert {(change.key, change.after) for change in changes} == {(e.key, e.etag) for e in written.entries}
    write, shown = filled.show(written.revision)
    assert list(shown) == list(changes)
    assert write.message == "because\n\nGitctx-Id: forged"
    return written


def test_the_same_id_makes_each_write_happen_once(store: Store, filled: Context, subtests: pytest.Subtests) -> None:
    for name in WRITES:
        with subtests.test(name=name):
            _twice(store, filled, name)


def _twice(store: Store, filled: Context, name: str) -> None:
    id, revision = "write-" + name.replace(" ", "-"), str(filled.head)
    act = WRITES[name] if name != "undo" else lambda ctx, **more: ctx.undo(revision, **more)
    first = act(filled, id=id)
    relaxed(store).put(f"other/{id}", "another's")
    again = act(relaxed(store, "planner"), id=id)
    assert (again.revision, again.id, again.changed) == (first.revision, id, True)
    assert again.head == head_of(store.path) != first.revision
    assert sorted(again.entries, key=lambda entry: entry.key) == sorted(first.entries, key=lambda entry: entry.key)
    assert ids_in_history(store.path).count(id) == 1
    filled.undo(first.revision)


UNCHANGING: list[Callable[[Context], Written]] = [
    lambda ctx: ctx.put("plan/a.md", "one"),
    lambda ctx: ctx.put("plan/a.md", b"one", if_match=blob_id(b"one")),
    lambda ctx: ctx.update("plan/a.md", lambda text: text, form="text"),
    lambda ctx: ctx.update("plan/none.json", lambda value: None),
    lambda ctx: ctx.remove("plan/none.md", missing_ok=True),
    lambda ctx: ctx.move("plan/a.md", "plan/a.md", overwrite=True),
    lambda ctx: ctx.apply([]),
    lambda ctx: ctx.apply([Put("x", b"1"), Remove("x"), Put("plan/a.md", b"2"), Put("plan/a.md", b"one")]),
    lambda ctx: ctx.apply([Move("plan/a.md", "x"), Move("x", "plan/a.md")]),
    lambda ctx: ctx.replace_settings(None),
]


def test_what_changes_nothing_makes_no_commit(store: Store, filled: Context, subtests: pytest.Subtests) -> None:
    for number, act in enumerate(UNCHANGING):
        with subtests.test(number=number):
            head = head_of(store.path)
            log = (store.path / "logs/refs/heads/context").read_bytes()
            written = act(filled)
            assert not written.changed
            assert written.revision == written.head == head == head_of(store.path)
            assert (store.path / "logs/refs/heads/context").read_bytes() == log


def test_values_are_kept_byte_for_byte(ctx: Context) -> None:
    ctx.put("a", "line")
    ctx.put("b", b"\xff\x00")
    ctx.put("c", {"z": 1, "a": ["ü", None]})
    assert ctx.get("a").value == b"line"
    assert ctx.get("b").value == b"\xff\x00"
    assert ctx.get("c").value == '{\n  "a": [\n    "ü",\n    null\n  ],\n  "z": 1\n}\n'.encode()


def test_values_that_would_not_come_back_are_refused(store: Store, ctx: Context) -> None:
    count = commits(store)
    values: list[Any] = [float("nan"), {"x": float("inf")}, {1: "x"}, object(), "\ud800"]
    for value in values:
        with pytest.raises(InvalidInput):
            ctx.put("a", value)
    assert commits(store) == count


def test_append_joins_lines_and_never_loses_those_of_others(ctx: Context, other: Context) -> None:
    ctx.put("log", "no newline at the end")
    ctx.get("log")
    other.append("log", "two\n")
    ctx.append("log", "three")
    assert ctx.get("log").text() == "no newline at the end\ntwo\nthree\n"


def test_add_makes_entries_that_sort_by_time_and_never_meet(ctx: Context) -> None:
    keys = [ctx.add("finding", f"{number}").key for number in range(3)]
    assert len(set(keys)) == 3
    assert all(key.startswith("finding/") and key.endswith(".md") and len(key) == 37 for key in keys)


def test_add_refuses_a_prefix_that_makes_no_key(ctx: Context) -> None:
    for prefix in (".gitctx/", "a//b", "-x"):
        with pytest.raises(InvalidKey):
            ctx.add(prefix, "x")
    assert "/" not in ctx.add("", "x").key


def test_update_is_asked_again_after_a_lost_race(ctx: Context) -> None:
    ctx.put("n.json", 1)
    seen: list[Any] = []

    def add_ten(value: Any) -> Any:
        seen.append(value)
        if len(seen) == 1:
            foreign_commit(ctx.store)
        return value + 10

    written = ctx.update("n.json", add_ten)
    assert seen == [1, 1]
    assert written.retries == 1
    assert trailer(ctx.store, "Gitctx-Retries") == ["1"]
    assert next(ctx.log()).retries == 1


def test_update_refuses_what_is_not_in_the_form_that_was_asked_for(ctx: Context) -> None:
    ctx.put("a", b"\xff not json")
    for form in ("json", "text"):
        with pytest.raises(InvalidInput):
            ctx.update("a", lambda value: value, form=form)
    ctx.update("a", lambda value: value + b"!", form="bytes")
    assert ctx.get("a").value == b"\xff not json!"


def test_update_that_returns_none_removes_the_entry(ctx: Context) -> None:
    ctx.put("a", "1")
    assert ctx.update("a", lambda value: None, form="text").entries == (EntryEtag("a", None),)
    with pytest.raises(EntryNotFound):
        ctx.get("a")


def test_an_error_of_the_callers_function_reaches_the_caller_and_frees_the_store(ctx: Context) -> None:
    with pytest.raises(ZeroDivisionError):
        ctx.update("a", lambda value: 1 / 0)
    ctx.put("a", "1")


def test_a_batch_whose_block_raises_writes_nothing(store: Store, ctx: Context) -> None:
    head = head_of(store.path)
    seen: list[Batch] = []

    def broken() -> None:
        with ctx.batch() as made:
            seen.append(made)
            made.put("a", "1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert head_of(store.path) == head
    assert seen[0].written is None


def test_a_batch_in_which_one_edit_fails_writes_nothing_and_says_which(store: Store, ctx: Context) -> None:
    head = head_of(store.path)
    with pytest.raises(EntryNotFound) as caught:
        ctx.apply([Put("a", b"1"), Remove("b")])
    assert caught.value.details["edit"] == 1
    assert head_of(store.path) == head


def test_each_edit_of_a_batch_sees_what_the_ones_before_it_left(ctx: Context) -> None:
    ctx.put("a", "1")
    with ctx.batch() as made:
        made.move("a", "b")
        made.append("b", "2")
        made.put("c", "3", if_absent=True)
        made.put("c", "4", if_match=blob_id(b"3"))
        made.remove("c")
        made.put("c/d", "5")
    assert content(ctx) == {"b": "1\n2\n", "c/d": "5"}


# -- moving -----------------------------------------------------------------------------------------------------------


def test_a_moved_folder_keeps_every_entry(ctx: Context) -> None:
    with ctx.batch() as made:
        for key in ("plan/a", "plan/b/c", "plan/b/d", "planet"):
            made.put(key, key)
    ctx.move("plan/", "done/2026")
    assert content(ctx) == {
        "done/2026/a": "plan/a",
        "done/2026/b/c": "plan/b/c",
        "done/2026/b/d": "plan/b/d",
        "planet": "planet",
    }


def test_a_folder_moved_into_itself_keeps_every_entry(ctx: Context) -> None:
    with ctx.batch() as made:
        for key in ("d/a", "d/sub/a", "d/sub/sub/a"):
            made.put(key, key)
    ctx.move("d/", "d/sub/")
    assert content(ctx) == {"d/sub/a": "d/a", "d/sub/sub/a": "d/sub/a", "d/sub/sub/sub/a": "d/sub/sub/a"}


def test_a_folder_moved_in_a_batch_is_moved_as_the_edits_before_left_it(ctx: Context) -> None:
    ctx.put("d/gone", "0")
    ctx.put("d/old", "1")
    with ctx.batch() as made:
        made.remove("d/gone")
        made.put("d/new", "2")
        made.move("d/", "e/")
    assert content(ctx) == {"e/new": "2", "e/old": "1"}


def test_a_move_never_overwrites_unless_told_to(store: Store, ctx: Context) -> None:
    ctx.put("a", "1")
    ctx.put("b", "2")
    head = head_of(store.path)
    with pytest.raises(AlreadyExists) as caught:
        ctx.move("a", "b")
    assert caught.value.details["key"] == "b"
    assert head_of(store.path) == head
    ctx.move("a", "b", overwrite=True)
    assert content(ctx) == {"b": "1"}


def test_moving_what_is_not_there_is_refused(ctx: Context) -> None:
    ctx.put("d/a", "1")
    for source, target in (("none", "b"), ("none/", "b/"), ("d", "e")):
        with pytest.raises(EntryNotFound):
            ctx.move(source, target)


# -- preconditions ----------------------------------------------------------------------------------------------------

WRONG = "0123456789" * 4


REFUSED: list[Callable[[Context], Written]] = [
    lambda ctx: ctx.put("plan/a.md", "x", if_match=WRONG),
    lambda ctx: ctx.put("plan/none.md", "x", if_match=WRONG),
    lambda ctx: ctx.put("plan/a.md", "x", if_absent=True),
    lambda ctx: ctx.put("plan/a.md", "one", if_absent=True),
    lambda ctx: ctx.put("plan/a.md", "x", expected_head="head~1"),
    lambda ctx: ctx.remove("plan/a.md", if_match=WRONG),
    lambda ctx: ctx.remove("plan/none.md", if_match=WRONG, missing_ok=True),
    lambda ctx: ctx.remove("plan/a.md", expected_head="head~1"),
    lambda ctx: ctx.apply([Put("x", b"x"), Put("plan/a.md", b"x", WRONG)]),
    lambda ctx: ctx.apply([Put("x", b"x"), Put("x", b"y", None, True)]),
    lambda ctx: ctx.apply([Put("x", b"x")], expected_head="head~1"),
    lambda ctx: ctx.replace_settings(b"", if_match=WRONG),
]


def test_a_precondition_that_does_not_hold_writes_nothing(
    store: Store, filled: Context, subtests: pytest.Subtests
) -> None:
    for number, act in enumerate(REFUSED):
        with subtests.test(number=number):
            head = head_of(store.path)
            with pytest.raises(PreconditionFailed) as caught:
                act(filled)
            assert (caught.value.changed, caught.value.retryable) == ("no", False)
            assert head_of(store.path) == head


ACCEPTED: list[Callable[[Context], Written]] = [
    lambda ctx: ctx.put("plan/a.md", "x", if_match=blob_id(b"one")),
    lambda ctx: ctx.put("plan/new.md", "x", if_absent=True),
    lambda ctx: ctx.put("plan/a.md", "x", expected_head="head"),
    lambda ctx: ctx.put("plan/a.md", "x", expected_head=ctx.head[:12]),
    lambda ctx: ctx.put("plan/a.md", "x", if_match=blob_id(b"one"), expected_head=ctx.head),
    lambda ctx: ctx.remove("plan/a.md", if_match=blob_id(b"one"), expected_head=ctx.head),
    lambda ctx: ctx.apply([Put("plan/a.md", b"x", blob_id(b"one"))], expected_head=ctx.head),
]


def test_a_precondition_that_holds_lets_the_write_through(filled: Context, subtests: pytest.Subtests) -> None:
    for number, act in enumerate(ACCEPTED):
        with subtests.test(number=number):
            written = act(filled)
            assert written.changed
            filled.undo(written.revision)


def test_a_failed_precondition_tells_what_is_there(filled: Context, other: Context) -> None:
    theirs = other.put("plan/a.md", "theirs")
    with pytest.raises(PreconditionFailed) as caught:
        filled.put("plan/a.md", "x", if_match=blob_id(b"one"))
    assert caught.value.details == {"key": "plan/a.md", "etag": theirs.etag, "if_match": blob_id(b"one")}


def test_preconditions_are_checked_again_after_a_lost_race(store: Store, ctx: Context, other: Context) -> None:
    ctx.put("a", "1")
    done = threading.Event()

    def interfere() -> None:
        if not done.is_set():
            done.set()
            tree = git(store.path, "mktree", stdin=f"100644 blob {blob_id(b'1')}\tb\n")
            commit = git(store.path, "commit-tree", "-p", "context", "-m", "removes a", tree)
            git(store.path, "update-ref", "refs/heads/context", commit)

    failpoints.activate("write.before_swap", interfere)
    try:
        with pytest.raises(PreconditionFailed):
            ctx.put("a", "2", if_match=blob_id(b"1"))
    finally:
        failpoints.deactivate()
    assert done.is_set()
    assert content(other) == {"b": "1"}


def test_preconditions_that_contradict_each_other_are_refused(ctx: Context) -> None:
    with pytest.raises(InvalidInput):
        ctx.put("a", "1", if_match=WRONG, if_absent=True)


def test_an_expected_head_that_names_nothing_is_an_error_of_its_own(ctx: Context) -> None:
    errors: dict[str, type[GitctxError]] = {"beef" * 10: RevisionNotFound, "": InvalidRevision}
    for head, error in errors.items():
        with pytest.raises(error):
            ctx.put("a", "1", expected_head=head)


# -- bases and strategies ---------------------------------------------------------------------------------------------


def test_by_default_the_last_write_wins_and_names_the_value_that_lost(
    store: Store, filled: Context, other: Context
) -> None:
    theirs = other.put("plan/a.md", "theirs")
    ours = filled.put("plan/a.md", "ours")
    assert ours.superseded == (theirs.etag,)
    assert trailer(store, "Gitctx-Supersedes") == [theirs.etag]
    assert next(filled.log()).superseded == (theirs.etag,)
    assert filled.get("plan/a.md").text() == "ours"
    assert git(store.path, "cat-file", "blob", str(theirs.etag)) == "theirs"


def test_an_own_write_is_the_base_of_the_next_one(filled: Context) -> None:
    filled.put("plan/a.md", "two", strategy="fail")
    assert filled.put("plan/a.md", "three", strategy="fail").superseded == ()


def test_a_key_that_was_never_seen_has_no_base_and_no_conflict(filled: Context, other: Context) -> None:
    assert other.put("plan/a.md", "unseen", strategy="fail").superseded == ()


def test_reading_again_makes_what_was_read_the_base(filled: Context, other: Context) -> None:
    other.put("plan/a.md", "theirs")
    filled.get("plan/a.md")
    assert filled.put("plan/a.md", "ours", strategy="fail").superseded == ()


def test_reading_an_old_revision_does_not_move_the_base(filled: Context, other: Context) -> None:
    other.put("plan/a.md", "theirs")
    filled.get("plan/a.md", at="head")
    with pytest.raises(MergeConflict):
        filled.put("plan/a.md", "ours", strategy="fail")


def test_a_change_of_other_keys_is_no_conflict(filled: Context, other: Context) -> None:
    other.put("plan/b.md", "theirs")
    assert filled.put("plan/a.md", "ours", strategy="fail").superseded == ()


def test_both_writing_the_same_is_no_conflict(filled: Context, other: Context) -> None:
    other.put("plan/a.md", "same")
    assert not filled.put("plan/a.md", "same", strategy="fail").changed


@pytest.mark.parametrize("theirs", ["theirs", None])
@pytest.mark.parametrize("ours", ["ours", None])
@pytest.mark.parametrize("base", ["base", None])
def test_fail_raises_with_all_three_sides_and_writes_nothing(
    store: Store, ctx: Context, other: Context, base: str | None, ours: str | None, theirs: str | None
) -> None:
    if theirs in (base, ours):
        theirs = "something else"
    if base is not None:
        ctx.put("k", base)
    else:
        with pytest.raises(EntryNotFound):
            ctx.get("k")
    if theirs is None:
        other.remove("k")
    else:
        other.put("k", theirs)
    head = head_of(store.path)
    edit = Put("k", ours.encode()) if ours is not None else Remove("k")
    with pytest.raises(MergeConflict) as caught:
        ctx.apply([edit], strategy="fail")
    etags = [blob_id(side.encode()) if side is not None else None for side in (base, ours, theirs)]
    error = caught.value
    assert (error.key, error.base, error.ours, error.theirs) == ("k", *etags)
    assert head_of(store.path) == head


def test_a_removal_that_wins_names_the_value_that_lost(store: Store, filled: Context, other: Context) -> None:
    theirs = other.put("plan/a.md", "theirs")
    assert filled.remove("plan/a.md").superseded == (theirs.etag,)
    assert trailer(store, "Gitctx-Supersedes") == [theirs.etag]


def test_winning_over_a_removal_supersedes_no_value(filled: Context, other: Context) -> None:
    other.remove("plan/a.md")
    assert filled.put("plan/a.md", "ours").superseded == ()


def test_a_function_of_ones_own_settles_a_conflict(filled: Context, other: Context) -> None:
    other.put("plan/a.md", "theirs")
    seen: list[Sides] = []

    def join(sides: Sides) -> Settled | Unsettled:
        seen.append(sides)
        return Settled((sides.theirs or b"") + b"+" + (sides.ours or b""), superseded=False)

    written = filled.put("plan/a.md", "ours", strategy=join)
    assert seen == [Sides("plan/a.md", b"one", b"ours", b"theirs")]
    assert filled.get("plan/a.md").text() == "theirs+ours"
    assert written.etag == blob_id(b"theirs+ours")
    assert written.superseded == ()


def test_a_function_of_ones_own_may_remove_the_entry_or_leave_the_conflict_to_the_caller(
    filled: Context, other: Context
) -> None:
    theirs = other.put("plan/a.md", "theirs")
    with pytest.raises(MergeConflict):
        filled.put("plan/a.md", "ours", strategy=lambda sides: Unsettled())
    written = filled.put("plan/a.md", "ours", strategy=lambda sides: Settled(None, superseded=True))
    assert written.entries == (EntryEtag("plan/a.md", None),)
    assert written.superseded == (theirs.etag,)


def test_what_a_function_of_ones_own_makes_is_held_to_the_limit(filled: Context, other: Context) -> None:
    other.put("plan/a.md", "theirs")
    with pytest.raises(EntryTooLarge):
        filled.put("plan/a.md", "ours", strategy=lambda sides: Settled(b"x" * 1048577, superseded=True))


def test_the_setting_for_the_longest_prefix_chooses_the_strategy(filled: Context, other: Context) -> None:
    for key in ("decision/a", "decision/draft/a"):
        filled.put(key, "base")
    other.configure("strategies.decision/", "fail")
    other.configure("strategies.decision/draft/", "last-write-wins")
    for key in ("decision/a", "decision/draft/a", "plan/a.md"):
        other.put(key, "theirs")
    with pytest.raises(MergeConflict):
        filled.put("decision/a", "ours")
    assert filled.put("decision/a", "ours", strategy="last-write-wins").superseded == (blob_id(b"theirs"),)
    assert filled.put("decision/draft/a", "ours").superseded == (blob_id(b"theirs"),)
    assert filled.put("plan/a.md", "ours").superseded == (blob_id(b"theirs"),)


LINES = "one\ntwo\nthree\n"


def test_merge_keeps_what_both_changed_and_names_nothing(store: Store, ctx: Context, other: Context) -> None:
    other.configure("merge.status/", {"counters": ["/done"], "appends": ["/log"]})
    ctx.put("status/a", {"done": 1, "log": [], "who": "a"})
    ctx.put("text", LINES)
    other.put("status/a", {"done": 4, "log": ["theirs"], "who": "a", "new": None})
    other.put("text", LINES.replace("three", "3"))
    with ctx.batch(strategy="merge") as batch:
        batch.put("status/a", {"done": 2, "log": ["ours"]})
        batch.put("text", LINES.replace("one", "1"))
    assert batch.written is not None
    assert batch.written.superseded == ()
    assert ctx.get("status/a").json() == {"done": 5, "log": ["theirs", "ours"], "new": None}
    assert ctx.get("text").text() == "1\ntwo\n3\n"
    assert [entry.etag for entry in batch.written.entries] == [ctx.get(key).etag for key in ("status/a", "text")]
    assert trailer(store, "Gitctx-Supersedes") == []


def test_merge_names_the_value_of_which_anything_gave_way(store: Store, ctx: Context, other: Context) -> None:
    other.configure("strategies.status/", "merge")
    ctx.put("status/a", {"who": "nobody"})
    theirs = other.put("status/a", {"who": "them", "theirs": 1})
    written = ctx.put("status/a", {"who": "us", "ours": 1})
    assert written.superseded == (theirs.etag,)
    assert trailer(store, "Gitctx-Supersedes") == [theirs.etag]
    assert ctx.get("status/a").json() == {"ours": 1, "theirs": 1, "who": "us"}


def test_merging_what_is_there_already_makes_no_commit(ctx: Context, other: Context) -> None:
    ctx.put("a", {"x": 1})
    other.put("a", {"x": 1, "y": 2, "z": 3})
    written = ctx.put("a", {"x": 1, "y": 2}, strategy="merge")
    assert (written.changed, written.superseded) == (False, ())


def test_undoing_with_merge_takes_back_one_write_and_leaves_what_came_after(ctx: Context) -> None:
    ctx.put("a", {"x": 1})
    wrong = ctx.put("a", {"wrong": 1, "x": 1})
    ctx.put("a", {"later": 1, "wrong": 1, "x": 1})
    with pytest.raises(MergeConflict):
        ctx.undo(wrong.revision)
    assert ctx.undo(wrong.revision, strategy="merge").superseded == ()
    assert ctx.get("a").json() == {"later": 1, "x": 1}


def test_removing_with_merge_what_changed_meanwhile_names_it(ctx: Context, other: Context) -> None:
    ctx.put("a", {"x": 1})
    theirs = other.put("a", {"x": 2})
    assert ctx.remove("a", strategy="merge").superseded == (theirs.etag,)


def test_what_a_merge_added_isnt_overwritten_unseen_by_the_next_write(ctx: Context, other: Context) -> None:
    ctx.put("a", {"x": 1})
    other.put("a", {"theirs": 1, "x": 1})
    ctx.put("a", {"ours": 1, "x": 1}, strategy="merge")
    with pytest.raises(MergeConflict):
        ctx.put("a", {"ours": 2, "x": 1}, strategy="fail")
    ctx.put("a", {"ours": 2, "x": 1}, strategy="merge")
    assert ctx.get("a").json() == {"ours": 2, "theirs": 1, "x": 1}
    assert ctx.put("a", {"ours": 3}, strategy="fail").superseded == ()


def test_a_function_of_ones_own_is_told_what_is_declared_and_may_build_on_merge(ctx: Context, other: Context) -> None:
    other.configure("merge.n", {"counters": [""]})
    ctx.put("n", 1)
    other.put("n", 3)
    seen: list[MergeRules] = []

    def mine(sides: Sides) -> Settled | Unsettled:
        seen.append(sides.rules)
        return merge(sides)

    ctx.put("n", 2, strategy=mine)
    assert ctx.get("n").json() == 4
    assert seen == [MergeRules(counters=("",))]


def test_a_merged_value_is_held_to_the_limit(ctx: Context, other: Context) -> None:
    other.configure("limits.max_value_bytes", 40)
    ctx.put("a", {})
    other.put("a", {"theirs": "x" * 20})
    with pytest.raises(EntryTooLarge):
        ctx.put("a", {"ours": "x" * 20}, strategy="merge")


def test_an_unknown_strategy_is_refused_even_without_a_conflict(ctx: Context) -> None:
    with pytest.raises(ConfigInvalid):
        ctx.put("a", "1", strategy="coin-toss")


def test_a_base_that_is_given_counts_instead_of_what_was_seen(filled: Context) -> None:
    base = filled.head
    filled.put("plan/a.md", "two")
    with pytest.raises(MergeConflict) as caught:
        filled.put("plan/a.md", "three", base=base, strategy="fail")
    assert caught.value.base == blob_id(b"one")
    with pytest.raises(MergeConflict):
        filled.remove("plan/a.md", base=base, strategy="fail")
    assert filled.put("plan/a.md", "three", base="head", strategy="fail").changed


def test_a_batch_in_conflict_writes_nothing_or_names_every_value_that_lost(
    store: Store, filled: Context, other: Context
) -> None:
    lost = [other.put(key, f"theirs {key}").etag for key in ("plan/a.md", "plan/old.md")]
    head = head_of(store.path)
    with pytest.raises(MergeConflict):
        filled.apply([Put("x", b"x"), Put("plan/a.md", b"ours")], strategy="fail")
    assert head_of(store.path) == head
    with filled.batch() as made:
        made.put("plan/a.md", "ours")
        made.remove("plan/old.md")
    assert made.written is not None
    assert list(made.written.superseded) == lost
    assert trailer(store, "Gitctx-Supersedes") == lost


def test_if_match_never_merges(filled: Context, other: Context) -> None:
    theirs = other.put("plan/a.md", "theirs")

    def never(sides: Sides) -> Settled | Unsettled:
        raise AssertionError("a guarded write was merged")

    assert filled.put("plan/a.md", "ours", if_match=theirs.etag, strategy=never).superseded == ()


# -- ids --------------------------------------------------------------------------------------------------------------


REUSES: list[Callable[[Context], Written]] = [
    lambda ctx: ctx.put("plan/a.md", "other value", id="the-write"),
    lambda ctx: ctx.put("plan/b.md", "x", id="the-write"),
    lambda ctx: ctx.put("plan/a.md", "x", id="the-write", if_match=blob_id(b"one")),
    lambda ctx: ctx.append("plan/a.md", "x", id="the-write"),
    lambda ctx: ctx.remove("plan/a.md", id="the-write"),
    lambda ctx: ctx.configure("claims.ttl_s", 60, id="the-write"),
    lambda ctx: ctx.checkpoints.restore("mark", id="the-write"),
]


def test_an_id_is_refused_for_another_change(store: Store, filled: Context, subtests: pytest.Subtests) -> None:
    filled.checkpoints.create("mark")
    first = filled.put("plan/a.md", "x", id="the-write")
    for number, act in enumerate(REUSES):
        with subtests.test(number=number):
            with pytest.raises(IdReused) as caught:
                act(filled)
            assert caught.value.details == {"id": "the-write", "revision": first.revision}
    assert head_of(store.path) == first.revision


@pytest.mark.parametrize("damage", ["lost", "garbage", "a folder", "no working folder"])
def test_ids_are_honoured_without_their_index(store: Store, ctx: Context, damage: str) -> None:
    first = ctx.put("a", "1", id="the-write")
    ctx.put("b", "1", id="another")
    assert ctx.put("a", "1", id="the-write").revision == first.revision
    for path in (store.path / "gitctx/cache").iterdir():
        path.unlink()
        if damage == "garbage":
            path.write_bytes(b"no database")
        elif damage == "a folder":
            path.mkdir()
    if damage == "no working folder":
        shutil.rmtree(store.path / "gitctx")
    assert relaxed(store).put("a", "1", id="the-write").revision == first.revision
    assert ids_in_history(store.path).count("the-write") == 1


def test_eight_threads_with_one_id_write_once(store: Store, ctx: Context) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: ctx.append("log", "line", id="the-write"), range(8)))
    assert len({each.revision for each in written}) == 1
    assert ctx.get("log").text() == "line\n"
    assert_written_once(store.path, ["the-write"])


def test_an_id_that_a_trailer_cannot_hold_is_refused(ctx: Context) -> None:
    ids: list[Any] = ["", "a b", "-x", "x" * 65, "ü", "a\nGitctx-Op: x", 7]
    for id in ids:
        with pytest.raises(InvalidName):
            ctx.put("a", "1", id=id)


def test_an_unknown_outcome_names_the_id_and_repeating_it_writes_once(
    store: Store, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = str(store.path / "refs" / "heads")

    def broken(path: str) -> None:
        if path == heads:
            raise OSError(5, "the disk is gone")

    before = head_of(store.path)
    with monkeypatch.context() as patch:
        patch.setattr(refs, "sync_folder", broken)
        with pytest.raises(OutcomeUnknown) as caught:
            ctx.append("log", "line")
    assert (caught.value.changed, caught.value.retryable) == ("unknown", True)
    happened = head_of(store.path)
    assert happened != before
    again = ctx.append("log", "line", id=caught.value.id)
    assert again.revision == happened
    assert ctx.get("log").text() == "line\n"
    assert_written_once(store.path, [caught.value.id])


# -- undo -------------------------------------------------------------------------------------------------------------


def test_each_write_can_be_undone_and_the_undoing_too(store: Store, filled: Context, subtests: pytest.Subtests) -> None:
    for name, act in WRITES.items():
        with subtests.test(name=name):
            before = git(store.path, "rev-parse", "context^{tree}")
            written = act(filled)
            after = git(store.path, "rev-parse", "context^{tree}")
            undone = filled.undo(written.revision)
            assert git(store.path, "rev-parse", "context^{tree}") == before
            assert written.revision[:10] in git(store.path, "log", "-1", "--format=%s")
            again = filled.undo(undone.revision)
            assert git(store.path, "rev-parse", "context^{tree}") == after
            filled.undo(again.revision)


def test_undoing_an_older_write_leaves_later_ones_alone(filled: Context, other: Context) -> None:
    written = filled.put("plan/a.md", "two")
    other.put("plan/b.md", "kept")
    filled.undo(written.revision)
    assert content(filled) == {"plan/a.md": "one", "plan/b.md": "kept", "plan/old.md": "old"}


def test_undoing_what_was_changed_since_is_a_conflict_unless_settled(
    store: Store, filled: Context, other: Context
) -> None:
    written = filled.put("plan/a.md", "two")
    theirs = other.put("plan/a.md", "theirs")
    head = head_of(store.path)
    with pytest.raises(MergeConflict) as caught:
        filled.undo(written.revision)
    error = caught.value
    assert (error.base, error.ours, error.theirs) == (written.etag, blob_id(b"one"), theirs.etag)
    assert head_of(store.path) == head
    assert filled.undo(written.revision, strategy="last-write-wins").superseded == (theirs.etag,)
    assert filled.get("plan/a.md").text() == "one"


def test_undoing_twice_changes_nothing_more(filled: Context) -> None:
    written = filled.put("plan/a.md", "two")
    filled.undo(written.revision)
    assert not filled.undo(written.revision).changed


def test_what_is_no_write_of_the_context_cannot_be_undone(filled: Context) -> None:
    filled.checkpoints.create("mark")
    for revision in (git(filled.store.path, "rev-list", "--max-parents=0", "context"), "mark", "sessions"):
        with pytest.raises(InvalidRevision):
            filled.undo(revision)
    for revision in ("beef" * 10, "no-such-name"):
        with pytest.raises(RevisionNotFound):
            filled.undo(revision)


def test_a_claim_is_not_undone(filled: Context) -> None:
    filled.claims.claim("job")
    with pytest.raises(InvalidRevision):
        filled.undo("head")
    assert [claim.name for claim in filled.claims.list()] == ["job"]


# -- limits and keys --------------------------------------------------------------------------------------------------


SIZED: list[Callable[[Context, int], Written]] = [
    lambda ctx, size: ctx.put("a", b"x" * size),
    lambda ctx, size: ctx.update("a", lambda value: b"x" * size, form="bytes"),
    lambda ctx, size: ctx.append("a", b"x" * (size - 1)),
    lambda ctx, size: ctx.add("a/", b"x" * size),
    lambda ctx, size: ctx.apply([Append("a", b"x" * (size - 2)), Append("a", b"")]),
]


def test_the_limit_holds_to_the_byte_for_every_write(store: Store, ctx: Context, subtests: pytest.Subtests) -> None:
    ctx.configure("limits.max_value_bytes", 100)
    for number, act in enumerate(SIZED):
        with subtests.test(number=number):
            head = head_of(store.path)
            with pytest.raises(EntryTooLarge) as caught:
                act(ctx, 101)
            assert caught.value.details["max_value_bytes"] == 100
            assert caught.value.details["size"] == 101
            assert head_of(store.path) == head
            written = act(ctx, 100)
            assert written.changed
            ctx.undo(written.revision)


def test_a_mebibyte_is_allowed_and_one_more_byte_is_not(ctx: Context) -> None:
    value = random.Random(1).randbytes(1048576)
    ctx.put("a", value)
    assert ctx.get("a").value == value
    with pytest.raises(EntryTooLarge):
        ctx.put("a", value + b"!")
    ctx.configure("limits.max_value_bytes", 1048577)
    ctx.put("a", value + b"!")


def test_a_small_limit_never_locks_the_settings_in(ctx: Context) -> None:
    ctx.configure("limits.max_value_bytes", 1)
    ctx.configure("limits.max_value_bytes", None)
    ctx.put("a", "long again")


def test_settings_that_cannot_be_read_stop_no_write(ctx: Context) -> None:
    ctx.replace_settings(b"[limits]\nmax_value_bytes = 'x'\n[strategies]\n'plan/' = 'fail'\n")
    ctx.put("a", "1")
    assert len(ctx.settings().problems) == 1
    assert ctx.settings().strategies == {"plan/": "fail"}
    ctx.replace_settings(b"= nonsense")
    ctx.put("a", "2")
    assert [finding.code for finding in ctx.verify().warnings] == ["settings"]


def test_a_key_is_never_both_an_entry_and_a_folder(store: Store, ctx: Context) -> None:
    ctx.put("a", "1")
    ctx.put("d/e", "1")
    head = head_of(store.path)
    attempts: list[Callable[[], Written]] = [
        lambda: ctx.put("a/b", "x"),
        lambda: ctx.put("d", "x"),
        lambda: ctx.append("d", "x"),
        lambda: ctx.move("a", "d"),
        lambda: ctx.move("d/e", "a/e"),
        lambda: ctx.apply([Put("n", b"1"), Put("n/m", b"2")]),
        lambda: ctx.apply([Put("n/m", b"2"), Put("n", b"1")]),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidKey):
            attempt()
    assert head_of(store.path) == head


def test_an_entry_may_become_a_folder_and_back_in_one_batch(ctx: Context) -> None:
    ctx.put("a", "1")
    ctx.apply([Put("a/b", b"2"), Remove("a")])
    assert content(ctx) == {"a/b": "2"}
    ctx.apply([Remove("a/b"), Put("a", b"3")])
    assert content(ctx) == {"a": "3"}
    ctx.move("a", "a/b")
    assert content(ctx) == {"a/b": "3"}


LONGEST = f"{'a' * 255}/{'b' * 254}/c"


def test_the_longest_keys_work_everywhere_and_one_byte_more_is_refused(store: Store, ctx: Context) -> None:
    umlauts = f"{'ü' * 127}x/{'ü' * 127}/c"
    for key in (LONGEST, umlauts + "d"[: 512 - len(umlauts.encode())]):
        written = ctx.put(key, "1", id="k" * 64 if key == LONGEST else None)
        assert ctx.get(key).text() == "1"
        assert next(ctx.log(key)).revision == written.revision
        assert git(store.path, "-c", "core.quotePath=off", "show", f"context:{key}") == "1"
        ctx.undo(written.revision)
    assert len(LONGEST) == 512
    for key in (LONGEST + "c", "a" * 256, "ü" * 128):
        with pytest.raises(InvalidKey):
            ctx.put(key, "1")


KEYED: list[Callable[[Context, str], Written]] = [
    lambda ctx, key: ctx.put(key, "x"),
    lambda ctx, key: ctx.append(key, "x"),
    lambda ctx, key: ctx.update(key, lambda value: "x"),
    lambda ctx, key: ctx.remove(key),
    lambda ctx, key: ctx.move(key, "x"),
    lambda ctx, key: ctx.move("a", key),
    lambda ctx, key: ctx.move("d/", key),
]


def test_what_is_gitctxs_own_is_not_written_as_an_entry(store: Store, ctx: Context, subtests: pytest.Subtests) -> None:
    ctx.apply([Put("a", b"1"), Put("d/e", b"1")])
    ctx.configure("claims.ttl_s", 60)
    head = head_of(store.path)
    for key in (".gitctx/settings.toml", ".gitctx/claims/x", ".gitctx"):
        for number, act in enumerate(KEYED):
            with subtests.test(key=key, number=number), pytest.raises(InvalidKey):
                act(ctx, key)
    assert head_of(store.path) == head


def test_a_batch_refuses_the_keys_that_a_single_write_refuses(store: Store, ctx: Context) -> None:
    head = head_of(store.path)
    edits: list[Callable[[Batch, str], None]] = [
        lambda made, key: made.put(key, "x"),
        lambda made, key: made.append(key, "x"),
        lambda made, key: made.remove(key, missing_ok=True),
        lambda made, key: made.move("a", key),
        lambda made, key: made.move("a/", key + "/"),
    ]
    for key in (".gitctx/settings.toml", ".gitctx", "a//b", "a//"):
        for edit in edits:
            with pytest.raises(InvalidKey), ctx.batch() as made:
                edit(made, key)
    assert head_of(store.path) == head


def test_a_folder_that_cannot_be_is_not_moved(ctx: Context) -> None:
    for source in ("/", "d//", ".gitctx/", "-/"):
        with pytest.raises(InvalidKey):
            ctx.move(source, "e/")


def test_a_moved_folder_makes_no_key_longer_than_keys_may_be(store: Store, ctx: Context) -> None:
    ctx.put(f"d/{'a' * 255}/{'b' * 254}", "1")
    ctx.move("d/", "e/")
    head = head_of(store.path)
    with pytest.raises(InvalidKey):
        ctx.move("e/", "ef/")
    assert head_of(store.path) == head


def test_what_is_gitctxs_own_can_be_read_and_is_only_listed_when_asked_for(ctx: Context) -> None:
    ctx.configure("claims.ttl_s", 60)
    ctx.put("a", "1")
    assert [info.key for info in ctx.list()] == ["a"]
    assert [info.key for info in ctx.list(".gitctx/")] == [".gitctx/settings.toml"]
    assert "ttl_s" in ctx.get(".gitctx/settings.toml").text()


def test_a_folder_of_five_thousand_is_one_batch_and_stays_cheap_to_write(store: Store) -> None:
    ctx = relaxed(store)
    ctx.apply([Put(f"finding/{number:05}.md", b"same") for number in range(5_000)])
    before = int(git(store.path, "count-objects").split()[0])
    ctx.put("finding/00007.md", "changed", message="one of many")
    ctx.remove("finding/00008.md")
    ctx.put("finding/new.md", "new")
    assert int(git(store.path, "count-objects").split()[0]) - before < 30
    entry = ctx.get("finding/00007.md")
    assert entry.git_path != entry.key
    assert git(store.path, "show", f"{entry.revision}:{entry.git_path}") == "changed"
    keys = [info.key for info in ctx.list("finding/")]
    assert keys == [*(f"finding/{number:05}.md" for number in range(5_000) if number != 8), "finding/new.md"]
    assert [write.message for write in ctx.log("finding/00007.md")] == ["one of many", ""]


# -- retries and locks ------------------------------------------------------------------------------------------------


class Watch:
    """A stopwatch that only sleeping moves."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def context(self, store: Store, **config: Any) -> Context:
        return relaxed(store, monotonic=self.monotonic, sleep=self.sleep, **config)


def test_the_classic_policy_tries_three_times_more_and_then_has_surely_written_nothing(store: Store) -> None:
    watch = Watch()
    ctx = watch.context(store, retry=RetryPolicy.classic())
    plans = 0

    def lose(value: Any) -> Any:
        nonlocal plans
        plans += 1
        foreign_commit(store)
        return "x"

    with pytest.raises(RetriesExhausted) as caught:
        ctx.update("a", lose, id="the-write")
    assert watch.slept == [0.1, 0.2, 0.4]
    assert plans == 4
    assert isinstance(caught.value, RuntimeError | WriteRejected)
    assert (caught.value.changed, caught.value.retryable) == ("no", True)
    assert "the-write" not in ids_in_history(store.path)
    assert ctx.put("a", "x").changed


def test_a_write_that_wins_the_last_try_of_the_classic_policy_is_made(store: Store) -> None:
    watch = Watch()
    ctx = watch.context(store, retry=RetryPolicy.classic())
    plans = 0

    def lose_three_times(value: Any) -> Any:
        nonlocal plans
        plans += 1
        if plans < 4:
            foreign_commit(store)
        return "x"

    assert ctx.update("a", lose_three_times).retries == 3


def test_the_default_policy_waits_with_jitter_under_a_doubling_ceiling_until_its_deadline(store: Store) -> None:
    watch = Watch()
    ctx = watch.context(store, rng=random.Random(7), retry=RetryPolicy(deadline_s=0.2))

    def lose(value: Any) -> Any:
        foreign_commit(store)
        return "x"

    with pytest.raises(RetriesExhausted):
        ctx.update("a", lose)
    ceilings = [min(0.001 * 2**number, 0.05) for number in range(len(watch.slept))]
    assert all(0 <= delay <= ceiling for delay, ceiling in zip(watch.slept, ceilings, strict=True))
    assert len(set(watch.slept)) == len(watch.slept) > 5
    assert 0.1 < sum(watch.slept) <= 0.2


def test_a_lock_of_another_git_is_waited_for_until_the_deadline_and_left_alone(store: Store) -> None:
    lock = store.path / "refs/heads/context.lock"
    lock.touch()
    head, watch = head_of(store.path), Watch()
    with pytest.raises(LockTimeout) as caught:
        watch.context(store).put("a", "1", id="the-write")
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.changed, caught.value.retryable) == ("no", True)
    assert 4.9 < sum(watch.slept) <= 5.0
    assert lock.exists()
    assert head_of(store.path) == head
    lock.unlink()
    assert watch.context(store).put("a", "1", id="the-write").changed


def test_a_lock_that_goes_away_in_time_only_delays_the_write(store: Store) -> None:
    lock = store.path / "refs/heads/context.lock"
    lock.touch()
    watch = Watch()

    def sleep(seconds: float) -> None:
        watch.sleep(seconds)
        if watch.monotonic() > 1:
            lock.unlink(missing_ok=True)

    written = relaxed(store, monotonic=watch.monotonic, sleep=sleep).put("a", "1")
    assert written.changed
    assert written.retries == 0


# -- a dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_of_each_write_tells_what_would_change_and_changes_nothing(
    store: Store, filled: Context, subtests: pytest.Subtests
) -> None:
    for name, act in WRITES.items():
        with subtests.test(name=name):
            head, objects = head_of(store.path), git(store.path, "count-objects")
            id = "write-" + name.replace(" ", "-")
            dry = act(Context(store, actor="planner", dry_run=True), id=id)
            assert dry.changed
            assert head_of(store.path) == head
            assert git(store.path, "count-objects") == objects
            real = act(filled, id=id)
            assert dry.entries == real.entries
            filled.undo(real.revision)


def test_acknowledgements_print_as_json_values(filled: Context) -> None:
    written = filled.put("plan/a.md", "x")
    assert json.dumps([written.key, written.etag, written.revision, written.id])
    with pytest.raises(ValueError, match="no single etag"):
        _ = batch(filled).etag
