"""Writes that wait together are published together: in a program, and across programs."""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import MergeConflict, OutcomeUnknown, PreconditionFailed, StorageError
from gitctx.store import Store
from gitctx_testkit.audit import assert_written_once, head_of, ids_in_history, reflog_lines
from gitctx_testkit.processes import Talk, children, together, wait_until

pytestmark = pytest.mark.parametrize("grouping", ["together"], indirect=True)

PATIENT = Config(durability="relaxed", queue_patience_s=30.0)


def opened(path: Path, actor: str, config: Config = PATIENT) -> Context:
    return Context(Store.open(path, config), actor=actor)


def moves_of(path: Path) -> int:
    """How often the branch was moved."""
    return len(reflog_lines(path))


def holder(path: Path, config: Config = PATIENT, *, id_: str = "holder") -> Callable[[Talk], object]:
    """Takes its turn, says so, and writes when it is told to."""

    def run(talk: Talk) -> str:
        def hold() -> None:
            talk.say("holding")
            talk.hear()

        ctx = opened(path, "holder", config)
        failpoints.activate("queue.after_acquire", hold)
        return str(ctx.put("held", id_, id=id_).id)

    return run


def asking(path: Path, name: str, config: Config = PATIENT) -> Callable[[Talk], object]:
    """Says when others can see what it wants."""

    def run(talk: Talk) -> tuple[str, str, tuple[object, ...]]:
        ctx = opened(path, name, config)
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        written = ctx.put(f"asking/{name}", name, id=name)
        return written.revision, written.head, written.entries

    return run


@contextmanager
def a_turn_held(store: Store) -> Iterator[Callable[[], None]]:
    """A thread holds the turn of this program's writer until the function is called."""
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go_on.wait(30)

    def first() -> None:
        Context(store, actor="first").put("first", "1", id="first")

    failpoints.activate("queue.after_acquire", hold)
    leader = threading.Thread(target=first)
    leader.start()
    try:
        assert held.wait(30)
        failpoints.deactivate()
        yield go_on.set
    finally:
        failpoints.deactivate()
        go_on.set()
        leader.join()


def run_all(works: list[Callable[[], object]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    return threads


def waiting_in(store: Store) -> int:
    """How many writes of this program wait behind the one that holds the turn."""
    writer = store.context._writer
    return len(writer._waiting) - 1 if writer is not None else 0


# -- threads --------------------------------------------------------------------------------------------------------


def test_threads_that_wait_share_one_move_of_the_branch_and_have_a_commit_each(store: Store) -> None:
    store = Store.open(store.path, PATIENT)
    with a_turn_held(store) as go_on:
        before = moves_of(store.path)
        found: dict[int, object] = {}

        def put(number: int) -> None:
            found[number] = Context(store, actor=f"a{number}").put(f"k/{number}", f"{number}", id=f"w{number}")

        threads = run_all([lambda number=number: put(number) for number in range(10)])  # type: ignore[misc]
        wait_until(lambda: waiting_in(store) == 10)
        go_on()
        for thread in threads:
            thread.join()
    assert moves_of(store.path) == before + 1
    assert sorted(ids_in_history(store.path)[:11]) == sorted(["first", *(f"w{number}" for number in range(10))])
    revisions = {written.revision for written in found.values()}  # type: ignore[attr-defined]
    assert len(revisions) == 10
    assert {written.head for written in found.values()} == {head_of(store.path)}  # type: ignore[attr-defined]


def test_each_of_a_group_sees_what_the_ones_before_it_left(store: Store) -> None:
    store = Store.open(store.path, PATIENT)
    outcomes: list[object] = []

    def only_once() -> None:
        try:
            outcomes.append(Context(store, actor="a").put("once", "x", if_absent=True).changed)
        except PreconditionFailed as error:
            outcomes.append(error.code)

    with a_turn_held(store) as go_on:
        threads = run_all([only_once] * 6)
        wait_until(lambda: waiting_in(store) == 6)
        go_on()
        for thread in threads:
            thread.join()
    assert outcomes.count(True) == 1
    assert len(outcomes) == 6


def test_updates_of_one_key_by_many_threads_lose_nothing(store: Store) -> None:
    store = Store.open(store.path, PATIENT)

    def count() -> None:
        ctx = Context(store, actor="counter")
        for _ in range(25):
            ctx.update("count.json", lambda value: (value or 0) + 1)

    for thread in run_all([count] * 8):
        thread.join()
    assert Context(store, actor="reader").get("count.json").json() == 200


def test_what_fails_in_a_group_fails_alone(store: Store) -> None:
    store = Store.open(store.path, PATIENT)
    failures: list[BaseException] = []

    def broken() -> None:
        def function(_: object) -> object:
            raise ZeroDivisionError

        try:
            Context(store, actor="broken").update("x", function)
        except ZeroDivisionError as error:
            failures.append(error)

    works: list[Callable[[], object]] = [
        lambda number=number: Context(store, actor="good").put(f"good/{number}", "x")
        for number in range(5)  # type: ignore[misc]
    ]
    with a_turn_held(store) as go_on:
        threads = run_all([broken, *works, broken])
        wait_until(lambda: waiting_in(store) == 7)
        go_on()
        for thread in threads:
            thread.join()
    assert len(failures) == 2
    assert len(list(Context(store, actor="reader").list("good/"))) == 5


def test_a_group_that_cannot_be_written_is_taken_apart(store: Store) -> None:
    """One value doesn't fit on the disk: that write fails, and the others of its group don't."""

    def work(_: Talk) -> list[str]:
        own = Store.open(store.path, PATIENT)
        failed: list[str] = []

        def put(number: int) -> None:
            value = random.Random(number).randbytes(600_000 if number == 2 else 100)
            try:
                Context(own, actor="a").put(f"k/{number}", value, id=f"w{number}")
            except StorageError as error:
                failed.append(f"w{number} {error.changed}")

        with a_turn_held(own) as go_on:
            threads = run_all([lambda number=number: put(number) for number in range(5)])  # type: ignore[misc]
            wait_until(lambda: waiting_in(own) == 5)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
            go_on()
            for thread in threads:
                thread.join()
        return failed

    with children(work) as (child,):
        assert child.result() == ["w2 no"]
    assert_written_once(store.path, ["first", "w0", "w1", "w3", "w4"])
    assert "w2" not in ids_in_history(store.path)


def test_one_id_twice_in_a_group_is_one_write(store: Store) -> None:
    store = Store.open(store.path, PATIENT)
    found: list[object] = []

    def put() -> None:
        found.append(Context(store, actor="a").append("log.md", "line", id="the-id").revision)

    with a_turn_held(store) as go_on:
        threads = run_all([put] * 5)
        wait_until(lambda: waiting_in(store) == 5)
        go_on()
        for thread in threads:
            thread.join()
    assert len(set(found)) == 1
    assert Context(store, actor="reader").get("log.md").text() == "line\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_whoever_leads_and_is_interrupted_hands_on_what_the_others_wait_for(
    store: Store, interruption: type[BaseException]
) -> None:
    """Ctrl-C reaches the one who leads, what a caller's own function raises reaches that caller."""
    store = Store.open(store.path, PATIENT)
    interrupted = threading.Event()

    def led() -> None:
        def function(_: object) -> object:
            interrupted.set()
            raise interruption

        with pytest.raises(interruption):
            Context(store, actor="led").update("led", function)

    done: list[str] = []

    def put(number: int) -> None:
        Context(store, actor="a").put(f"k/{number}", "x", id=f"w{number}")
        done.append(f"w{number}")

    with a_turn_held(store) as go_on:
        threads = run_all([led])
        wait_until(lambda: waiting_in(store) == 1)
        threads += run_all([lambda number=number: put(number) for number in range(4)])  # type: ignore[misc]
        wait_until(lambda: waiting_in(store) == 5)
        go_on()
        for thread in threads:
            thread.join(30)
    assert interrupted.is_set()
    assert_written_once(store.path, done)
    assert len(done) == 4
    assert ids_in_history(store.path).count("first") == (interruption is SystemExit)


def test_without_group_commit_each_write_moves_the_branch_itself(store: Store) -> None:
    store = Store.open(store.path, replace(PATIENT, group_commit=False))
    with a_turn_held(store) as go_on:
        before = moves_of(store.path)
        threads = run_all([lambda n=n: Context(store, actor="a").put(f"k/{n}", "x") for n in range(5)])  # type: ignore[misc]
        wait_until(lambda: waiting_in(store) == 5)
        go_on()
        for thread in threads:
            thread.join()
    assert moves_of(store.path) == before + 6


# -- processes ------------------------------------------------------------------------------------------------------


def test_the_holder_of_the_turn_makes_the_writes_of_those_who_wait(store: Store) -> None:
    names = [f"w{number}" for number in range(6)]
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        before = moves_of(store.path)
        with children(*(asking(store.path, name) for name in names)) as running:
            for child in running:
                assert child.talk.hear() == "asked"
            first.talk.say("go on")
            first.result()
            answers = [child.result() for child in running]
    assert moves_of(store.path) == before + 1
    assert_written_once(store.path, ["holder", *names])
    assert len({revision for revision, _, _ in answers}) == 6
    assert {head for _, head, _ in answers} == {head_of(store.path)}
    ctx = Context(store, actor="reader")
    for name in names:
        assert ctx.get(f"asking/{name}").text() == name
        (write,) = ctx.log(f"asking/{name}")
        assert (write.actor, write.id, write.op) == (name, name, "put")


def test_a_durable_write_is_synced_by_whoever_makes_it(store: Store) -> None:
    synced: list[int] = []

    def relaxed_holder(talk: Talk) -> int:
        real = os.fsync
        os.fsync = lambda file: (synced.append(file), real(file))[1]
        holder(store.path, id_=f"holder-{os.getpid()}")(talk)
        return len(synced)

    durable = replace(PATIENT, durability="durable")
    for config, expected in ((PATIENT, 0), (durable, 5)):
        with children(relaxed_holder) as (first,):
            assert first.talk.hear() == "holding"
            with children(asking(store.path, f"w{expected}", config)) as (child,):
                assert child.talk.hear() == "asked"
                first.talk.say("go on")
                assert first.result() == expected
                _, head, _ = child.result()
        assert head == head_of(store.path)
        with store.context.turn() as turn:
            assert (turn.note().durable == head) is bool(expected)


def test_what_is_asked_for_and_fails_is_told_to_the_one_who_asked(store: Store) -> None:
    Context(store, actor="planner").put("taken", "x")

    def refused(talk: Talk) -> str:
        ctx = opened(store.path, "late")
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        try:
            ctx.put("taken", "y", if_absent=True)
        except PreconditionFailed as error:
            return error.code
        return "written"

    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        with children(refused, asking(store.path, "w0")) as (late, other):
            assert late.talk.hear() == "asked"
            assert other.talk.hear() == "asked"
            first.talk.say("go on")
            first.result()
            other.result()
            assert late.result() == PreconditionFailed.code
    assert Context(store, actor="reader").get("taken").text() == "x"


def test_what_travels_keeps_its_base_strategy_session_and_message(store: Store) -> None:
    planner = Context(store, actor="planner")
    session = planner.sessions.start(actor="planner", agent="tests", hold=False).id
    planner.put("shared", "old")

    def writer(talk: Talk) -> tuple[str, ...]:
        ctx = Context(Store.open(store.path, PATIENT), actor="coder", session=session)
        ctx.get("shared")
        talk.say("read")
        talk.hear()
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        try:
            ctx.put("shared", "mine", strategy="fail")
        except MergeConflict:
            pass
        else:
            return ()
        failpoints.deactivate()
        return tuple(ctx.put("shared", "mine too", message="why not", strategy="last-write-wins").superseded)

    with children(writer) as (child,):
        assert child.talk.hear() == "read"
        theirs = planner.put("shared", "theirs").etag
        with children(holder(store.path)) as (first,):
            assert first.talk.hear() == "holding"
            child.talk.say("go on")
            assert child.talk.hear() == "asked"
            first.talk.say("go on")
            first.result()
            assert child.result() == (theirs,)
    (write,) = planner.log("shared", limit=1)
    assert (write.actor, write.session, write.message) == ("coder", session, "why not")


def test_a_merge_is_made_by_whoever_makes_the_write_and_its_writer_knows_that_it_was_merged(store: Store) -> None:
    planner = Context(store, actor="planner")
    planner.configure("merge.status/", {"counters": ["/done"]})
    base = planner.put("status/all", {"done": 1}).revision
    planner.put("status/all", {"done": 3, "theirs": 1})

    def writer(talk: Talk) -> tuple[bool, tuple[str, ...]]:
        ctx = opened(store.path, "coder")
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        superseded = tuple(ctx.put("status/all", {"done": 2, "ours": 1}, base=base, strategy="merge").superseded)
        failpoints.deactivate()
        try:
            ctx.put("status/all", {"done": 0}, strategy="fail")
        except MergeConflict:
            return True, superseded
        return False, superseded

    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        before = moves_of(store.path)
        with children(writer) as (child,):
            assert child.talk.hear() == "asked"
            first.talk.say("go on")
            first.result()
            assert child.result() == (True, ())
    assert moves_of(store.path) == before + 1, "the holder made both writes at once"
    assert planner.get("status/all").json() == {"done": 4, "ours": 1, "theirs": 1}


def test_the_stopped_server_delays_those_it_serves_by_their_patience_and_nothing_happens_twice(store: Store) -> None:
    brisk = replace(PATIENT, queue_patience_s=0.3)

    def server(talk: Talk) -> None:
        def pause() -> None:
            talk.say("there")
            talk.hear()

        failpoints.activate("queue.after_acquire", pause)
        failpoints.activate("write.before_swap", pause)
        opened(store.path, "server").put("server", "x", id="server")

    names = [f"w{number}" for number in range(4)]
    with children(server) as (stopped,):
        assert stopped.talk.hear() == "there"
        with children(*(asking(store.path, name, brisk) for name in names)) as running:
            for child in running:
                assert child.talk.hear() == "asked"
            stopped.talk.say("go on")
            assert stopped.talk.hear() == "there", "it has built their writes and is about to publish them"
            stopped.stop()
            for child in running:
                child.result()
            assert_written_once(store.path, names)
            stopped.talk.say("go on")
            stopped.resume()
            assert stopped.talk.hear() == "there", "it lost the race and tries again"
            stopped.talk.say("go on")
            stopped.result()
    assert_written_once(store.path, ["server", *names])


def test_a_server_stopped_after_the_swap_leaves_it_to_them_to_find_their_writes(store: Store) -> None:
    brisk = replace(PATIENT, queue_patience_s=0.3)

    def server(talk: Talk) -> None:
        def pause() -> None:
            talk.say("there")
            talk.hear()

        failpoints.activate("queue.after_acquire", pause)
        failpoints.activate("write.after_swap", pause)
        opened(store.path, "server").put("server", "x", id="server")

    def unnamed(name: str) -> Callable[[Talk], object]:
        def run(talk: Talk) -> str:
            ctx = opened(store.path, name, brisk)
            failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
            return str(ctx.append("log.md", name).id)

        return run

    with children(server) as (stopped,):
        assert stopped.talk.hear() == "there"
        with children(*(unnamed(f"w{number}") for number in range(4))) as running:
            for child in running:
                assert child.talk.hear() == "asked"
            stopped.talk.say("go on")
            assert stopped.talk.hear() == "there", "it has published them and not yet told them"
            stopped.stop()
            ids = [child.result() for child in running]
            assert_written_once(store.path, ids)
            stopped.talk.say("go on")
            stopped.resume()
            stopped.result()
    assert_written_once(store.path, ["server", *ids])
    lines = Context(store, actor="reader").get("log.md").text().splitlines()
    assert sorted(lines) == ["w0", "w1", "w2", "w3"]


def test_whoever_gives_up_behind_a_stopped_server_says_that_it_cannot_know(store: Store) -> None:
    """The server holds the branch's lock when it is stopped: what it had begun may still happen, so nobody may say it
    won't.
    """
    from gitctx.config import RetryPolicy

    brisk = replace(PATIENT, queue_patience_s=0.2, retry=RetryPolicy(deadline_s=0.2))

    def server(talk: Talk) -> None:
        def pause() -> None:
            talk.say("there")
            talk.hear()

        failpoints.activate("queue.after_acquire", pause)
        failpoints.activate("swap.after_reflog", pause)
        opened(store.path, "server").put("server", "x", id="server")

    def giving_up(talk: Talk) -> str:
        ctx = opened(store.path, "asker", brisk)
        failpoints.activate("mail.after_ask", lambda: talk.say("asked"))
        try:
            ctx.put("asker", "x")
        except OutcomeUnknown as error:
            return str(error.id)
        return "written"

    with children(server) as (stopped,):
        assert stopped.talk.hear() == "there"
        with children(giving_up) as (child,):
            assert child.talk.hear() == "asked"
            stopped.talk.say("go on")
            assert stopped.talk.hear() == "there"
            stopped.stop()
            id = child.result()
        stopped.talk.say("go on")
        stopped.resume()
        stopped.result()
    assert ids_in_history(store.path).count(id) == 1, "and here it did happen"


def test_a_waiting_writer_that_dies_is_not_served(store: Store) -> None:
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        with children(*(asking(store.path, f"w{number}") for number in range(4))) as running:
            for child in running:
                assert child.talk.hear() == "asked"
            running[1].kill()
            first.talk.say("go on")
            first.result()
            for number in (0, 2, 3):
                running[number].result()
    assert "w1" not in ids_in_history(store.path)
    assert_written_once(store.path, ["w0", "w2", "w3"])


def test_mailboxes_that_hold_rubbish_are_passed_by(store: Store) -> None:
    folder = store.path / "gitctx" / "queue" / "context.mail"
    folder.mkdir(parents=True)
    for name, rubbish in (("1-a", b""), ("1-b", b"\xff" * 96), ("1-c", b"x" * 5000), ("1-d", b"\0" * 300)):
        (folder / name).write_bytes(rubbish)
    (folder / "folder").mkdir()
    acknowledged = together([_appending(store.path, who) for who in range(4)])
    assert_written_once(store.path, [id for ids in acknowledged for id in ids])


def test_eight_processes_are_served_in_groups_and_nothing_is_lost(store: Store) -> None:
    before = moves_of(store.path)
    acknowledged = together([_appending(store.path, who) for who in range(8)])
    ids = [id for found in acknowledged for id in found]
    assert_written_once(store.path, ids)
    assert moves_of(store.path) - before < len(ids), "some of them were published together"
    lines = Context(store, actor="reader").get("log.md").text().splitlines()
    assert len(lines) == len(set(lines)) == len(ids)
    for who in range(8):
        own = [line for line in lines if line.startswith(f"{who}-")]
        assert own == [f"{who}-{number}" for number in range(20)], "each one's writes stay in order"


def _appending(path: Path, who: int) -> Callable[[], list[str]]:
    def append() -> list[str]:
        ctx = opened(path, f"agent-{who}")
        return [str(ctx.append("log.md", f"{who}-{number}").id) for number in range(20)]

    return append


def test_counts_on_one_stale_base_by_many_processes_are_merged_by_whoever_makes_the_writes(store: Store) -> None:
    """What travels for `merge` is its name and the base; what is declared comes from the store."""
    reader = Context(store, actor="reader")
    reader.configure("merge.status/", {"counters": ["/done"], "appends": ["/log"]})
    base = reader.put("status/all", {"done": 100, "log": []}).revision

    def counting(who: int) -> Callable[[], list[str]]:
        def count() -> list[str]:
            ctx = opened(store.path, f"agent-{who}")
            value = {"done": 101, f"agent-{who}": who, "log": [f"{who}"]}
            written = [
                ctx.put("status/all", {**value, f"{who}-{number}": 1}, base=base, strategy="merge")
                for number in range(5)
            ]
            assert [each.superseded for each in written] == [()] * 5
            return [str(each.id) for each in written]

        return count

    acknowledged = together([counting(who) for who in range(6)])
    assert_written_once(store.path, [id for found in acknowledged for id in found])
    value = reader.get("status/all").json()
    assert value.pop("done") == 130
    assert sorted(value.pop("log")) == sorted(str(who) for who in range(6) for _ in range(5))
    assert value == {f"agent-{who}": who for who in range(6)} | {
        f"{who}-{number}": 1 for who in range(6) for number in range(5)
    }


def test_a_mailbox_goes_with_its_owner(store: Store) -> None:
    folder = store.path / "gitctx" / "queue" / "context.mail"
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        waiting = Context(Store.open(store.path, PATIENT), actor="here")
        thread = threading.Thread(target=lambda: waiting.put("here", "x"))
        thread.start()
        wait_until(lambda: folder.exists() and len(list(folder.iterdir())) == 1)
        first.talk.say("go on")
        first.result()
        thread.join()
    assert waiting.store.context._writer is not None
    mailbox = waiting.store.context._writer._mailbox
    assert mailbox is not None
    mailbox.close()
    assert list(folder.iterdir()) == []


def test_time_to_notice_the_death_of_the_server_is_no_part_of_patience(store: Store) -> None:
    with children(holder(store.path)) as (first,):
        assert first.talk.hear() == "holding"
        with children(*(asking(store.path, f"w{number}") for number in range(3))) as running:
            for child in running:
                assert child.talk.hear() == "asked"
            first.kill()
            began = time.monotonic()
            for child in running:
                child.result()
            assert time.monotonic() - began < PATIENT.queue_patience_s / 3
    assert_written_once(store.path, ["w0", "w1", "w2"])
