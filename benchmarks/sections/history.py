"""A long history: finding what happened to a key, and checking all of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import gitctx
from benchmarks.growth import grow
from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.writers.plain_git import environment
from gitctx import Context
from gitctx.store import Store

NAME = "history"

_KEYS = 1000
_COLD = "topic-00/cold.md"
_HOT = "topic-01/note-000001.md"


class _Size(NamedTuple):
    rounds: int
    commits: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=5, commits=10_000),
    "quick": _Size(rounds=1, commits=3_000),
    "tiny": _Size(rounds=1, commits=30),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure questions about a store of many commits, each with a fresh handle, beside git's answer to the same."""
    size = _SIZES[scale]
    path = gitctx.create(folder / "store.git")
    grow(Store.open(path), size.commits, keys=_KEYS, first=_COLD)

    def fresh() -> Context:
        return gitctx.open(path, actor="planner")

    def git(*arguments: str) -> None:
        command = ["git", "--git-dir", str(path), *arguments]
        subprocess.run(command, env=environment(), capture_output=True, check=True)

    questions: dict[str, Callable[[], object]] = {
        "gitctx last_write, key written often": lambda: fresh().last_write(_HOT),
        "gitctx last_write, key written first": lambda: fresh().last_write(_COLD),
        "git log -1 -- key written first": lambda: git("log", "-1", "context", "--", _COLD),
        "gitctx log of one key": lambda: list(fresh().log(_HOT)),
        "git log -- that key": lambda: git("log", "context", "--", _HOT),
        "gitctx log, last 20 writes": lambda: list(fresh().log(limit=20)),
        "gitctx verify": lambda: _verified(fresh(), full=False),
        "gitctx verify --full": lambda: _verified(fresh(), full=True),
        "git fsck --full": lambda: git("fsck", "--full"),
    }
    turns = {name: _timed(question) for name, question in questions.items()}
    samples = interleave(turns, rounds=size.rounds)
    rows = [Row(name, found) for name, found in samples.items()]
    by_name = {row.name: row for row in rows}
    return Section(
        name=NAME,
        title="A long history",
        what=f"time of one question to a store of {size.commits:,} commits and {_KEYS:,} keys, opened anew each time",
        unit="ms",
        rows=rows,
        reference="git log -1 -- key written first",
        checks=[
            Check(
                "last_write of the first key / git log -1",
                by_name["gitctx last_write, key written first"].ratio_to(by_name["git log -1 -- key written first"]),
            ),
            Check(
                "verify --full / git fsck --full", by_name["gitctx verify --full"].ratio_to(by_name["git fsck --full"])
            ),
        ],
    )


def _timed(question: Callable[[], object]) -> Callable[[], float]:
    return lambda: seconds(question) * 1000


def _verified(context: Context, *, full: bool) -> None:
    found = context.verify(full=full)
    if not found.ok:
        raise AssertionError(f"the store isn't sound: {found.problems}")
