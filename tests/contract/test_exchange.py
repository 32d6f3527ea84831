"""Two machines and a remote: what one writes the other gets, and nothing that was written is lost."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.context import Context
from gitctx.errors import ConfigInvalid, FormatUnsupported, LockTimeout, RemoteNotFound, RemoteUnreachable, StoresApart
from gitctx.store import Store
from gitctx_testkit.audit import assert_written_once, ids_in_history
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git
from gitctx_testkit.hosted import Hosted
from gitctx_testkit.processes import together


@pytest.fixture(autouse=True)
def _no_failpoints() -> None:
    failpoints.deactivate()


def refs_of(hosted: Hosted) -> list[str]:
    return hosted.git("for-each-ref", "--format=%(refname)").splitlines()


def test_a_lock_that_a_killed_git_left_on_what_was_fetched_ends_no_exchange(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    one.exchange()
    lock = two.ctx.store.path / "refs/gitctx/remotes/origin/heads/context.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    os.utime(lock, (time.time() - 2, time.time() - 2))
    assert two.exchange().branch("context").received == 1
    assert not lock.exists()


# -- plain exchanges --------------------------------------------------------------------------------------------------


def test_nothing_is_pushed_before_a_remote_was_added_nor_by_adding_it(clones: Clones) -> None:
    one = clones.begin("one", remote=False)
    one.ctx.put("a", "1")
    with pytest.raises(RemoteNotFound):
        one.exchange()
    one.ctx.sync.add_remote("origin", str(clones.hub.path))
    assert refs_of(clones.hub) == []
    assert not one.ctx.sync.holds_store("origin")
    assert refs_of(clones.hub) == []
    one.exchange()
    assert refs_of(clones.hub) == ["refs/heads/context", "refs/heads/sessions"]


def test_many_writes_travel_in_one_push_and_a_quiet_exchange_pushes_nothing(clones: Clones) -> None:
    one, two = clones.pair()
    for number in range(5):
        one.ctx.put(f"k/{number}", str(number))
    sent = one.exchange()
    assert (sent.rounds, sent.branch("context").sent, sent.branch("context").received) == (1, 5, 0)
    received = two.exchange()
    assert (received.rounds, received.branch("context").received, received.branch("context").merged) == (0, 5, None)
    assert two.head() == one.head() == clones.hub.head("refs/heads/context")
    assert not one.exchange().changed
    assert not two.exchange().changed


def test_a_copied_store_written_on_both_machines_holds_all_of_both_after_an_exchange(clones: Clones) -> None:
    one = clones.begin("one")
    one.ctx.put("plan/a", "base")
    two = clones.copy(one, "two")
    ids = [one.ctx.put(f"one/{number}", "1").id for number in range(20)]
    ids += [two.ctx.put(f"two/{number}", "2").id for number in range(20)]
    ids += [one.ctx.put("plan/a", "from one").id, two.ctx.put("plan/a", "from two").id]
    one.exchange()
    report = two.exchange().branch("context")
    assert report.merged == two.head()
    assert [(each.key, each.strategy) for each in report.settled] == [("plan/a", "last-write-wins")]
    clones.settle()
    for machine in (one, two):
        assert_written_once(machine.path, ids)
        assert machine.ctx.get("plan/a").text() == "from two"
        assert len(machine.content()) == 41
    message = git(two.path, "log", "--merges", "--format=%B", "context")
    superseded = report.settled[0].superseded
    assert superseded is not None
    assert f"Gitctx-Supersedes: {superseded}" in message
    assert git(two.path, "cat-file", "-p", superseded) == "from one"


def test_the_later_write_wins_whoever_exchanges_first(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("early", "one, early")
    two.ctx.put("late", "two, early")
    two.ctx.put("early", "two, late")
    one.ctx.put("late", "one, late")
    one.exchange()
    two.exchange()
    clones.settle()
    assert one.content() == {"early": "two, late", "late": "one, late"}


def test_a_removal_and_a_change_of_one_key_settle_by_time(clones: Clones) -> None:
    one, two = clones.pair()
    for key in ("changed-last", "removed-last"):
        one.ctx.put(key, "base")
    clones.settle()
    one.ctx.remove("changed-last")
    two.ctx.put("changed-last", "still wanted")
    two.ctx.put("removed-last", "changed")
    one.ctx.remove("removed-last")
    clones.settle()
    assert one.content() == two.content() == {"changed-last": "still wanted"}


def test_a_key_that_both_wrote_alike_is_no_conflict(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("same", "bytes")
    two.ctx.put("same", "bytes")
    one.exchange()
    assert two.exchange().branch("context").settled == ()


def test_one_merge_is_enough_for_local_writers_that_never_stop(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("from/one", "1")
    one.exchange()
    two.ctx.put("from/two", "1")
    writing = iter(range(100))

    def write_beside() -> None:
        Context(Store.open(two.path, two.config), actor="beside").put(f"beside/{next(writing)}", "1")

    failpoints.activate("exchange.after_fetch", write_beside)
    failpoints.activate("exchange.before_push", write_beside)
    report = two.exchange()
    failpoints.deactivate()
    assert report.rounds == 1
    assert git(two.path, "rev-list", "--merges", "--count", "context") == "1"
    clones.settle()
    assert {"from/one", "from/two", "beside/0", "beside/1"} <= one.content().keys()


def test_a_lost_race_is_fetched_merged_and_pushed_again(clones: Clones) -> None:
    one, two = clones.pair()
    two.ctx.put("from/two", "1")

    def be_faster() -> None:
        failpoints.deactivate()
        one.ctx.put("from/one", "1")
        one.exchange()

    failpoints.activate("exchange.before_push", be_faster)
    report = two.exchange()
    assert report.rounds == 2
    assert report.complete
    one.exchange()
    assert one.head() == two.head()
    assert one.content() == {"from/one": "1", "from/two": "1"}


def test_two_exchanges_at_once_from_one_store_do_their_work_once(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("from/one", "1")
    one.exchange()
    two.ctx.put("from/two", "1")

    def exchange() -> int:
        return len(Machine("two", two.path, two.config).exchange().branches)

    assert together([exchange, exchange, exchange]) == [2, 2, 2]
    assert git(two.path, "rev-list", "--merges", "--count", "context") == "1"
    assert clones.hub.head("refs/heads/context") == two.head()


def test_an_exchange_waits_for_another_one_of_the_store_no_longer_than_it_may(clones: Clones) -> None:
    one, _ = clones.pair()
    seen: list[BaseException] = []

    def second() -> None:
        failpoints.deactivate()
        with pytest.raises(LockTimeout) as error:
            one.exchange(deadline_s=0.2)
        seen.append(error.value)

    failpoints.activate("exchange.after_fetch", second)
    one.exchange()
    assert [error.code for error in seen if isinstance(error, LockTimeout)] == ["lock_timeout"]


def test_an_exchange_that_is_stopped_ends_without_harm(clones: Clones) -> None:
    one, _ = clones.pair()
    one.ctx.put("a", "1")
    stop = threading.Event()
    failpoints.activate("exchange.before_push", stop.set)
    with pytest.raises(RemoteUnreachable):
        one.exchange(stop=stop)
    failpoints.deactivate()
    assert one.exchange().complete


def test_machines_that_write_at_once_end_with_one_head(clones: Clones) -> None:
    one, two = clones.pair()
    three = clones.join("three")

    def work(machine: Machine) -> list[str]:
        fresh = Machine(machine.name, machine.path, machine.config)
        ids = []
        for number in range(6):
            ids.append(fresh.ctx.put(f"{machine.name}/{number}", "x").id)
            ids.append(fresh.ctx.append("log", f"{machine.name} {number}").id)
            if number % 3 == 2:
                fresh.exchange()
        return ids

    ids = together([lambda machine=machine: work(machine) for machine in (one, two, three)])  # type: ignore[misc]
    clones.settle()
    for machine in (one, two, three):
        assert_written_once(machine.path, [id for some in ids for id in some])
        assert len(machine.content()) == 19


# -- crossed and several remotes --------------------------------------------------------------------------------------


def test_histories_that_crossed_between_two_remotes_merge_to_the_same(clones: Clones) -> None:
    one, two = clones.pair()
    spare = Hosted(clones.folder / "spare.git")
    for machine in (one, two):
        machine.ctx.sync.add_remote("spare", str(spare.path))
    one.ctx.configure("strategies.plan/", "merge")
    one.ctx.put("plan/lines", "a\nb\nc\n")
    clones.settle()
    one.ctx.put("plan/lines", "A\nb\nc\n")
    two.ctx.put("plan/lines", "a\nb\nC\n")
    one.exchange("origin")
    two.exchange("spare")
    # Each takes the other's first state in from another remote, and merges: two merges of the same two heads.
    git(one.path, "fetch", "-q", str(spare.path), "+refs/heads/context:refs/keep/two")
    crossing = [one.head(), git(one.path, "rev-parse", "refs/keep/two")]
    one.exchange("spare")
    two_before = two.head()
    two.exchange("origin")
    assert one.ctx.get("plan/lines").text() == two.ctx.get("plan/lines").text() == "A\nb\nC\n"
    assert git(one.path, "rev-parse", "context^{tree}") == git(two.path, "rev-parse", "context^{tree}")
    assert one.head() != two.head()
    assert two_before == crossing[1]
    one.ctx.put("plan/lines", "A\nB\nC\n")
    two.ctx.put("plan/more", "x")
    for _ in range(2):
        for machine in (one, two):
            machine.exchange("origin")
            machine.exchange("spare")
    assert one.head() == two.head()
    assert one.content() == {"plan/lines": "A\nB\nC\n", "plan/more": "x"}


def test_a_remote_that_is_a_store_in_use_takes_in_and_gives_while_it_is_written(clones: Clones) -> None:
    served = clones.begin("served", remote=False)
    served.ctx.put("served/0", "1")
    one = clones.copy(served, "one")
    one.ctx.sync.add_remote("origin", str(served.path))
    ids = []
    for number in range(1, 6):
        ids.append(served.ctx.put(f"served/{number}", "1").id)
        ids.append(one.ctx.put(f"one/{number}", "1").id)
        one.exchange()
    served.reopened()
    assert served.head() == one.head()
    assert len(served.content()) == 11
    ids.append(served.ctx.put("served/last", "1").id)
    assert_written_once(served.path, ids)


# -- a remote that isn't what it was ----------------------------------------------------------------------------------


def test_a_remote_that_was_forced_back_takes_nothing_back_here_and_the_report_says_so(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    clones.settle()
    old, old_sessions = one.head(), one.head("sessions")
    id = one.ctx.put("b", "2").id
    clones.settle()
    newest = one.head()
    clones.hub.git("update-ref", "refs/heads/context", old)
    report = one.exchange().branch("context")
    assert (report.forced_back, report.merged, report.up_to_date) == (newest, None, True)
    assert one.head() == newest == clones.hub.head("refs/heads/context")
    assert one.head("sessions") == old_sessions
    assert one.exchange().branch("context").forced_back is None
    clones.hub.git("update-ref", "refs/heads/context", old)
    two.ctx.put("c", "3")
    assert two.exchange().branch("context").forced_back == newest
    clones.settle()
    assert_written_once(one.path, [id])
    assert one.content() == {"a": "1", "b": "2", "c": "3"}


def test_that_a_remote_was_forced_back_is_told_even_after_a_plain_git_fetch(clones: Clones) -> None:
    one, _ = clones.pair()
    old = one.head()
    one.ctx.put("a", "1")
    one.exchange()
    clones.hub.git("update-ref", "refs/heads/context", old)
    git(one.path, "fetch", "-q", "origin")
    assert one.exchange().branch("context").forced_back == one.head()


@pytest.mark.parametrize("anew", [False, True], ids=["emptied", "made anew"])
def test_a_remote_that_was_wiped_gets_all_of_it_again(clones: Clones, anew: bool) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("here")
    clones.settle()
    if anew:
        clones.hub.path.rename(clones.folder / "old.git")
        Hosted(clones.hub.path)
    else:
        for ref in refs_of(clones.hub):
            clones.hub.git("update-ref", "-d", ref)
    report = one.exchange()
    assert report.complete
    assert report.branch("context").forced_back == one.head()
    assert report.checkpoints.sent == ("here",)
    assert clones.hub.head("refs/heads/context") == one.head()
    clones.settle()
    assert two.checkpoints() == one.checkpoints()


def test_a_local_head_that_is_forced_back_meanwhile_isnt_forced_upon_the_remote(clones: Clones) -> None:
    one, two = clones.pair()
    old = two.head()
    id = one.ctx.put("from/one", "1").id
    one.exchange()
    other = two.ctx.put("from/two", "1").id

    def force_back() -> None:
        failpoints.deactivate()
        git(two.path, "update-ref", "refs/heads/context", old)

    failpoints.activate("exchange.after_merge", force_back)
    two.exchange()
    assert {id, other} <= set(ids_in_history(clones.hub.path))
    two.ctx.put("next", "1")
    clones.settle()
    assert_written_once(two.path, [id, other])


# -- what a remote refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "branch"), [("refs/heads/context", "context"), ("refs/heads/sessions", "sessions")]
)
def test_a_protected_branch_holds_nothing_else_up(clones: Clones, pattern: str, branch: str) -> None:
    one, _ = clones.pair()
    one.ctx.put("a", "1")
    one.ctx.sessions.start(actor="one", agent="test").end()
    one.ctx.checkpoints.create("here")
    clones.hub.refuse_ref(pattern, "this branch is protected")
    report = one.exchange()
    other = "sessions" if branch == "context" else "context"
    assert not report.complete
    assert report.branch(branch).refused
    assert report.branch(other).up_to_date
    assert report.checkpoints.sent == ("here",)
    assert clones.hub.head(f"refs/heads/{other}") == one.head(other)
    assert clones.hub.head(f"refs/heads/{branch}") != one.head(branch)
    clones.hub.refuse_nothing()
    assert one.exchange().complete
    clones.settle()


def test_a_refused_checkpoint_holds_nothing_else_up(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    for name in ("free", "held"):
        one.ctx.checkpoints.create(name)
    clones.hub.refuse_ref("refs/tags/held")
    report = one.exchange()
    assert [name for name, _ in report.checkpoints.refused] == ["held"]
    assert report.checkpoints.sent == ("free",)
    assert not report.complete
    assert report.branch("context").up_to_date
    two.exchange()
    assert two.checkpoints().keys() == {"free"}
    assert one.checkpoints().keys() == {"free", "held"}


def test_a_server_that_refuses_all_is_told_and_heals(clones: Clones) -> None:
    one, two = clones.pair()
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("here")
    two.ctx.put("b", "2")
    two.exchange()
    clones.hub.refuse_all()
    report = one.exchange()
    assert not report.complete
    assert report.branch("context").received == 1
    assert one.content() == {"a": "1", "b": "2"}
    assert [name for name, _ in report.checkpoints.refused] == ["here"]
    clones.hub.refuse_nothing()
    clones.settle()
    assert two.checkpoints() == one.checkpoints()


def test_a_second_machine_finds_the_store_though_the_remote_refused_its_sessions(clones: Clones) -> None:
    one = clones.begin("one")
    one.ctx.put("a", "1")
    clones.hub.refuse_ref("refs/heads/sessions")
    assert not one.exchange().complete
    two = clones.join("two")
    assert two.content() == {"a": "1"}
    clones.hub.refuse_nothing()
    for machine in (one, two):
        machine.ctx.sessions.start(actor=machine.name, agent="test").end()
    clones.settle()
    assert {each.record.actor for each in one.ctx.sessions.list()} == {"one", "two"}


def test_a_store_that_exchanges_with_itself_stays_as_it_is(clones: Clones) -> None:
    one = clones.begin("one", remote=False)
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("here")
    one.ctx.sync.add_remote("itself", str(one.path))
    before = one.refs()
    for _ in range(2):
        assert not one.exchange().changed
    assert one.refs() == before


def test_a_strategy_that_there_isnt_is_refused_before_anything_is_asked(clones: Clones) -> None:
    one = clones.begin("one")
    with pytest.raises(ConfigInvalid, match="there is no strategy"):
        one.exchange(strategy="newest")
    assert refs_of(clones.hub) == []


# -- stores that began apart, and what is no store --------------------------------------------------------------------


def test_stores_that_began_apart_are_refused_and_nothing_changes(clones: Clones) -> None:
    one, other = clones.begin("one"), clones.begin("other")
    one.ctx.put("a", "1")
    one.exchange()
    other.ctx.put("b", "2")
    before = (other.head(), other.head("sessions"), refs_of(clones.hub), clones.hub.head("refs/heads/context"))
    with pytest.raises(StoresApart) as error:
        other.exchange()
    assert "--merge-apart" in error.value.hint
    assert (other.head(), other.head("sessions"), refs_of(clones.hub), clones.hub.head("refs/heads/context")) == before


def test_stores_that_began_apart_merge_when_asked_and_are_one_from_then_on(clones: Clones) -> None:
    one, other = clones.begin("one"), clones.begin("other")
    one.ctx.put("both", "one")
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("mine")
    one.exchange()
    three = clones.join("three")
    other.ctx.put("both", "other")
    other.ctx.put("b", "2")
    other.ctx.checkpoints.create("mine")
    report = other.exchange(merge_apart=True)
    assert [each.key for each in report.branch("context").settled] == ["both"]
    clones.settle()
    assert one.content() == {"both": "other", "a": "1", "b": "2"}
    machines = [machine.reopened() for machine in (one, other, three)]
    assert len({machine.ctx.store.identity.store_id for machine in machines}) == 1
    assert len({frozenset(machine.checkpoints().items()) for machine in machines}) == 1
    assert len(one.checkpoints()) == 2
    for machine in machines:
        machine.ctx.put(f"after/{machine.name}", "1")
    clones.settle()
    four = clones.join("four")
    assert four.ctx.store.identity.store_id == one.ctx.store.identity.store_id
    assert four.content() == one.content()


def test_a_branch_of_that_name_that_isnt_a_store_is_refused(clones: Clones, project: Path) -> None:
    one = clones.begin("one", remote=False)
    one.ctx.sync.add_remote("origin", str(clones.hub.path), namespace="refs/")
    git(project, "push", "-q", str(clones.hub.path), "main:refs/heads/context")
    before = one.head()
    with pytest.raises(StoresApart, match="wasn't made by gitctx"):
        one.exchange()
    assert one.head() == before


def test_a_store_of_a_newer_format_is_refused(clones: Clones) -> None:
    one = clones.begin("one")
    message = "begin\n\nGitctx-Format: 2\nGitctx-Store: 01ARZ3NDEKTSV4RRFFQ69G5FAV\nGitctx-Epoch: 0\n"
    tree = clones.hub.git("mktree", "--missing", "-z")
    for branch in ("context", "sessions"):
        commit = clones.hub.git("commit-tree", tree, "-m", message)
        clones.hub.git("update-ref", f"refs/heads/{branch}", commit)
    before = one.head()
    with pytest.raises(FormatUnsupported, match="format 2"):
        one.exchange()
    with pytest.raises(FormatUnsupported, match="format 2"):
        one.exchange(merge_apart=True)
    with pytest.raises(FormatUnsupported, match="format 2"):
        clones.join("two")
    assert one.head() == before
    assert not (clones.folder / "two" / "store.git").exists()


# -- where the store's refs are ---------------------------------------------------------------------------------------


def test_on_a_remote_with_a_project_the_refs_have_a_place_of_their_own(clones: Clones, project: Path) -> None:
    git(project, "push", "-q", str(clones.hub.path), "main")
    one = clones.begin("one")
    one.ctx.put("a", "1")
    one.ctx.checkpoints.create("here")
    one.exchange()
    assert refs_of(clones.hub) == [
        "refs/gitctx/heads/context",
        "refs/gitctx/heads/sessions",
        "refs/gitctx/tags/here",
        "refs/heads/main",
    ]
    two = clones.join("two")
    two.ctx.put("b", "2")
    clones.settle()
    assert one.content() == {"a": "1", "b": "2"}
    assert one.ctx.sync.remote("origin").namespace == two.ctx.sync.remote("origin").namespace == "refs/gitctx/"


def test_a_place_that_was_chosen_stays(clones: Clones) -> None:
    one = clones.begin("one", remote=False)
    one.ctx.sync.add_remote("origin", str(clones.hub.path), namespace="refs/gitctx/")
    one.exchange()
    assert refs_of(clones.hub) == ["refs/gitctx/heads/context", "refs/gitctx/heads/sessions"]
    two = clones.join("two")
    assert two.head() == one.head()


def test_what_plain_git_pushed_to_the_remote_is_kept(clones: Clones) -> None:
    """Files that no key can name, and links: not ours, and not ours to drop."""
    one, two = clones.pair()
    one.ctx.put("a", "1")
    one.exchange()
    work = clones.folder / "work"
    git(clones.folder, "clone", "-q", "-b", "context", str(clones.hub.path), str(work))
    (work / "-odd").write_text("odd\n")
    (work / "folder").mkdir()
    (work / "folder" / "tool").write_text("#!/bin/sh\n")
    (work / "folder" / "tool").chmod(0o755)
    (work / "link").symlink_to("a")
    git(work, "add", "--", "./-odd", "folder", "link")
    git(work, "commit", "-q", "-m", "by hand")
    git(work, "push", "-q", "origin", "context")
    two.ctx.put("b", "2")
    two.exchange()
    clones.settle()
    listed = git(one.path, "ls-tree", "-r", "--format=%(objectmode) %(path)", "context").splitlines()
    assert {"100644 -odd", "120000 link", "100644 a", "100644 b"} <= set(listed)
    assert one.ctx.get("folder/tool").text() == "#!/bin/sh\n"


@pytest.mark.parametrize("count", few_or_many(1_000, 10_000))
def test_a_machine_that_was_offline_for_many_writes_comes_back_with_all_of_them(clones: Clones, count: int) -> None:
    one, two = clones.pair()
    common = count // 20
    ids = []
    for machine, number in ((two, count // 5), (one, count)):
        for each in range(number):
            key = f"common/{each}" if each < common else f"{machine.name}/{each % 97}/{each}"
            ids.append(machine.ctx.put(key, f"{machine.name} {each}").id)
    two.exchange()
    report = one.exchange()
    assert report.rounds == 1
    settled = report.branch("context").settled
    assert sorted(each.key for each in settled) == sorted(f"common/{each}" for each in range(common))
    assert len({each.superseded for each in settled}) == common
    two.exchange()
    assert one.head() == two.head()
    assert git(two.path, "rev-list", "--merges", "--count", "context") == "1"
    assert two.ctx.get("common/0").text() == "one 0"
    assert len(two.content()) == count + count // 5 - common
    assert_written_once(two.path, ids)
