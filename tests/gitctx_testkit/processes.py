"""Real processes that a test starts, lines up, stops and kills.

They are forked, so that what they do can be written as a function inside the test.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_FORK = multiprocessing.get_context("fork")


class ChildDied(AssertionError):
    """The process ended without an answer."""


class Talk:
    """One end of the line between a test and its process."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def say(self, what: Any) -> None:
        """Send something to the other end."""
        self._line.send(("said", what))

    def heard(self) -> bool:
        """Whether the other end has said something that nobody has heard yet."""
        return self._line.poll(0)

    def hear(self, timeout_s: float = 60.0) -> Any:
        """What the other end said next. Raises TimeoutError, ChildDied, or what the process raised."""
        if not self._line.poll(timeout_s):
            raise TimeoutError(f"nothing was heard for {timeout_s} s")
        try:
            kind, what = self._line.recv()
        except (EOFError, ConnectionResetError):
            raise ChildDied("the process ended without an answer") from None
        if kind == "raised":
            raise what
        return what


class Child(Generic[T]):
    """A process that runs `function(talk)`, with `talk` the line to the test."""

    def __init__(self, function: Callable[[Talk], T]) -> None:
        ours, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=_run, args=(function, theirs, ours), daemon=True)
        self._process.start()
        theirs.close()
        self.talk = Talk(ours)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def result(self, timeout_s: float = 120.0) -> T:
        """What the function returned. Raises what it raised, or ChildDied if it was killed."""
        answer: T = self.talk.hear(timeout_s)
        self._process.join(timeout_s)
        return answer

    def wait_killed(self, timeout_s: float = 60.0) -> None:
        """Wait until the process has died of SIGKILL."""
        self._process.join(timeout_s)
        assert self._process.exitcode == -signal.SIGKILL, f"it ended with {self._process.exitcode}"

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.join()

    def stop(self) -> None:
        """Stop it with SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self._process.is_alive():
            self.kill()


def _run(function: Callable[[Talk], Any], line: Connection, other_end: Connection) -> None:
    other_end.close()
    try:
        answer = ("said", function(Talk(line)))
    except BaseException as error:  # noqa: BLE001 - it is handed to the test
        error.add_note(traceback.format_exc())
        answer = ("raised", _picklable(error))
    line.send(answer)
    line.close()


def _picklable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever keeps it from travelling
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


@contextmanager
def children(*functions: Callable[[Talk], Any]) -> Iterator[list[Child[Any]]]:
    """A process for each function; all are gone when the block ends."""
    running = [Child(function) for function in functions]
    try:
        yield running
    finally:
        for child in running:
            child.end()


def together(functions: Sequence[Callable[[], T]], timeout_s: float = 120.0) -> list[T]:
    """Run functions in a process each, all starting at the same moment; what they returned."""

    def after_signal(function: Callable[[], T]) -> Callable[[Talk], T]:
        def run(talk: Talk) -> T:
            talk.say("ready")
            _sleep_until(talk.hear())
            return function()

        return run

    with children(*(after_signal(function) for function in functions)) as running:
        for child in running:
            assert child.talk.hear() == "ready"
        start = time.monotonic() + 0.01
        for child in running:
            child.talk.say(start)
        return [child.result(timeout_s) for child in running]


class Crew(Generic[T]):
    """Processes that live for many rounds; in each, all do the same thing at the same moment.

    `start(number)` runs in each process and gives the function that does a round: it gets the round's order.
    """

    def __init__(self, size: int, start: Callable[[int], Callable[[Any], T]]) -> None:
        def serve(number: int) -> Callable[[Talk], None]:
            def run(talk: Talk) -> None:
                work = start(number)
                talk.say("ready")
                while True:
                    at, order = talk.hear(3600)
                    _sleep_until(at)
                    talk.say(work(order))

            return run

        self._children: list[Child[Any]] = [Child(serve(number)) for number in range(size)]
        for child in self._children:
            assert child.talk.hear() == "ready"

    def round(self, order: Any) -> list[T]:
        """Have all of them do a round; what each returned."""
        start = time.monotonic() + 0.001
        for child in self._children:
            child.talk.say((start, order))
        return [child.talk.hear() for child in self._children]

    def __enter__(self) -> Crew[T]:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.end()


def _sleep_until(moment: float) -> None:
    while time.monotonic() < moment:
        pass


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Poll until a condition holds. Raises AssertionError when it doesn't in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it didn't come true within {timeout_s} s"
        time.sleep(0.002)


def die() -> None:
    """Kill this very process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)
