"""How soon all other sessions know: several processes, each of which watches and now and then writes."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Check, Point, Row, Scale, Section, interleave, percentile
from benchmarks.together import context
from benchmarks.watchers import KEY, EtcdWatcher, JsonFileWatcher, RedisWatcher, ToldWatcher, Watcher
from benchmarks.workload import Update, entries
from benchmarks.writers import OpenWriter, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.servers import ETCD, REDIS, notes, servers

NAME = "watch"

OpenWatcher = Callable[[Path, Writer], Watcher]
"""Opens a watcher of a folder, in a process that has a writer of it."""


def told(place: Path, writer: Writer) -> Watcher:
    """As a session has it: what it writes with and what tells it of others share an open store."""
    assert isinstance(writer, ContextWriter)
    return ToldWatcher(writer.context("watcher"))


def told_by_redis(place: Path, writer: Writer) -> Watcher:
    return RedisWatcher(place)


def told_by_etcd(place: Path, writer: Writer) -> Watcher:
    return EtcdWatcher(place)


def polled(place: Path, writer: Writer, *, poll_s: float) -> Watcher:
    return JsonFileWatcher(place, poll_s=poll_s)


WATCHED = "gitctx durable, watched"
POLLED = "JSON file, loaded once a second"
SERVERS: Mapping[str, tuple[str, OpenWatcher]] = {
    REDIS: (f"{REDIS}, told", told_by_redis),
    ETCD: (f"{ETCD}, told", told_by_etcd),
}
MEDIAN_MS, P99_MS = 10.0, 50.0
_PATIENCE_S = 60.0
_LEAST_MS = 0.01
_PAUSE_S = 0.05
"""The longest pause before a write."""


class _Size(NamedTuple):
    rounds: int
    sessions: tuple[int, ...]
    writes: int
    polled_writes: int
    poll_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=4, sessions=(2, 4, 8, 32), writes=40, polled_writes=4, poll_s=1.0),
    "quick": _Size(rounds=2, sessions=(2, 4, 8, 32), writes=25, polled_writes=2, poll_s=1.0),
    "tiny": _Size(rounds=1, sessions=(2,), writes=1, polled_writes=1, poll_s=0.01),
}


class _Delays(NamedTuple):
    """In ms, of every write and every other session: until it was seen, from the call and from the acknowledgement."""

    from_called: list[float]
    from_acknowledged: list[float]


def run(folder: Path, scale: Scale) -> Section:
    """Measure teams of every size, which write in turns; a team is only there during its turn."""
    size = _SIZES[scale]
    contenders: Mapping[str, tuple[OpenWriter, OpenWatcher]] = {
        WATCHED: (ContextWriter.durable, told),
        "gitctx relaxed, watched": (ContextWriter.relaxed, told),
        **{SERVERS[name][0]: (open_writer, SERVERS[name][1]) for name, open_writer in servers().items()},
        POLLED: (JsonFileWriter, partial(polled, poll_s=size.poll_s)),
    }
    writers: list[Writer] = []
    delays: dict[tuple[str, int], _Delays] = {}
    turns: dict[str, Callable[[], float]] = {}
    for number, (name, (open_writer, open_watcher)) in enumerate(contenders.items()):
        place = folder / str(number)
        place.mkdir()
        writers.append(open_writer(place))
        writers[-1].fill({**entries(200), KEY: b"nothing yet\n"})
        for many in size.sessions:
            delays[name, many] = _Delays([], [])
            turns[_label(name, many)] = _Turn(
                partial(_session, open_writer, open_watcher, place),
                many,
                size.polled_writes if name == POLLED else size.writes,
                size.poll_s if name == POLLED else _PAUSE_S,
                delays[name, many],
            )
    samples = interleave(turns, rounds=size.rounds)
    for writer in writers:
        writer.close()
    rows = {
        (name, many): Row(
            _label(name, many),
            samples[_label(name, many)],
            {
                "p99_ms": percentile(found.from_called, 0.99),
                "from_ack_ms": statistics.median(found.from_acknowledged),
                "from_ack_p99_ms": percentile(found.from_acknowledged, 0.99),
            },
            Point("sessions", name, many),
        )
        for (name, many), found in delays.items()
    }
    eight = 8 if 8 in size.sessions else size.sessions[-1]
    ours = rows[WATCHED, eight]
    return Section(
        name=NAME,
        title="Until all other sessions have seen it",
        what="time from the call of a write until another session's process has the new value",
        unit="ms",
        rows=list(rows.values()),
        reference=_label(WATCHED, eight),
        checks=[
            Check(f"median in ms, {eight} sessions", ours.median, at_most=MEDIAN_MS),
            Check(f"p99 in ms, {eight} sessions", ours.details["p99_ms"], at_most=P99_MS),
            Check(f"watched / polled once a second, {eight} sessions", ours.ratio_to(rows[POLLED, eight])),
        ],
        notes=[
            "each session is a process that watches and writes; one writes, all others are waited for",
            f"the call of a write includes its syncs; what was seen before the acknowledgement counts {_LEAST_MS} ms",
            *notes(),
        ],
    )


class _Turn:
    """A team of sessions, from its start to its end, and some writes in between."""

    def __init__(
        self, session: Callable[[int, Connection], None], many: int, writes: int, pause_s: float, into: _Delays
    ) -> None:
        self._session = session
        self._many = many
        self._writes = writes
        self._pause_s = pause_s
        self._into = into
        self._rng = random.Random(many)
        self._done = 0

    def __call__(self) -> float:
        starting = context()
        ours: list[Connection] = []
        team = []
        for number in range(self._many):
            mine, theirs = starting.Pipe()
            process = starting.Process(target=self._session, args=(number, theirs), daemon=True)  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            ours.append(mine)
            team.append(process)
        for connection in ours:
            _receive(connection)
        found = [delay for number in range(self._writes) for delay in self._write(ours, number % self._many)]
        for connection in ours:
            connection.close()
        for process in team:
            process.join(_PATIENCE_S)
        return statistics.median(found)

    def _write(self, ours: list[Connection], writer: int) -> list[float]:
        """One write; from its call, how long each other session took to see it."""
        self._done += 1
        value = b"%d step %d\n" % (self._many, self._done)
        time.sleep(self._rng.uniform(self._pause_s / 5, self._pause_s))
        ours[writer].send(value)
        seen: dict[int, float] = {}
        wrote: tuple[float, float] | None = None
        while wrote is None or len(seen) < len(ours):
            ready = wait(ours, _PATIENCE_S)
            if not ready:
                raise AssertionError(f"{len(seen)} of {len(ours)} sessions saw a write")
            for connection in ready:
                assert isinstance(connection, Connection)
                what, value_told, *times = connection.recv()
                if what == "wrote":
                    wrote = (times[0], times[1])
                elif value_told == value:
                    seen[ours.index(connection)] = times[0]
        called, acknowledged = wrote
        others = [at for number, at in seen.items() if number != writer]
        self._into.from_acknowledged.extend(max(_LEAST_MS, (at - acknowledged) * 1000) for at in others)
        delays = [max(_LEAST_MS, (at - called) * 1000) for at in others]
        self._into.from_called.extend(delays)
        return delays


def _session(
    open_writer: OpenWriter, open_watcher: OpenWatcher, place: Path, number: int, connection: Connection
) -> None:
    """One process: a thread that watches and tells what it sees, and writes when it is asked to."""
    sending = threading.Lock()

    def tell(*what: Any) -> None:
        with sending:
            connection.send(what)

    def look() -> None:
        watcher = open_watcher(place, writer)
        tell("ready", b"")
        while True:
            value = watcher.next_value()
            tell("seen", value, time.monotonic())

    writer = open_writer(place)
    threading.Thread(target=look, daemon=True).start()
    while True:
        try:
            value = connection.recv()
        except EOFError:
            return
        called = time.monotonic()
        writer.write(Update(KEY, value, f"session-{number}", "the plan moves on"))
        tell("wrote", value, called, time.monotonic())


def _receive(connection: Connection) -> None:
    if not connection.poll(_PATIENCE_S):
        raise AssertionError("a session didn't start")
    connection.recv()


def _label(name: str, many: int) -> str:
    return f"{name}, {many} sessions"
