"""Keeping in step with a remote that refuses something: what it takes still travels, and it is told once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gitctx.context import Context
from gitctx.errors import GitctxError
from gitctx.store import Store
from gitctx.values import Exchanged
from gitctx_testkit.clones import Clones
from gitctx_testkit.processes import wait_until

PATIENCE_S = 20.0
WRITES = 8
"""Backing off more and more, the last of them would be sent after two minutes."""
Reports = list[Exchanged | GitctxError]


@contextmanager
def keeping(ctx: Context) -> Iterator[Reports]:
    """Exchange in a thread; the reports of it."""
    reports: Reports = []
    stop = threading.Event()

    def keep() -> None:
        ctx.sync.keep_exchanging(on_report=lambda _, report: reports.append(report), stop=stop, interval_s=0.2)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield reports
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("pattern", ["refs/tags/held", "refs/heads/sessions"])
def test_what_a_remote_refuses_holds_up_nothing_that_it_takes_and_is_told_once(clones: Clones, pattern: str) -> None:
    one, _ = clones.pair()
    ctx = Context(Store.open(one.path, replace(one.config, sleep=lambda _: None)), actor="one")
    ctx.checkpoints.create("held")
    ctx.sessions.start(actor="one", agent="test").end()
    clones.hub.refuse_ref(pattern)
    with keeping(ctx) as reports:
        for number in range(WRITES):
            head = ctx.put("k", f"{number}").revision
            wait_until(lambda head=head: clones.hub.head("refs/heads/context") == head, PATIENCE_S)
    assert all(isinstance(report, Exchanged) and not report.complete for report in reports)
    assert len([report for report in reports if isinstance(report, Exchanged) and not report.changed]) <= 1
