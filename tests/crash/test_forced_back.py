"""Somebody moves the branch with `git update-ref`: it can't be prevented, so it is noticed and merged back."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import InvalidKey
from gitctx.store import Store
from gitctx_testkit.audit import assert_written_once, head_of, ids_in_history
from gitctx_testkit.git import git, make_loose
from gitctx_testkit.processes import Talk, children

BRANCH = "refs/heads/context"
RELAXED = Config(durability="relaxed")


@pytest.fixture
def ctx(store: Store) -> Context:
    return Context(Store.open(store.path, RELAXED), actor="planner")


def content(ctx: Context) -> dict[str, str]:
    return {info.key: ctx.get(info.key).text() for info in ctx.list()}


def force(ctx: Context, revision: str) -> None:
    git(ctx.store.path, "update-ref", BRANCH, revision)


def as_it_is(ctx: Context) -> None:
    """The working folder stays."""


def without_folder(ctx: Context) -> None:
    shutil.rmtree(ctx.store.path / "gitctx")


def without_reflog(ctx: Context) -> None:
    (ctx.store.path / "logs" / BRANCH).unlink()


@pytest.mark.parametrize("lose", [as_it_is, without_folder, without_reflog])
def test_writes_that_were_thrown_off_come_back_with_the_next_write(
    ctx: Context, lose: Callable[[Context], None]
) -> None:
    ctx.put("plan/a.md", "1", id="one")
    back = ctx.put("plan/b.md", "1", id="two").revision
    ctx.put("plan/b.md", "2", id="three")
    ctx.remove("plan/a.md", id="four")
    ctx.put("plan/c.md", "1", id="five")
    force(ctx, back)
    lose(ctx)
    Context(Store.open(ctx.store.path, RELAXED), actor="coder-1").put("plan/d.md", "1", id="six")
    assert content(ctx) == {"plan/b.md": "2", "plan/c.md": "1", "plan/d.md": "1"}
    assert_written_once(ctx.store.path, ["one", "two", "three", "four", "five", "six"])


def test_verify_names_what_was_thrown_off_before_the_next_write_brings_it_back(ctx: Context) -> None:
    back = ctx.put("plan/a.md", "1").revision
    lost = ctx.put("plan/a.md", "2").revision
    force(ctx, back)
    problems = ctx.verify().problems
    assert [(problem.code, problem.subject) for problem in problems] == [("thrown_off", lost)]
    ctx.put("plan/b.md", "1")
    assert ctx.verify().problems == ()


def test_a_repeated_id_that_was_thrown_off_happens_once(ctx: Context) -> None:
    back = ctx.put("plan/a.md", "1").revision
    ctx.append("log.md", "line", id="the-line")
    force(ctx, back)
    assert ctx.append("log.md", "line", id="the-line").changed
    assert ctx.get("log.md").text() == "line\n"
    assert ids_in_history(ctx.store.path).count("the-line") == 1


def test_a_key_changed_on_both_sides_keeps_the_value_of_the_head_and_names_the_other(ctx: Context) -> None:
    back = ctx.put("plan/a.md", "1").revision
    lost = ctx.put("plan/a.md", "thrown off")
    force(ctx, back)
    clone = ctx.store.path.parent / "clone"
    git(clone.parent, "clone", "-q", str(ctx.store.path), "clone")
    (clone / "plan" / "a.md").write_text("by hand")
    git(clone, "commit", "-qam", "by hand")
    git(clone, "push", "-q")
    ctx.put("plan/b.md", "1")
    assert ctx.get("plan/a.md").text() == "by hand"
    rejoin = next(write for write in ctx.log() if write.op == "rejoin")
    assert rejoin.superseded == (lost.etag,)
    assert len(rejoin.parents) == 2
    assert "thrown off" in git(ctx.store.path, "log", "-p", "-m", "--format=%s")


def test_a_move_from_an_entry_to_a_folder_of_its_name_comes_back_whole(ctx: Context) -> None:
    """The removal makes room for what is put below it: they have to come back together."""
    back = ctx.put("plan", "an entry").revision
    with ctx.batch() as batch:
        batch.remove("plan")
        batch.put("plan/a.md", "now a folder")
    force(ctx, back)
    ctx.put("other.md", "1")
    assert content(ctx) == {"plan/a.md": "now a folder", "other.md": "1"}


def test_an_entry_in_the_place_of_a_folder_is_named_instead_of_stopping_every_write(ctx: Context) -> None:
    back = ctx.put("other.md", "0").revision
    lost = ctx.put("plan/a.md", "thrown off")
    force(ctx, back)
    blob = git(ctx.store.path, "hash-object", "-w", "--stdin", stdin="an entry")
    tree = git(ctx.store.path, "mktree", stdin=f"100644 blob {blob}\tplan\n")
    force(ctx, git(ctx.store.path, "commit-tree", "-p", back, "-m", "plan is an entry", tree))
    ctx.put("new.md", "1")
    rejoin = next(write for write in ctx.log() if write.op == "rejoin")
    assert lost.etag in rejoin.superseded
    assert ctx.get("plan").text() == "an entry"
    with pytest.raises(InvalidKey):
        ctx.put("plan/a.md", "again")


def test_several_heads_that_were_thrown_off_all_come_back(ctx: Context) -> None:
    base = ctx.put("base.md", "0").revision
    for number in range(3):
        ctx.put(f"plan/{number}.md", f"{number}", id=f"w{number}")
        force(ctx, base)
    without_folder(ctx)
    ctx.put("plan/last.md", "last", id="last")
    assert_written_once(ctx.store.path, ["w0", "w1", "w2", "last"])
    assert set(content(ctx)) == {"base.md", "plan/0.md", "plan/1.md", "plan/2.md", "plan/last.md"}


def test_a_branch_forced_to_an_unrelated_history_gets_its_writes_back(ctx: Context) -> None:
    ctx.put("plan/a.md", "1", id="one")
    tree = git(ctx.store.path, "rev-parse", "context^{tree}")
    force(ctx, git(ctx.store.path, "commit-tree", "-m", "unrelated", tree))
    Context(Store.open(ctx.store.path, RELAXED), actor="coder-1").put("plan/b.md", "1", id="two")
    assert_written_once(ctx.store.path, ["one", "two"])
    assert content(ctx) == {"plan/a.md": "1", "plan/b.md": "1"}


def test_a_reflog_line_of_a_write_that_never_happened_brings_nothing_back(ctx: Context) -> None:
    """The line is written before the ref moves: its new value may be the commit of a killed writer."""
    head = ctx.put("plan/a.md", "1").revision
    never = git(ctx.store.path, "commit-tree", "-p", head, "-m", "never published", f"{head}^{{tree}}")
    with (ctx.store.path / "logs" / BRANCH).open("a") as log:
        log.write(f"{head} {never} gitctx <gitctx@host> 1 +0000\tgitctx: put\n")
    without_folder(ctx)
    ctx.put("plan/b.md", "1")
    assert "rejoin" not in [write.op for write in ctx.log()]
    assert head_of(ctx.store.path) == next(ctx.log()).revision


def test_a_head_that_was_thrown_off_and_pruned_stops_nobody(ctx: Context) -> None:
    base = ctx.put("plan/a.md", "1").revision
    lost = ctx.put("plan/a.md", "2").revision
    force(ctx, base)
    make_loose(ctx.store.path)
    (ctx.store.path / "objects" / lost[:2] / lost[2:]).unlink()
    ctx.put("plan/b.md", "1")
    assert content(ctx) == {"plan/a.md": "1", "plan/b.md": "1"}


def test_the_sessions_branch_is_mended_in_the_same_way(ctx: Context) -> None:
    from gitctx.store.request import Planned, Request

    def note(key: str) -> str:
        request = Request("test", f"note {key}", "planner", lambda view: Planned(changes={key: b"{}"}))
        return str(ctx.store.sessions.write(request).revision)

    base = note("a.json")
    note("b.json")
    git(ctx.store.path, "update-ref", "refs/heads/sessions", base)
    note("c.json")
    assert [key for key, _ in ctx.store.sessions.view().etags()] == ["a.json", "b.json", "c.json"]
    for key in ("a", "b", "c"):
        ctx.store.sessions.write(
            Request("test", "tidy", "planner", lambda view, key=key: Planned(changes={f"{key}.json": None}))  # type: ignore[misc]
        )


def test_forced_moves_while_many_write_lose_nothing(store: Store) -> None:
    def write(who: int) -> Callable[[Talk], list[str]]:
        def run(talk: Talk) -> list[str]:
            ctx = Context(Store.open(store.path, RELAXED), actor=f"agent-{who}")
            ids = []
            while not talk.heard():
                ids.append(str(ctx.put(f"agent-{who}/{len(ids) % 4}.md", f"{len(ids)}").id))
            return ids

        return run

    with children(*(write(who) for who in range(4))) as running:
        for _ in range(15):
            git(store.path, "update-ref", BRANCH, f"{head_of(store.path)}~1", check=False)
        for child in running:
            child.talk.say("stop")
        acknowledged = [id for child in running for id in child.result()]
    Context(store, actor="planner").put("after.md", "1")
    assert_written_once(store.path, acknowledged)
