"""Watchers in processes of their own miss nothing: refs are packed, moved by force and recovered beside writers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.errors import GitctxError
from gitctx.recovery import Recovery
from gitctx.store import Store
from gitctx.sync.switch import pause, resume
from gitctx.values import WatchedChange
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import clean_environment, git
from gitctx_testkit.processes import Talk, children

PATIENT = Config(durability="relaxed", retry=RetryPolicy(deadline_s=60.0))
PATIENCE_S = 60.0
LAST = "the/end"
REF = "refs/heads/context"

Told = list[WatchedChange]


def watch_to_the_end(path: Path, *, pause_s: float = 0.0, stops: bool = False) -> Callable[[Talk], Told]:
    """Collect what is told until the last entry is: with a pause after each, or stopping after the first until it is
    told to go on.
    """

    def run(talk: Talk) -> Told:
        found: Told = []
        with Context(Store.open(path), actor="watcher").watch() as watch:
            talk.say("ready")
            while not found or found[-1].key != LAST:
                change = watch.next(PATIENCE_S)
                assert change is not None, f"nothing after {len(found)} changes"
                found.append(change)
                if stops and len(found) == 1:
                    assert talk.hear() == "go on"
                time.sleep(pause_s)
        return found

    return run


def write_many(path: Path, who: int, count: int) -> Callable[[Talk], list[str]]:
    """Put, change and remove entries; the revisions that were acknowledged."""

    def run(_: Talk) -> list[str]:
        ctx = Context(Store.open(path, PATIENT), actor=f"agent-{who}")
        made = []
        for number in range(count):
            key = f"agent-{who}/{number % 5}"
            if number % 7 == 6:
                written = ctx.remove(key, missing_ok=True)
            else:
                written = ctx.put(key, f"{who} {number}", strategy="last-write-wins")
            if written.changed:
                made.append(str(written.revision))
        return made

    return run


def applied(content: dict[str, str], told: Told) -> dict[str, str]:
    after = dict(content)
    for change in told:
        if change.etag is None:
            after.pop(change.key)
        else:
            after[change.key] = change.etag
    return after


def content(store: Store) -> dict[str, str]:
    return {key: str(etag) for key, etag in Store.open(store.path).context.view().etags()}


def assert_told_all(store: Store, before: dict[str, str], told: Told) -> None:
    assert applied(before, told) == content(store)


@pytest.mark.parametrize("count", few_or_many(60, 2000))
def test_while_refs_are_packed_every_write_is_told_once_in_order(store: Store, ctx: Context, count: int) -> None:
    before = content(store)
    watchers = [watch_to_the_end(store.path), watch_to_the_end(store.path)]
    writers = [write_many(store.path, number, count) for number in range(3)]
    with children(*watchers) as watching:
        assert [child.talk.hear() for child in watching] == ["ready", "ready"]
        with children(*writers) as writing:
            revisions: list[str] = []
            for child in writing:
                while not child.talk.heard():
                    git(store.path, "pack-refs", "--all", "--prune", check=False)
                revisions += child.result()
        revisions.append(str(ctx.put(LAST, "1").revision))
        for child in watching:
            told = child.result()
            assert [change.revision for change in told] == git(
                store.path, "rev-list", "--reverse", "--first-parent", f"-{len(revisions)}", "context"
            ).splitlines()
            assert {str(change.revision) for change in told} == set(revisions)
            assert_told_all(store, before, told)


def test_what_a_slow_watcher_is_told_adds_up(store: Store, ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitctx.sync.watch.NET_BEYOND", 20)
    before = content(store)
    with children(watch_to_the_end(store.path, stops=True)) as (watching,):
        assert watching.talk.hear() == "ready"
        with children(*(write_many(store.path, number, 40) for number in range(3))) as writing:
            written = sum(len(child.result()) for child in writing)
        ctx.put(LAST, "1")
        watching.talk.say("go on")
        told = watching.result()
    assert len({change.revision for change in told}) < written, "most of it as a difference"
    assert_told_all(store, before, told)


def test_moves_by_force_and_back_are_told(store: Store, ctx: Context) -> None:
    before = content(store)
    with children(watch_to_the_end(store.path)) as (watching,):
        assert watching.talk.hear() == "ready"
        with children(write_many(store.path, 0, 60), write_many(store.path, 1, 60)) as writing:
            for child in writing:
                while not child.talk.heard():
                    back = git(store.path, "rev-parse", "context~3", check=False)
                    if len(back) == 40:
                        git(store.path, "update-ref", REF, back, check=False)
                    time.sleep(0.01)
                child.result()
        ctx.put("settled", "1")
        ctx.put(LAST, "1")
        told = watching.result()
    assert_told_all(store, before, told)


@pytest.mark.parametrize("damage", ["torn", "gone", "names nothing"])
def test_a_recovery_in_between_hides_nothing(store: Store, ctx: Context, damage: str) -> None:
    before = content(store)
    file = store.path / REF
    with children(watch_to_the_end(store.path), watch_to_the_end(store.path, pause_s=0.01)) as watching:
        assert [child.talk.hear() for child in watching] == ["ready", "ready"]
        for number in range(4):
            for each in range(5):
                ctx.put(f"a/{each}", f"{number} {each}")
            if damage == "gone":
                file.unlink()
            else:
                aside = file.with_name("damaged")
                aside.write_bytes(b"" if damage == "torn" else b"1" * 40 + b"\n")
                aside.replace(file)
            while True:
                try:
                    assert Recovery(store.path).apply().changed
                    break
                except GitctxError as error:
                    if not error.retryable:
                        raise
        ctx.put(LAST, "1")
        for child in watching:
            assert_told_all(store, before, child.result())


def test_a_pause_silences_every_process_and_afterwards_all_is_told(store: Store, ctx: Context) -> None:
    def listen(talk: Talk) -> list[str]:
        keys: list[str] = []
        own = Context(Store.open(store.path), actor="watcher")
        live = own.on_change(lambda change: keys.append(change.key))
        talk.say("ready")
        assert talk.hear() == "paused"
        deadline = time.monotonic() + PATIENCE_S
        while live.state != "paused" and time.monotonic() < deadline:
            time.sleep(0.01)
        talk.say(live.state)
        assert talk.hear() == "written"
        time.sleep(0.3)
        talk.say(list(keys))
        while LAST not in keys and time.monotonic() < deadline:
            time.sleep(0.01)
        live.stop()
        return keys

    with children(listen, listen, listen) as listening:
        assert {child.talk.hear() for child in listening} == {"ready"}
        pause(store.path, actor="planner", at=store.config.clock())
        for child in listening:
            child.talk.say("paused")
        assert {child.talk.hear() for child in listening} == {"paused"}
        for number in range(5):
            ctx.put(f"a/{number}", "1")
        for child in listening:
            child.talk.say("written")
        assert [child.talk.hear() for child in listening] == [[], [], []]
        ctx.put(LAST, "1")
        resume(store.path)
        for child in listening:
            assert child.result() == [*(f"a/{number}" for number in range(5)), LAST]


def test_live_sessions_each_see_what_all_others_wrote(store: Store) -> None:
    count, sessions = 20, 4

    def agent(talk: Talk) -> tuple[str, list[tuple[str, str]]]:
        ctx = Context(Store.open(store.path, PATIENT), actor="agent")
        seen: list[tuple[str, str]] = []
        with ctx.sessions.start(actor="agent", on_signals=False) as session:
            session.sync.start(lambda change: seen.append((str(change.session), change.key)), prefix="work/")
            talk.say("ready")
            assert talk.hear() == "go"
            for number in range(count):
                session.context.put(f"work/{session.id}/{number}", "1")
            deadline = time.monotonic() + PATIENCE_S
            while len(seen) < count * (sessions - 1) and time.monotonic() < deadline:
                time.sleep(0.005)
            assert session.sync.last_error is None
            return str(session.id), seen

    with children(*([agent] * sessions)) as agents:
        assert {child.talk.hear() for child in agents} == {"ready"}
        for child in agents:
            child.talk.say("go")
        found = dict(child.result() for child in agents)
    for own, seen in found.items():
        assert sorted(seen) == sorted(
            (other, f"work/{other}/{number}") for other in found if other != own for number in range(count)
        )


def test_a_program_with_many_watches_is_told_everything_in_each(store: Store, ctx: Context) -> None:
    """More than the kernel gives hints for to one user."""
    watches = [ctx.watch() for _ in range(150)]
    ctx.put("a", "1")
    ctx.put("b", "1")
    told = [[watch.next(PATIENCE_S), watch.next(PATIENCE_S)] for watch in watches]
    assert all([change.key for change in pair if change is not None] == ["a", "b"] for pair in told)
    for watch in watches:
        watch.close()


def test_git_itself_pushing_is_told(store: Store, ctx: Context, tmp_path: Path) -> None:
    ctx.put("a", "1")
    git(tmp_path, "clone", "-q", "-b", "context", str(store.path), "clone")
    with ctx.watch() as watch:
        (tmp_path / "clone" / "by-hand").write_text("1")
        git(tmp_path / "clone", "add", ".")
        git(tmp_path / "clone", "commit", "-qm", "by hand")
        pushed = subprocess.run(
            ["git", "push", "-q"], cwd=tmp_path / "clone", env=clean_environment(), capture_output=True, timeout=60
        )
        assert pushed.returncode == 0, pushed.stderr
        change = watch.next(PATIENCE_S)
    assert change is not None
    assert (change.key, change.actor, change.session) == ("by-hand", "somebody", None)
