"""Ends that nobody asked for, in real processes with real signals: a session ends properly and holds nobody up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.sessions import Machine, Sessions
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx.values import SessionRecord
from gitctx_testkit.children import PATIENCE_S, Child
from gitctx_testkit.git import clean_environment

PREPARE = """
import asyncio, os, signal, sys, threading, time
from pathlib import Path
from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.sessions import Machine, Sessions, ends
from gitctx.store import Store
store = Store.open(Path(sys.argv[1]), Config(durability='relaxed'))
sessions = Sessions(store, Machine())
def say(word): os.write(1, f'{word}\\n'.encode())  # at once: two processes say something
def wait():  # in short steps: Python may just have looked for signals when one comes, and would sleep on with it
    while True: time.sleep(0.05)
def stop_here(word, only_main=False):
    def stop():
        if only_main and threading.current_thread() is not threading.main_thread(): return
        say(word)
        wait()
    return stop
"""
START = PREPARE + "session = sessions.start(actor='coder')\nsay(session.id)\n"
TERMINATORS = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all of this: each test looks at sessions of its own, and the dead ones are for the next start."""
    made = Store.create(tmp_path_factory.mktemp("ends") / "store.git", Config(durability="relaxed"))
    yield made
    assert verify(Store.open(made.path), full=True).problems == ()


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return Sessions(store, Machine())


def ended(child: Child) -> int:
    """The exit state of a process that has to end by itself."""
    return child.process.wait(PATIENCE_S)


def how(record: SessionRecord) -> tuple[bool | None, str | None]:
    return record.graceful_shutdown, record.end_reason


def lines(child: Child, number: int) -> Sequence[str]:
    return [child.line() for _ in range(number)]


@pytest.mark.parametrize("number", TERMINATORS)
def test_a_signal_that_nobody_handles_ends_session_and_program_as_it_always_does(
    store: Store, sessions: Sessions, number: signal.Signals
) -> None:
    with Child(START + "wait()", store.path) as child:
        id = child.line()
        os.kill(child.pid, number)
        assert ended(child) == -number
    assert how(sessions.record(id)) == (True, number.name)
    assert not (store.path / "gitctx" / "leases" / id).exists()


@pytest.mark.parametrize(
    ("rest", "reason"),
    [("with session: say('up'); wait()", "KeyboardInterrupt"), ("say('up'); wait()", "the program ended")],
)
def test_an_interrupt_ends_the_session_on_pythons_own_way_out(
    store: Store, sessions: Sessions, rest: str, reason: str
) -> None:
    with Child(START + rest, store.path) as child:
        id, _ = lines(child, 2)
        os.kill(child.pid, signal.SIGINT)
        assert ended(child) == -signal.SIGINT
    assert how(sessions.record(id)) == (True, reason)


def test_an_interrupt_that_would_kill_at_once_ends_the_session_first(store: Store, sessions: Sessions) -> None:
    script = PREPARE + "signal.signal(signal.SIGINT, signal.SIG_DFL)\nsay(sessions.start(actor='coder').id)\nwait()"
    with Child(script, store.path) as child:
        id = child.line()
        os.kill(child.pid, signal.SIGINT)
        assert ended(child) == -signal.SIGINT
    assert how(sessions.record(id)) == (True, "SIGINT")


@pytest.mark.parametrize(
    ("rest", "code"),
    [("sys.exit(3)", 3), ("raise ZeroDivisionError", 1), ("threading.Thread(target=say, args=[1])", 0)],
)
def test_a_program_that_just_ends_ends_its_session(store: Store, sessions: Sessions, rest: str, code: int) -> None:
    with Child(START + "sys.excepthook = lambda *_: None\n" + rest, store.path) as child:
        id = child.line()
        assert ended(child) == code
    assert how(sessions.record(id)) == (True, "the program ended")


def test_all_sessions_of_a_program_are_ended_in_whatever_store(
    store: Store, sessions: Sessions, tmp_path: Path
) -> None:
    other = Store.create(tmp_path / "other.git")
    script = START + (
        "say(sessions.start(actor='second').id)\n"
        "say(Sessions(Store.open(Path(sys.argv[2])), Machine()).start(actor='third').id)\nwait()"
    )
    with Child(script, store.path, other.path) as child:
        first, second, third = lines(child, 3)
        os.kill(child.pid, signal.SIGTERM)
        assert ended(child) == -signal.SIGTERM
    assert how(sessions.record(first)) == how(sessions.record(second)) == (True, "SIGTERM")
    assert how(Sessions(other, Machine()).record(third)) == (True, "SIGTERM")


class TestHostsOwnHandlers:
    """A program's own handlers are kept and called; what is ignored stays ignored."""

    @pytest.mark.parametrize("order", ["before", "after"])
    def test_the_host_decides_and_may_write_its_last_words_in_the_session(
        self, store: Store, sessions: Sessions, order: str
    ) -> None:
        handler = "asked = threading.Event()\nsignal.signal(signal.SIGTERM, lambda *_: (say('asked'), asked.set()))\n"
        last = (
            "while not asked.wait(0.05): pass\n"
            "Context(store, actor='coder', session=session.id).put('handover/coder', 'done')\n"
            "session.end(reason='asked to')\n"
        )
        start = START.removeprefix(PREPARE)
        script = PREPARE + (handler + start if order == "before" else start + handler) + "say('up')\n" + last
        with Child(script, store.path) as child:
            id = child.line()
            child.line()
            os.kill(child.pid, signal.SIGTERM)
            assert child.line() == "asked"
            assert ended(child) == 0
        assert how(sessions.record(id)) == (True, "asked to")
        assert store.context.view().value("handover/coder") == b"done"

    @pytest.mark.parametrize(("error", "code"), [("SystemExit(3)", 3), ("ZeroDivisionError()", 1)])
    def test_a_handler_that_raises_ends_the_program_in_its_own_way(
        self, store: Store, sessions: Sessions, error: str, code: int
    ) -> None:
        handler = f"def leave(*_): raise {error}\nsignal.signal(signal.SIGTERM, leave)\nsys.excepthook = lambda *_: 0\n"
        with Child(PREPARE + handler + START.removeprefix(PREPARE) + "wait()", store.path) as child:
            id = child.line()
            os.kill(child.pid, signal.SIGTERM)
            assert ended(child) == code
        assert how(sessions.record(id)) == (True, "the program ended")

    def test_one_that_calls_the_handler_before_it_ends_the_session_through_ours(
        self, store: Store, sessions: Sessions
    ) -> None:
        chain = (
            "earlier = signal.getsignal(signal.SIGTERM)\n"
            "signal.signal(signal.SIGTERM, lambda *given: (say('host'), earlier(*given)))\nsay('up')\nwait()"
        )
        with Child(START + chain, store.path) as child:
            id, _ = lines(child, 2)
            os.kill(child.pid, signal.SIGTERM)
            assert child.line() == "host"
            assert ended(child) == -signal.SIGTERM
        assert how(sessions.record(id)) == (True, "SIGTERM")

    def test_what_is_ignored_stays_ignored(self, store: Store, sessions: Sessions) -> None:
        ignore = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        with Child(PREPARE + ignore + START.removeprefix(PREPARE) + "input()\nsay('on')\ninput()", store.path) as child:
            id = child.line()
            os.kill(child.pid, signal.SIGHUP)
            child.tell("go on")
            assert child.line() == "on"
            assert sessions.state(id) == "alive"

    @pytest.mark.parametrize("order", ["before", "after"])
    def test_asyncios_handlers_work_on(self, store: Store, sessions: Sessions, order: str) -> None:
        add = "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: (say('loop'), stop.set()))\n"
        start = "    session = sessions.start(actor='coder')\n    say(session.id)\n"
        body = add + start if order == "before" else start + add
        script = (
            "async def main():\n    stop = asyncio.Event()\n"
            + body
            + "    say('up')\n    with session: await stop.wait()\nasyncio.run(main())\nsay('done')\n"
        )
        with Child(PREPARE + script, store.path) as child:
            id, _ = lines(child, 2)
            os.kill(child.pid, signal.SIGTERM)
            assert lines(child, 2) == ["loop", "done"]
            assert ended(child) == 0
        assert how(sessions.record(id)) == (True, None)

    def test_signals_may_be_left_alone_altogether(self, store: Store, sessions: Sessions) -> None:
        with Child(PREPARE + "say(sessions.start(actor='c', on_signals=False).id)\nwait()", store.path) as child:
            id = child.line()
            os.kill(child.pid, signal.SIGTERM)
            assert ended(child) == -signal.SIGTERM
        assert sessions.state(id) == "dead"

    def test_our_handlers_are_there_only_while_a_session_needs_them(self, store: Store) -> None:
        script = PREPARE + (
            "def handled(): say(*[callable(signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGHUP)])\n"
            "say = print\nhandled()\nfirst, second = sessions.start(actor='1'), sessions.start(actor='2')\nhandled()\n"
            "first.end()\nhandled()\nsecond.end()\nhandled()\nsys.stdout.flush()\n"
        )
        with Child(script, store.path) as child:
            assert lines(child, 4) == ["False False", "True True", "True True", "False False"]

    def test_without_the_main_thread_a_signal_does_what_it_always_does(self, store: Store, sessions: Sessions) -> None:
        script = PREPARE + (
            "made = []\nthread = threading.Thread(target=lambda: made.append(sessions.start(actor='coder')))\n"
            "thread.start(); thread.join(); say(made[0].id)\n"
        )
        with Child(script + "wait()", store.path) as child:
            id = child.line()
            os.kill(child.pid, signal.SIGTERM)
            assert ended(child) == -signal.SIGTERM
        assert sessions.state(id) == "dead"
        with Child(script, store.path) as child:
            id = child.line()
            assert ended(child) == 0
        assert how(sessions.record(id)) == (True, "the program ended")


class TestNeverAHang:
    """Whatever the program or others are in the middle of."""

    @pytest.mark.parametrize(
        ("work", "point"),
        [
            ("Context(store, actor='c', session=session.id).put('a', '1')", "write.before_swap"),
            ("sessions.start(actor='second', hold=False, pid=os.getpid())", "write.before_swap"),
            ("sessions.start(actor='third', hold=False, pid=os.getpid())", "write.after_swap"),
        ],
        ids=["context", "sessions", "published"],
    )
    def test_a_signal_in_the_middle_of_a_write_with_our_locks_held(
        self, store: Store, sessions: Sessions, work: str, point: str
    ) -> None:
        stop = f"failpoints.activate('{point}', stop_here('in it', only_main=True))\n"
        with Child(START + stop + work, store.path) as child:
            id, _ = lines(child, 2)
            os.kill(child.pid, signal.SIGTERM)
            assert ended(child) == -signal.SIGTERM
        assert how(sessions.record(id)) == (True, "SIGTERM")

    def test_a_signal_while_the_very_ref_is_locked_is_over_in_time_and_the_session_is_found_dead(
        self, store: Store, sessions: Sessions
    ) -> None:
        busy = "failpoints.activate('swap.after_lock', stop_here('in it'))\nsession.end()\n"
        with Child(START + "ends.LIMIT_S = 0.2\n" + busy, store.path) as child:
            id, _ = lines(child, 2)
            os.kill(child.pid, signal.SIGTERM)
            assert ended(child) == -signal.SIGTERM
        assert sessions.state(id) == "dead"
        assert [each.record.id for each in sessions.recover(id, actor="planner").recovered] == [id]

    def test_a_queue_full_of_writers_that_stand_still_is_not_waited_for(self, store: Store, sessions: Sessions) -> None:
        still = (
            "def stand(): say('still'); os.kill(os.getpid(), signal.SIGSTOP)\n"
            "failpoints.activate(sys.argv[2], stand)\nsessions.start(actor='still')\n"
        )
        with Child(START + "wait()", store.path) as child:
            id = child.line()
            stopped = [Child(PREPARE + still, store.path, "queue.after_acquire")]
            try:
                stopped[0].line()
                stopped += [Child(PREPARE + still, store.path, "queue.after_ticket") for _ in range(2)]
                for each in stopped[1:]:
                    each.line()
                os.kill(child.pid, signal.SIGTERM)
                assert ended(child) == -signal.SIGTERM
                assert how(sessions.record(id)) == (True, "SIGTERM")
            finally:
                for each in stopped:
                    each.__exit__(None, None, None)

    def test_a_second_signal_ends_at_once(self, store: Store, sessions: Sessions) -> None:
        """Only that one can: without it, this end would wait for ever."""
        stuck = "ends.LIMIT_S = 1e6\nSessions.apart = lambda _: stop_here('ending')()\n"
        with Child(PREPARE + stuck + START.removeprefix(PREPARE) + "wait()", store.path) as child:
            id = child.line()
            os.kill(child.pid, signal.SIGTERM)
            assert child.line() == "ending"
            os.kill(child.pid, signal.SIGHUP)
            assert ended(child) == -signal.SIGHUP
        assert sessions.state(id) == "dead"

    def test_an_end_that_gets_nowhere_is_given_up(self, store: Store, sessions: Sessions) -> None:
        stuck = "ends.LIMIT_S = 0.05\nSessions.apart = lambda _: stop_here('ending')()\n"
        for rest, code in (("wait()", -signal.SIGTERM), ("", 0)):
            with Child(PREPARE + stuck + START.removeprefix(PREPARE) + rest, store.path) as child:
                id = child.line()
                if rest:
                    os.kill(child.pid, signal.SIGTERM)
                assert child.line() == "ending"
                assert ended(child) == code
            assert sessions.state(id) == "dead"

    def test_an_end_that_fails_keeps_no_program_from_ending(self, store: Store, sessions: Sessions) -> None:
        broken = "def fail(): raise OSError(28, 'No space left')\nfailpoints.activate('objects.before_write', fail)\n"
        for rest, code in (("wait()", -signal.SIGTERM), ("", 0)):
            with Child(START + broken + "say('up')\n" + rest, store.path) as child:
                id, _ = lines(child, 2)
                if rest:
                    os.kill(child.pid, signal.SIGTERM)
                assert ended(child) == code
            assert sessions.state(id) == "dead"

    def test_who_interrupts_the_end_itself_does_not_wait_for_another_one(
        self, store: Store, sessions: Sessions
    ) -> None:
        stuck = (
            "ends.LIMIT_S = 1e6\nSessions.apart = lambda _: stop_here('again')()\n"
            "sessions.end = lambda *_, **__: stop_here('ending')()\nwith session: pass\n"
        )
        with Child(START + "sys.excepthook = lambda *_: 0\n" + stuck, store.path) as child:
            id, word = lines(child, 2)
            assert word == "ending"
            os.kill(child.pid, signal.SIGINT)
            assert ended(child) in (-signal.SIGINT, 1)
        assert sessions.state(id) == "dead"

    def test_a_heartbeat_that_hangs_is_not_waited_for(self, store: Store, sessions: Sessions) -> None:
        script = PREPARE + (
            "from gitctx.sessions import session as module\nmodule._PATIENCE_S = 0.05\n"
            "from gitctx.sessions.issuing import Issuer\nbeating = threading.Event()\n"
            "Issuer.beat_held = lambda *_: (beating.set(), wait())\n"
            "session = sessions.start(actor='coder', beat_every_s=0.01)\nbeating.wait()\nsay(session.id)\n"
            "session.end(reason='by hand')\nsay('over')\n"
        )
        with Child(script, store.path) as child:
            id, word = lines(child, 2)
            assert word == "over"
            assert ended(child) == 0
        assert how(sessions.record(id)) == (True, "by hand")


class TestForks:
    """A forked child has no part in its parent's sessions."""

    @pytest.mark.parametrize("rest", ["sys.exit(0)", "say('c'); wait()"])
    def test_neither_its_exit_nor_a_signal_to_it_ends_the_session(
        self, store: Store, sessions: Sessions, rest: str
    ) -> None:
        script = START + f"child = os.fork()\nif child == 0:\n    {rest}\n"
        script += "say(f'child {child}')\nsay(f'state {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}')\nwait()"
        with Child(script, store.path) as child:
            id = child.line()
            words = [child.line()] if "exit" in rest else sorted(lines(child, 2))
            if "exit" not in rest:
                os.kill(int(words[1].split()[1]), signal.SIGTERM)
            assert child.line() == ("state 0" if "exit" in rest else f"state {-signal.SIGTERM}")
            assert sessions.state(id) == "alive"
            os.kill(child.pid, signal.SIGTERM)
            assert ended(child) == -signal.SIGTERM
        assert how(sessions.record(id)) == (True, "SIGTERM")

    def test_the_first_process_of_a_container_ends_as_well(self, store: Store, sessions: Sessions) -> None:
        """The kernel keeps a signal's default action from it."""
        if sys.platform != "linux":
            pytest.skip("has no process spaces")
        with subprocess.Popen(
            ["unshare", "--fork", "--pid", "--kill-child", sys.executable, "-c", START + "wait()", str(store.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=clean_environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path)),
        ) as outer:
            assert outer.stdout is not None
            id = outer.stdout.readline().decode().strip()
            if not id:
                pytest.skip("no process space of one's own can be made here")
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGTERM)
            assert outer.wait(PATIENCE_S) == 128 + signal.SIGTERM
        assert how(sessions.record(id)) == (True, "SIGTERM")
