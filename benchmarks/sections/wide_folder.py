"""A folder of 100 entries against one of 20,000: a write must not pay for its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.workload import entries, updates
from benchmarks.writers import OpenWriter, Writer
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.plain_git import Pygit2Writer

NAME = "wide-folder"

CONTENDERS: Mapping[str, OpenWriter] = {
    "gitctx durable": ContextWriter.durable,
    "gitctx relaxed": ContextWriter.relaxed,
    "pygit2 flat tree": Pygit2Writer.unsynced,
}
MOST = 2.0
_NARROW = 100


class _Size(NamedTuple):
    rounds: int
    writes: int
    wide: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=21, writes=20, wide=20_000),
    "quick": _Size(rounds=7, writes=6, wide=20_000),
    "tiny": _Size(rounds=1, writes=1, wide=300),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure writes into a narrow and a wide folder, in turns."""
    size = _SIZES[scale]
    turns: dict[str, Callable[[], float]] = {}
    writers: list[Writer] = []
    for number, (name, open_writer) in enumerate(CONTENDERS.items()):
        for count in (_NARROW, size.wide):
            place = folder / f"{number}-{count}"
            place.mkdir()
            writer = open_writer(place)
            writers.append(writer)
            turns[_label(name, count)] = _turn(writer, count, size.writes)
    samples = interleave(turns, rounds=size.rounds)
    for writer in writers:
        writer.close()
    rows = {name: Row(name, found) for name, found in samples.items()}

    def cost(name: str) -> float:
        return rows[_label(name, size.wide)].ratio_to(rows[_label(name, _NARROW)])

    return Section(
        name=NAME,
        title="A wide folder",
        what=f"time of one write into a folder of {_NARROW} entries and into one of {size.wide:,}",
        unit="ms",
        rows=list(rows.values()),
        reference=_label("gitctx durable", _NARROW),
        checks=[
            Check("durable, wide / narrow", cost("gitctx durable"), at_most=MOST),
            Check("relaxed, wide / narrow", cost("gitctx relaxed")),
            Check("pygit2 flat tree, wide / narrow", cost("pygit2 flat tree")),
        ],
    )


def _label(name: str, count: int) -> str:
    return f"{name}, {count:,} entries"


def _turn(writer: Writer, count: int, writes: int) -> Callable[[], float]:
    filled = {key: b"%d\n" % (number % 50) for number, key in enumerate(entries(count, folders=1))}
    writer.fill(filled)
    line = updates(list(filled))
    for update in islice(line, 5):
        writer.write(update)

    def turn() -> float:
        work = list(islice(line, writes))

        def write_all() -> None:
            for update in work:
                writer.write(update)

        return seconds(write_all) / writes * 1000

    return turn
