"""How soon other machines know: from an acknowledged write until three other clones hold it, through a git server."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.clones import Account, work
from benchmarks.measure import Check, Row, Scale, Section, interleave, percentile
from benchmarks.together import context as processes
from gitctx.context import Context
from gitctx.store import Store
from gitctx.sync.joining import join

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))  # the servers of the tests serve here, too

from gitctx_testkit.hosted import Hosted
from gitctx_testkit.http_server import HttpServer
from gitctx_testkit.needs import lacking
from gitctx_testkit.ssh_server import SshServer

NAME = "sync"
CLONES = 4
PATH, SSH, HTTP = "a bare path", "sshd", "http-backend behind nginx"
_NEEDS = {SSH: "sshd", HTTP: "nginx"}
_PATIENCE_S = 120.0
_PROMISED_MS = 1000.0


class _Size(NamedTuple):
    rounds: int
    seconds: float
    pause_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=5, seconds=10.0, pause_s=1.0),
    "quick": _Size(rounds=2, seconds=5.0, pause_s=1.0),
    "tiny": _Size(rounds=1, seconds=0.1, pause_s=0.05),
}


class _Found(NamedTuple):
    """Of all rounds: the delays in ms, the pushes that were tried, and the writes."""

    delays_ms: list[float]
    pushes: list[int]
    writes: list[int]


def run(folder: Path, scale: Scale) -> Section:
    """Measure four clones that all write, through each kind of server that is installed."""
    size = _SIZES[scale]
    missing = {kind: reason for kind, need in _NEEDS.items() if (reason := lacking(need)) is not None}
    found = {kind: _Found([], [], []) for kind in (PATH, SSH, HTTP) if kind not in missing}

    def turn(kind: str) -> Callable[[], float]:
        def measure() -> float:
            place = folder / f"{kind.split(maxsplit=1)[0]}-{len(found[kind].writes)}"
            place.mkdir()
            return _round(kind, place, size, found[kind])

        return measure

    samples = interleave({kind: turn(kind) for kind in found}, rounds=size.rounds)
    rows = [
        Row(
            kind,
            samples[kind],
            {
                "p99_ms": percentile(found[kind].delays_ms, 0.99),
                "max_ms": max(found[kind].delays_ms),
                "pushes_per_write": sum(found[kind].pushes) / sum(found[kind].writes),
            },
        )
        for kind in found
    ]
    return Section(
        name=NAME,
        title="Until other machines have it",
        what=f"time from an acknowledged write until another of {CLONES} clones holds it; all write all the time",
        unit="ms",
        rows=rows,
        reference=PATH,
        checks=[
            Check(f"{row.name}: p99 in ms", row.details["p99_ms"], at_most=_PROMISED_MS)
            for row in rows
            if row.name != PATH
        ],
        notes=[
            f"each clone writes once in {size.pause_s:g} s on average; the server and all clones share this machine",
            *(f"{kind} wasn't measured: {reason}" for kind, reason in missing.items()),
        ],
    )


def _round(kind: str, folder: Path, size: _Size, found: _Found) -> float:
    with _hosted(kind, folder) as (url, search_path):
        places = [folder / f"clone-{number}" for number in range(CLONES)]
        first = Context(Store.create(places[0]), actor="agent-0")
        first.sync.add_remote("origin", url)
        first.sync.exchange()
        for place in places[1:]:
            join(place, url)
        accounts = _measure(places, search_path, size)
    delays = [
        max(0.01, (other.seen[id] - at) * 1000)
        for one in accounts
        for other in accounts
        if other is not one
        for id, at in one.acknowledged.items()
    ]
    found.delays_ms.extend(delays)
    found.pushes.append(sum(account.pushes for account in accounts))
    found.writes.append(sum(len(account.acknowledged) for account in accounts))
    return statistics.median(delays)


@contextmanager
def _hosted(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The address of an empty repository, and the PATH with which it is reached."""
    usual = os.environ["PATH"]
    if kind == PATH:
        yield str(Hosted(folder / "a.git").path), usual
        return
    (folder / "server").mkdir()
    server = SshServer(folder / "server") if kind == SSH else HttpServer(folder / "server")
    with server:
        Hosted(server.root / "a.git")
        if isinstance(server, SshServer):
            os.environ["PATH"] = f"{server.client(folder / 'bin')}:{usual}"
        try:
            yield server.url("a.git"), os.environ["PATH"]
        finally:
            os.environ["PATH"] = usual


def _measure(places: list[Path], search_path: str, size: _Size) -> list[Account]:
    starting = processes()
    lines, running = [], []
    for number, place in enumerate(places):
        ours, theirs = starting.Pipe()
        arguments = (place, number, search_path, size.seconds, size.pause_s, theirs)
        process = starting.Process(target=work, args=arguments, daemon=True)  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        lines.append(ours)
        running.append(process)

    def hear_all() -> list[object]:
        heard = []
        for line in lines:
            if not line.poll(_PATIENCE_S):
                raise AssertionError("a clone said nothing")
            heard.append(line.recv())
        return heard

    hear_all()
    begin = time.monotonic() + 0.1
    for line in lines:
        line.send(begin)
    hear_all()
    _wait_until_all_agree(places)
    for line in lines:
        line.send("stop")
    accounts = [account for account in hear_all() if isinstance(account, Account)]
    for process in running:
        process.join(_PATIENCE_S)
    return accounts


def _wait_until_all_agree(places: list[Path]) -> None:
    """Nobody writes any more: soon all have the same head, and have seen it."""
    stores = [Store.open(place) for place in places]
    deadline = time.monotonic() + _PATIENCE_S
    while len({store.context.head() for store in stores}) > 1:
        if time.monotonic() > deadline:
            raise AssertionError("the clones never agreed")
        time.sleep(0.02)
    time.sleep(0.1)
