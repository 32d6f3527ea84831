"""What holds beside people and programs that use plain git on a store: nothing of theirs or ours gets lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import InvalidKey
from gitctx.format.objects import blob_id
from gitctx.repository import Repository
from gitctx.store import Store
from gitctx.store.edits import Put, Remove
from gitctx_testkit.audit import assert_sound, assert_written_once, head_of
from gitctx_testkit.git import git

CONTEXT = "refs/heads/context"


def reopened(store: Store) -> Context:
    return Context(Store.open(store.path, Config(durability="relaxed")), actor="coder-1")


def content(ctx: Context, at: str | None = None) -> dict[str, str]:
    return {info.key: ctx.get(info.key, at=at).text() for info in ctx.list(at=at)}


def commit_files(store: Store, files: Mapping[str, str | None], parent: str = "context") -> str:
    """A commit by another git client, on no branch: files put or (None) removed."""
    start = git(store.path, "rev-parse", parent)
    lines = ["commit refs/by-hand", "committer somebody <somebody@example.com> now", "data 7", "by hand"]
    lines.append(f"from {start}")
    for path, text in files.items():
        lines += [f"D {path}"] if text is None else [f"M 100644 inline {path}", f"data {len(text.encode())}", text]
    git(store.path, "fast-import", "--quiet", "--date-format=now", stdin="\n".join(lines) + "\n")
    made = git(store.path, "rev-parse", "refs/by-hand")
    git(store.path, "update-ref", "-d", "refs/by-hand")
    return made


def update_ref(store: Store, revision: str) -> None:
    git(store.path, "update-ref", CONTEXT, revision)


@pytest.fixture
def clone(store: Store, ctx: Context, tmp_path: Path) -> Path:
    ctx.put("plan/a", "1")
    git(tmp_path, "clone", "-q", "-b", "context", str(store.path), "clone")
    return tmp_path / "clone"


# -- pushing ----------------------------------------------------------------------------------------------------------


def push(clone: Path, text: str = "by hand", key: str = "plan/b") -> str:
    (clone / key).parent.mkdir(parents=True, exist_ok=True)
    (clone / key).write_text(text)
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "by hand")
    git(clone, "push", "-q", "origin", "context")
    return git(clone, "rev-parse", "HEAD")


def test_what_is_pushed_is_read_and_built_on_at_once(store: Store, ctx: Context, clone: Path) -> None:
    ctx.get("plan/a")
    pushed = push(clone)
    assert ctx.head == pushed
    assert content(ctx) == {"plan/a": "1", "plan/b": "by hand"}
    written = ctx.put("plan/a", "2")
    assert git(store.path, "rev-parse", f"{written.revision}^") == pushed
    write, changes = ctx.show(pushed)
    assert (write.op, write.actor, write.id, write.keys) == (None, "somebody", None, ("plan/b",))
    assert [change.kind for change in changes] == ["added"]


def test_what_is_pushed_is_a_side_of_conflicts_like_any_write(ctx: Context, clone: Path) -> None:
    ctx.get("plan/a")
    push(clone, "theirs", "plan/a")
    assert ctx.put("plan/a", "ours").superseded == (blob_id(b"theirs"),)


def test_a_push_that_would_throw_writes_off_is_refused(store: Store, ctx: Context, clone: Path) -> None:
    head = ctx.put("plan/a", "2").revision
    (clone / "plan/a").write_text("3")
    git(clone, "commit", "-q", "-a", "-m", "behind")
    for arguments in (["context"], ["--force", "context"], ["--delete", "context"]):
        git(clone, "push", "-q", "origin", *arguments, check=False)
        assert head_of(store.path) == head
    git(clone, "pull", "-q", "--rebase", "-X", "theirs", "origin", "context")
    git(clone, "push", "-q", "origin", "context")
    assert ctx.get("plan/a").text() == "3"


# -- forced moves -----------------------------------------------------------------------------------------------------


def test_a_ref_that_is_moved_forward_by_hand_is_built_on(store: Store, ctx: Context) -> None:
    ctx.put("plan/a", "1")
    update_ref(store, commit_files(store, {"plan/b": "by hand"}))
    assert ctx.verify().ok
    ctx.put("plan/c", "2")
    assert content(ctx) == {"plan/a": "1", "plan/b": "by hand", "plan/c": "2"}
    assert git(store.path, "rev-list", "--merges", "--count", "context") == "0"


def _nothing(store: Store) -> None:
    pass


def _without_working_folder(store: Store) -> None:
    shutil.rmtree(store.path / "gitctx")


def _repacked(store: Store) -> None:
    git(store.path, "pack-refs", "--all")
    git(store.path, "repack", "-q", "-ad", "--keep-unreachable")


@pytest.mark.parametrize("also", [_nothing, _without_working_folder, _repacked])
def test_writes_that_were_thrown_off_come_back_with_the_next_write(
    store: Store, ctx: Context, also: Callable[[Store], None]
) -> None:
    kept = ctx.put("plan/a", "1", id="one")
    ctx.put("plan/b", "2", id="two")
    lost = ctx.remove("plan/a", id="three")
    update_ref(store, kept.revision)
    also(store)
    found = reopened(store).verify()
    assert [(finding.code, finding.subject) for finding in found.problems] == [("thrown_off", lost.revision)]
    assert content(reopened(store)) == {"plan/a": "1"}
    reopened(store).put("plan/c", "3", id="four")
    assert content(ctx) == {"plan/b": "2", "plan/c": "3"}
    assert git(store.path, "log", "-1", "--format=%P", "context~1").split() == [kept.revision, lost.revision]
    assert_written_once(store.path, ["one", "two", "three", "four"])
    assert reopened(store).verify().ok


def test_a_write_that_changes_nothing_brings_thrown_off_writes_back_too(store: Store, ctx: Context) -> None:
    ctx.put("plan/a", "1")
    ctx.put("plan/b", "2")
    update_ref(store, "context~1")
    assert not reopened(store).put("plan/a", "1").changed
    assert content(ctx) == {"plan/a": "1", "plan/b": "2"}


@pytest.mark.parametrize("way_back", [["{ours}"], ["{ours}~1", "{ours}"], ["{theirs}~2", "{theirs}", "{ours}"]])
def test_what_another_git_pushed_comes_back_when_it_was_thrown_off_in_favour_of_our_last_write(
    store: Store, ctx: Context, way_back: list[str]
) -> None:
    """The head is then what gitctx itself published last, so only the reflog tells that anything happened."""
    ctx.put("plan/a", "1")
    ours = ctx.put("plan/b", "2").revision
    theirs = commit_files(store, {"plan/c": "by hand"})
    update_ref(store, theirs)
    for step in way_back:
        update_ref(store, step.format(ours=ours, theirs=theirs))
    assert [(finding.code, finding.subject) for finding in ctx.verify().problems] == [("thrown_off", theirs)]
    ctx.put("plan/d", "3")
    assert content(ctx) == {"plan/a": "1", "plan/b": "2", "plan/c": "by hand", "plan/d": "3"}
    assert ctx.verify().ok


def test_a_head_that_others_moved_forward_is_not_walked_again_for_every_write_that_changes_nothing(
    store: Store, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx.put("plan/a", "1")
    update_ref(store, commit_files(store, {"plan/b": "by hand"}))
    ctx.put("plan/a", "1")

    def walk(self: Repository, start: str, hide: object = ()) -> object:
        raise AssertionError("the history was walked")

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "walk", walk)
        assert not ctx.put("plan/a", "1").changed


def test_where_both_sides_changed_a_key_the_heads_value_stands_and_the_other_is_named(
    store: Store, ctx: Context
) -> None:
    ctx.apply([Put(key, b"base") for key in ("both", "same", "gone here", "gone there")])
    base = ctx.head
    ctx.apply(
        [
            Put("both", b"lost"),
            Put("same", b"same"),
            Put("gone here", b"changed there"),
            Remove("gone there"),
            Put("only there", b"1"),
            Put("folder here", b"entry there"),
        ]
    )
    by_hand = commit_files(
        store,
        {"both": "head", "same": "same", "gone here": None, "gone there": "changed here", "folder here/x": "1"},
        base,
    )
    update_ref(store, by_hand)
    reopened(store).put("next", "1")
    assert content(ctx) == {
        "both": "head",
        "same": "same",
        "gone there": "changed here",
        "only there": "1",
        "folder here/x": "1",
        "next": "1",
    }
    named = git(store.path, "log", "-1", "--format=%(trailers:key=Gitctx-Supersedes,valueonly)", "context~1").split()
    assert set(named) == {blob_id(text) for text in (b"lost", b"changed there", b"entry there")}
    assert next(write for write in ctx.log() if write.op == "rejoin").superseded == tuple(named)


# -- the working folder -----------------------------------------------------------------------------------------------


def test_without_the_working_folder_nothing_of_the_context_is_lost(store: Store, ctx: Context) -> None:
    first = ctx.put("plan/a", "1", id="one")
    ctx.checkpoints.create("mark")
    shutil.rmtree(store.path / "gitctx")
    fresh = reopened(store)
    assert content(fresh) == {"plan/a": "1"}
    assert fresh.verify(full=True).ok
    assert ctx.put("plan/a", "1", id="one").revision == first.revision
    assert ctx.put("plan/a", "2").changed
    assert [checkpoint.name for checkpoint in fresh.checkpoints.list()] == ["mark"]


# -- foreign content --------------------------------------------------------------------------------------------------


def foreign_tree(store: Store) -> str:
    blob = git(store.path, "hash-object", "-w", "--stdin", stdin="by hand")
    ours = git(store.path, "rev-parse", "context:plan")
    rows = [
        f"100644 blob {blob}\t-dash",
        f"100644 blob {blob}\tends in dot.",
        f"120000 blob {blob}\tlink",
        f"100755 blob {blob}\tscript.sh",
        f"040000 tree {ours}\tplan",
    ]
    return git(store.path, "mktree", stdin="\n".join(rows) + "\n")


def test_names_and_links_of_others_stay_untouched_and_are_no_entries(store: Store, ctx: Context) -> None:
    ctx.put("plan/a", "1")
    update_ref(store, git(store.path, "commit-tree", "-p", "context", "-m", "by hand", foreign_tree(store)))
    ctx.put("plan/b", "2")
    ctx.put("new", "3")
    assert content(ctx) == {"plan/a": "1", "plan/b": "2", "new": "3", "script.sh": "by hand"}
    listed = git(store.path, "ls-tree", "--format=%(objectmode) %(path)", "context").splitlines()
    assert listed == [
        "100644 -dash",
        "100644 ends in dot.",
        "120000 link",
        "100644 new",
        "040000 plan",
        "100755 script.sh",
    ]
    with pytest.raises(InvalidKey):
        ctx.put("link", "x")
    found = ctx.verify()
    assert found.ok
    assert {finding.subject for finding in found.warnings} == {"-dash", "ends in dot.", "link"}


def test_a_script_that_is_written_to_loses_nothing_but_its_mode(store: Store, ctx: Context) -> None:
    ctx.put("plan/a", "1")
    update_ref(store, git(store.path, "commit-tree", "-p", "context", "-m", "by hand", foreign_tree(store)))
    ctx.append("script.sh", "more")
    assert ctx.get("script.sh").text() == "by hand\nmore\n"
    ctx.remove("script.sh")
    assert "script.sh" not in content(ctx)


def test_a_wide_folder_that_another_git_wrote_flat_is_read_and_mended_by_the_next_write(
    store: Store, ctx: Context
) -> None:
    keys = [f"{number:03}" for number in range(300)]
    ctx.apply([Put(f"wide/{key}", key.encode()) for key in keys])
    rows = [f"100644 blob {blob_id(key.encode())}\t{key}" for key in keys]
    flat = git(store.path, "mktree", stdin="\n".join(rows) + "\n")
    root = git(store.path, "mktree", stdin=f"040000 tree {flat}\twide\n")
    update_ref(store, git(store.path, "commit-tree", "-p", "context", "-m", "flat", root))
    assert ctx.diff("head~1") == []
    assert [info.key for info in ctx.list("wide/")] == [f"wide/{key}" for key in keys]
    assert [finding.code for finding in ctx.verify().warnings] == ["layout"]
    ctx.put("wide/new", "x")
    assert len(content(ctx)) == 301
    assert ctx.verify().warnings == ()
    entry = ctx.get("wide/007")
    assert git(store.path, "show", f"context:{entry.git_path}") == "007"


# -- merges -----------------------------------------------------------------------------------------------------------


def test_merge_commits_of_others_are_part_of_history(store: Store, ctx: Context) -> None:
    base = ctx.put("plan/a", "1").revision
    side = commit_files(store, {"plan/side": "by hand"}, base)
    main = ctx.put("plan/a", "2").revision
    side_blob = blob_id(b"by hand")
    a_blob = blob_id(b"2")
    plan = git(store.path, "mktree", stdin=f"100644 blob {a_blob}\ta\n100644 blob {side_blob}\tside\n")
    tree = git(store.path, "mktree", stdin=f"040000 tree {plan}\tplan\n")
    merge = git(store.path, "commit-tree", "-p", main, "-p", side, "-m", "merge", tree)
    update_ref(store, merge)
    last = ctx.put("plan/b", "3").revision
    log = [write.revision for write in ctx.log()]
    assert set(log) == set(git(store.path, "rev-list", "context").split())
    assert log[:2] == [last, merge]
    assert log.index(main) < log.index(base)
    assert log.index(side) < log.index(base)  # type: ignore[arg-type]
    assert [write.revision for write in ctx.log("plan/side")] == [side]
    assert [write.revision for write in ctx.log("plan/a")] == [main, base]
    assert content(ctx) == {"plan/a": "2", "plan/b": "3", "plan/side": "by hand"}


# -- housekeeping -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "commands",
    [
        [["pack-refs", "--all"]],
        [["repack", "-q", "-ad"]],
        [["gc", "-q", "--prune=1.hour.ago"]],
        [["gc", "-q"], ["commit-graph", "write", "--reachable"], ["multi-pack-index", "write"]],
        [["reflog", "expire", "--expire=now", "--all"], ["pack-refs", "--all", "--prune"], ["repack", "-q", "-ad"]],
    ],
    ids=lambda commands: commands[-1][0],
)
def test_housekeeping_between_writes_takes_nothing_away(store: Store, ctx: Context, commands: list[list[str]]) -> None:
    acknowledged = []
    for number in range(3):
        acknowledged.append(str(ctx.put("plan/a", f"{number}").id))
        acknowledged.append(str(ctx.apply([Put(f"many/{number}/{i}", b"%d" % i) for i in range(20)]).id))
        ctx.checkpoints.create(f"mark-{number}")
        for command in commands:
            git(store.path, *command)
        assert ctx.get("plan/a").text() == f"{number}"
        assert len(content(reopened(store))) == 1 + 20 * (number + 1)
        assert ctx.get("plan/a", at="mark-0").text() == "0"
    assert_written_once(store.path, acknowledged)
    assert_sound(store.path)
    assert len(ctx.checkpoints.list()) == 3
