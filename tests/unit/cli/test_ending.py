"""A signal ends work in good order, takes its usual effect then, and the second one at once."""

from __future__ import annotations

import signal
import threading

import pytest

from gitctx_cli.ending import until_told
from gitctx_testkit.children import PATIENCE_S, Child

SCRIPT = """
import sys, time
from gitctx_cli.ending import until_told

def work(stop):
    print("at work", flush=True)
    stop.wait()
    print("told", flush=True)
    while sys.argv[1] == "stubborn":
        time.sleep(1)
    print("in order", flush=True)

try:
    until_told(work)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print("on it goes", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_work_end_and_then_ends_the_program_as_usual(number: signal.Signals) -> None:
    with Child(SCRIPT, "willing") as child:
        assert child.line() == "at work"
        child.process.send_signal(number)
        assert [child.line(), child.line()] == ["told", "in order"]
        assert child.process.wait(PATIENCE_S) == -number


def test_an_interrupt_lets_the_work_end_and_is_raised_then() -> None:
    with Child(SCRIPT, "willing") as child:
        assert child.line() == "at work"
        child.process.send_signal(signal.SIGINT)
        assert [child.line() for _ in range(4)] == ["told", "in order", "interrupted", "on it goes"]
        assert child.process.wait(PATIENCE_S) == 0


def test_a_second_signal_takes_effect_at_once() -> None:
    with Child(SCRIPT, "stubborn") as child:
        assert child.line() == "at work"
        child.process.send_signal(signal.SIGTERM)
        assert child.line() == "told"
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(PATIENCE_S) == -signal.SIGTERM


def test_what_the_work_returns_or_raises_comes_out_and_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert until_told(lambda stop: stop.is_set()) is False

    def fail(stop: threading.Event) -> None:
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        until_told(fail)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
