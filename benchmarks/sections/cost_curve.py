"""How the cost of a write grows: with the number of keys, with history, with the value, with the number of writers."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.growth import SHAPES, age, shaped, sow
from benchmarks.hands import OwnKeys
from benchmarks.measure import Check, Point, Row, Scale, Section, interleave, seconds
from benchmarks.together import context, threads
from benchmarks.workload import Update, entries, excerpt
from benchmarks.writers.context import ContextWriter
from gitctx.values import Durability

NAME = "cost-curve"

KEYS, HISTORY, VALUE, WRITERS = (
    "keys in the store",
    "commits in its history",
    "bytes of the value",
    "threads that write",
)
MODES: Sequence[Durability] = ("durable", "relaxed")
MOST, AIM = 2.0, 1.2
_BUILDERS = 2


class _Size(NamedTuple):
    rounds: int
    writes: int
    keys: tuple[int, ...]
    commits: tuple[int, ...]
    values: tuple[int, ...]
    threads: tuple[int, ...]
    window_s: float


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(
        rounds=9,
        writes=10,
        keys=(1000, 100_000, 1_000_000),
        commits=(1000, 100_000, 1_000_000),
        values=(100, 1 << 10, 10 << 10, 100 << 10, 1 << 20),
        threads=(1, 4, 16, 64),
        window_s=0.4,
    ),
    "quick": _Size(
        rounds=3,
        writes=5,
        keys=(1000, 50_000),
        commits=(1000, 50_000),
        values=(100, 10 << 10, 1 << 20),
        threads=(1, 16),
        window_s=0.2,
    ),
    "tiny": _Size(
        rounds=1, writes=1, keys=(10, 400), commits=(10, 50), values=(100, 1000), threads=(1, 2), window_s=0.01
    ),
}


class _Line(NamedTuple):
    """Writes that are timed."""

    point: Point
    writer: ContextWriter
    updates: Iterator[Update]


def run(folder: Path, scale: Scale) -> Section:
    """Build the stores, as many at a time as there are builders, then measure all points in turns."""
    size = _SIZES[scale]
    rng = random.Random(9)
    turns: dict[str, Callable[[], float]] = {}
    points: dict[str, Point] = {}
    common = {mode: ContextWriter(_place(folder, mode), mode) for mode in MODES}
    for writer in common.values():
        writer.fill(entries(1000))
    for line in [*_grown(folder, size, rng), *_values(common, size, rng)]:
        turns[_label(line.point)] = _turn(line, size.writes)
        points[_label(line.point)] = line.point
    for mode, writer in common.items():
        for many in size.threads:
            point = Point(WRITERS, mode, many)
            turns[_label(point)] = _crowd(writer, many, size.window_s)
            points[_label(point)] = point
    samples = interleave(turns, rounds=size.rounds)
    rows = {label: Row(label, found, point=points[label]) for label, found in samples.items()}
    return Section(
        name=NAME,
        title="How the cost of a write grows",
        what="time of one acknowledged write of a random key, over what there is already",
        unit="ms",
        rows=list(rows.values()),
        reference=next(iter(rows)),
        checks=list(_checks(rows, size)),
        notes=[
            f"deep: keys of six levels; wide: folders of 250 keys; {HISTORY}: in a store of 400 keys",
            f"{WRITERS}: time per write, all threads together",
        ],
    )


def _grown(folder: Path, size: _Size, rng: random.Random) -> Iterator[_Line]:
    """Lines over keys and over history. Each has a store of its own: durable writes sync what relaxed ones left."""
    names = list(entries(400))
    with ProcessPoolExecutor(_BUILDERS, mp_context=context()) as builders:
        aged = {
            number: builders.submit(age, _place(folder, f"aged-{number}") / "store.git", number)
            for number in reversed(size.commits)
        }
        sown = {
            (shape, number): builders.submit(sow, _place(folder, f"{shape}-{number}") / "store.git", shape, number)
            for number in reversed(size.keys)
            for shape in SHAPES
        }
        for number in size.keys:
            for shape in SHAPES:
                key = shaped(shape, number)
                for mode, writer in _twins(sown[shape, number].result()):
                    yield _Line(Point(KEYS, f"{mode}, {shape}", number), writer, _random(rng, key, number))
        for number in size.commits:
            for mode, writer in _twins(aged[number].result()):
                yield _Line(Point(HISTORY, mode, number), writer, _random(rng, names.__getitem__, len(names)))


def _twins(store: Path) -> Iterator[tuple[Durability, ContextWriter]]:
    """A store and a copy of it: one for each mode."""
    for mode in MODES:
        place = _place(store.parent, mode)
        shutil.copytree(store, place / store.name)
        yield mode, ContextWriter(place, mode)


def _values(writers: Mapping[Durability, ContextWriter], size: _Size, rng: random.Random) -> Iterator[_Line]:
    names = list(entries(1000))
    for mode, writer in writers.items():
        for value_bytes in size.values:
            yield _Line(
                Point(VALUE, mode, value_bytes), writer, _random(rng, names.__getitem__, len(names), value_bytes)
            )


def _random(rng: random.Random, key: Callable[[int], str], keys: int, value_bytes: int = 200) -> Iterator[Update]:
    """Updates of random keys with values that weren't there before."""
    for number in count():
        start = b"%d of %d " % (number, value_bytes)
        yield Update(
            key(rng.randrange(keys)), start + excerpt(rng, value_bytes - len(start)), "planner", f"step {number}"
        )


def _turn(line: _Line, writes: int) -> Callable[[], float]:
    for update in islice(line.updates, 3):
        line.writer.write(update)

    def turn() -> float:
        work = list(islice(line.updates, writes))

        def write_all() -> None:
            for update in work:
                line.writer.write(update)

        return seconds(write_all) / writes * 1000

    return turn


def _crowd(writer: ContextWriter, many: int, window_s: float) -> Callable[[], float]:
    seeds = count(1000 * many)

    def open_writer(_: Path) -> ContextWriter:
        return writer

    def turn() -> float:
        window = threads(partial(OwnKeys, open_writer), writer.store.path, many, window_s, seed=next(seeds))
        return 1000 / window.rate

    return turn


def _checks(rows: Mapping[str, Row], size: _Size) -> Iterator[Check]:
    def growth(panel: str, line: str, numbers: Sequence[int], **limits: float) -> Check:
        least, most = (rows[_label(Point(panel, line, number))] for number in (numbers[0], numbers[-1]))
        text = f"{line}: {numbers[-1]:,} / {numbers[0]:,} {panel}"
        return Check(text, most.ratio_to(least), **limits)

    for mode in MODES:
        for shape in SHAPES:
            yield growth(KEYS, f"{mode}, {shape}", size.keys, at_most=MOST, aim=AIM)
        yield growth(HISTORY, mode, size.commits, at_most=MOST, aim=AIM)
    for mode in MODES:
        yield growth(VALUE, mode, size.values)
        yield growth(WRITERS, mode, size.threads)


def _label(point: Point) -> str:
    return f"{point.line}, {point.x:,} {point.panel}"


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place
