"""Agents at work: what all of it together costs, not only single writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.hands import Agent
from benchmarks.measure import Check, Row, Scale, Section, interleave
from benchmarks.together import Window, details, processes
from benchmarks.writers import OpenWorkplace, Workplace
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.json_file import JsonFileWriter
from benchmarks.writers.sqlite import SqliteWriter

NAME = "agents"

AGENTS = 4
DURABLE, FULL, JSON_FILE = "gitctx durable", "SQLite FULL", "JSON file"
CONTENDERS: Mapping[str, OpenWorkplace] = {
    DURABLE: ContextWriter.durable,
    FULL: SqliteWriter.full,
    JSON_FILE: JsonFileWriter,
}


class _Size(NamedTuple):
    rounds: int
    window_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=9, window_s=1.0),
    "quick": _Size(rounds=3, window_s=0.5),
    "tiny": _Size(rounds=1, window_s=0.05),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure how many steps of the same work four processes get done on each contender."""
    size = _SIZES[scale]
    workplaces: dict[str, Workplace] = {}
    windows: dict[str, list[Window]] = {}
    turns: dict[str, Callable[[], float]] = {}
    for number, (name, open_workplace) in enumerate(CONTENDERS.items()):
        place = folder / str(number)
        place.mkdir()
        workplaces[name] = open_workplace(place)
        workplaces[name].fill(Agent.before())
        windows[name] = []
        turns[name] = _turn(open_workplace, place, size.window_s, windows[name])
    samples = interleave(turns, rounds=size.rounds)
    for name, workplace in workplaces.items():
        # SQLite has a history row per key; the others keep a batch as one version.
        wanted = sum(window.keys if name == FULL else window.versions for window in windows[name])
        if workplace.versions() != wanted:
            raise AssertionError(f"{name} holds {workplace.versions()} versions after {wanted} acknowledged ones")
        workplace.close()
    rows = {name: Row(name, samples[name], details(windows[name])) for name in turns}
    return Section(
        name=NAME,
        title="Agents at work",
        what=f"steps of {AGENTS} processes together: 45 % reads, small updates, log lines, batches, large notes",
        unit="steps/s",
        rows=list(rows.values()),
        reference=FULL,
        checks=[
            Check("durable / SQLite FULL", rows[DURABLE].ratio_to(rows[FULL])),
            Check("durable / JSON file", rows[DURABLE].ratio_to(rows[JSON_FILE])),
        ],
        notes=["each agent's steps are the same for every contender; how many of them it gets through is measured"],
    )


def _turn(open_workplace: OpenWorkplace, place: Path, window_s: float, into: list[Window]) -> Callable[[], float]:
    seeds = count()

    def turn() -> float:
        into.append(processes(partial(Agent, open_workplace), place, AGENTS, window_s, seed=next(seeds)))
        return into[-1].rate

    return turn
