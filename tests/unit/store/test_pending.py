"""A write on its way: its caller may be faster than whoever made it, and is never overlooked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import PreconditionFailed
from gitctx.store import Store
from gitctx.store.pending import Pending
from gitctx.store.request import Planned, Request


def pending() -> Pending:
    return Pending(Request(op="put", subject="put k", actor="a", plan=lambda view: Planned()), "the-id")


def test_a_failure_that_its_caller_has_taken_is_still_settled() -> None:
    """Whoever made it looks afterwards which ones are left: one taken for unsettled would be made again, for nobody."""
    failed = pending()
    failed.settle(PreconditionFailed("no", hint="again"))
    with pytest.raises(PreconditionFailed):
        failed.result()
    assert failed.settled


def test_a_bell_that_rings_twice_before_it_is_heard_wakes_its_caller_once() -> None:
    waiting = pending()
    waiting.prepare()
    waiting.lead()
    waiting.settle(PreconditionFailed("no", hint="again"))
    waiting.wait()
    assert waiting.settled
    assert waiting.leads


def test_threads_whose_writes_fail_all_the_time_are_all_answered(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store.git", Config(durability="relaxed"))
    Context(store, actor="first").put("counter", "0")

    def count() -> None:
        ctx = Context(store, actor="counter")
        done = 0
        while done < 5:
            entry = ctx.get("counter")
            try:
                ctx.put("counter", f"{int(entry.text()) + 1}", if_match=entry.etag)
                done += 1
            except PreconditionFailed:
                continue

    threads = [threading.Thread(target=count, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()], "one waits for an answer that nobody will give"
    assert Context(store, actor="reader").get("counter").text() == "30"
