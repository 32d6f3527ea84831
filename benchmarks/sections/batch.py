"""Many keys at once: a batch that is one commit, against one transaction and one save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.workload import Update, entries, updates
from benchmarks.writers import OpenWorkplace, Workplace
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.sqlite import SqliteWriter

NAME = "batch"

DURABLE, FULL, JSON_FILE = "gitctx durable", "SQLite FULL", "JSON file"
CONTENDERS: Mapping[str, OpenWorkplace] = {
    DURABLE: ContextWriter.durable,
    "gitctx relaxed": ContextWriter.relaxed,
    FULL: SqliteWriter.full,
    JSON_FILE: JsonFileWriter,
}


class _Size(NamedTuple):
    rounds: int
    keys: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=15, keys=1000),
    "quick": _Size(rounds=5, keys=1000),
    "tiny": _Size(rounds=1, keys=30),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure new values for every key of a store at once, in turns."""
    size = _SIZES[scale]
    filled = entries(size.keys)
    workplaces: dict[str, Workplace] = {}
    turns: dict[str, Callable[[], float]] = {}
    for number, (name, open_workplace) in enumerate(CONTENDERS.items()):
        place = folder / str(number)
        place.mkdir()
        workplaces[name] = open_workplace(place)
        workplaces[name].fill(filled)
        turns[name] = _turn(workplaces[name], updates(list(filled)), list(filled))
    samples = interleave(turns, rounds=size.rounds)
    for name, workplace in workplaces.items():
        wanted = size.rounds * (size.keys if name == FULL else 1)
        if workplace.versions() != wanted:
            raise AssertionError(f"{name} holds {workplace.versions()} versions after {wanted}")
        workplace.close()
    rows = {name: Row(name, found) for name, found in samples.items()}
    return Section(
        name=NAME,
        title="Many keys at once",
        what=f"new values of {size.keys:,} keys, acknowledged together: one commit, one transaction, one save",
        unit="keys/s",
        rows=list(rows.values()),
        reference=FULL,
        checks=[
            Check("durable / SQLite FULL", rows[DURABLE].ratio_to(rows[FULL]), at_least=0.2, aim=0.4),
            Check("durable / JSON file", rows[DURABLE].ratio_to(rows[JSON_FILE])),
        ],
        notes=["SQLite writes a history row per key; the JSON file keeps all versions of one save in one snapshot"],
    )


def _turn(workplace: Workplace, line: Iterator[Update], keys: list[str]) -> Callable[[], float]:
    def turn() -> float:
        work = [update._replace(key=key) for key, update in zip(keys, islice(line, len(keys)), strict=True)]
        return len(work) / seconds(lambda: workplace.write_together(work))

    return turn
