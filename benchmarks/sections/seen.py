"""How soon others know: from an acknowledged write until another process holds the new value."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section, interleave, percentile
from benchmarks.together import context
from benchmarks.watchers import (
    KEY,
    ContextWatcher,
    EtcdWatcher,
    JsonFileWatcher,
    RedisWatcher,
    SqliteWatcher,
    Watcher,
)
from benchmarks.workload import Update, entries
from benchmarks.writers import OpenWriter, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.servers import ETCD, REDIS, notes, servers
from benchmarks.writers.sqlite import SqliteWriter

NAME = "seen"

OpenWatcher = Callable[[Path], Watcher]

DURABLE = "gitctx durable, head read in a loop"
JSON_FILE = "JSON file, loaded once a second"
SERVERS: Mapping[str, tuple[str, OpenWatcher]] = {
    REDIS: (f"{REDIS}, told", RedisWatcher),
    ETCD: (f"{ETCD}, told", EtcdWatcher),
}
_PAUSE_S = 0.005
_PATIENCE_S = 60.0
_LEAST_MS = 0.01


class _Size(NamedTuple):
    rounds: int
    writes: int
    poll_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=11, writes=20, poll_s=1.0),
    "quick": _Size(rounds=3, writes=10, poll_s=1.0),
    "tiny": _Size(rounds=1, writes=1, poll_s=0.01),
}


class _Delays(NamedTuple):
    """Of all writes, in ms: from the acknowledgement, and from the call of the write, until it was seen."""

    from_acknowledged: list[float]
    from_called: list[float]


def run(folder: Path, scale: Scale) -> Section:
    """Measure a writer in this process and a watcher in another one, which only watches during its turn."""
    size = _SIZES[scale]
    contenders: Mapping[str, tuple[OpenWriter, OpenWatcher]] = {
        DURABLE: (ContextWriter.durable, ContextWatcher),
        "gitctx relaxed, head read in a loop": (ContextWriter.relaxed, ContextWatcher),
        "SQLite FULL, selected in a loop": (SqliteWriter.full, SqliteWatcher),
        **{SERVERS[name][0]: (open_writer, SERVERS[name][1]) for name, open_writer in servers().items()},
        JSON_FILE: (JsonFileWriter, partial(JsonFileWatcher, poll_s=size.poll_s)),
    }
    pairs: dict[str, _Pair] = {}
    delays: dict[str, _Delays] = {}
    turns: dict[str, Callable[[], float]] = {}
    for number, (name, (open_writer, open_watcher)) in enumerate(contenders.items()):
        place = folder / str(number)
        place.mkdir()
        writer = open_writer(place)
        writer.fill({**entries(200), KEY: b"nothing yet\n"})
        pairs[name] = _Pair(writer, open_watcher, place, size.poll_s if name == JSON_FILE else _PAUSE_S)
        delays[name] = _Delays([], [])
        turns[name] = _turn(pairs[name], size.writes if name != JSON_FILE else 1, delays[name])
    samples = interleave(turns, rounds=size.rounds)
    for pair in pairs.values():
        pair.close()
    rows = {
        name: Row(
            name,
            found,
            {
                "p99_ms": percentile(delays[name].from_acknowledged, 0.99),
                "from_call_ms": statistics.median(delays[name].from_called),
            },
        )
        for name, found in samples.items()
    }
    return Section(
        name=NAME,
        title="Until it is seen",
        what="time from an acknowledged write until another process has read the new value",
        unit="ms",
        rows=list(rows.values()),
        reference=DURABLE,
        checks=[Check("durable / JSON file loaded once a second", rows[DURABLE].ratio_to(rows[JSON_FILE]))],
        notes=[
            f"seen sooner after the acknowledgement than {_LEAST_MS} ms, or before it, counts as {_LEAST_MS} ms",
            "from_call_ms counts from the call of the write",
            "a watcher in a loop takes one core for itself",
            *notes(),
        ],
    )


class _Pair:
    """A writer here, and its watcher in a process of its own."""

    def __init__(self, writer: Writer, open_watcher: OpenWatcher, place: Path, pause_s: float) -> None:
        """`pause_s`: the longest pause before a write, so that it meets any moment of a watcher that pauses."""
        self.writer = writer
        starting = context()
        self._connection, theirs = starting.Pipe()
        self._process = starting.Process(target=_watch, args=(open_watcher, place, theirs), daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()
        self._receive()
        self._rng = random.Random(5)
        self._done = 0
        self._pause_s = pause_s

    def delay(self) -> tuple[float, float]:
        """One write: ms until it was seen, from the acknowledgement and from the call."""
        self._done += 1
        value = b"step %d\n" % self._done
        self._connection.send("watch")
        self._receive()
        time.sleep(self._rng.uniform(self._pause_s / 5, self._pause_s))
        called = time.monotonic()
        self.writer.write(Update(KEY, value, "planner", "the plan moves on"))
        acknowledged = time.monotonic()
        seen, at = self._receive()
        if seen != value:
            raise AssertionError(f"{seen!r} was seen after {value!r} was written")
        return max(_LEAST_MS, (at - acknowledged) * 1000), max(_LEAST_MS, (at - called) * 1000)

    def _receive(self) -> tuple[bytes, float]:
        if not self._connection.poll(_PATIENCE_S):
            raise AssertionError("the watcher saw nothing")
        answer: tuple[bytes, float] = self._connection.recv()
        return answer

    def close(self) -> None:
        self._connection.close()
        self._process.join(_PATIENCE_S)
        self.writer.close()


def _watch(open_watcher: OpenWatcher, place: Path, connection: Connection) -> None:
    watcher = open_watcher(place)
    connection.send((b"ready", 0.0))
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send((b"watching", 0.0))
        value = watcher.next_value()
        connection.send((value, time.monotonic()))


def _turn(pair: _Pair, writes: int, into: _Delays) -> Callable[[], float]:
    def turn() -> float:
        found = [pair.delay() for _ in range(writes)]
        into.from_acknowledged.extend(acknowledged for acknowledged, _ in found)
        into.from_called.extend(called for _, called in found)
        return statistics.median(acknowledged for acknowledged, _ in found)

    return turn
