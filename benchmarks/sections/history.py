"""A long history: finding what happened to a key, reading and comparing far back, and checking all of it."""

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
from gitctx.maintenance.maintenance import Maintenance
from gitctx.store import Store

NAME = "history"

_KEYS = 1000
_COLD = "topic-00/cold.md"
_HOT = "topic-01/note-000001.md"


NEWEST, ALL = "gitctx log of one key, newest 20", "gitctx log of one key, all"


class _Size(NamedTuple):
    """`commits` of a store as maintenance leaves it, and of one that is checked as it was written."""

    rounds: int
    commits: int
    checked: int


_SIZES: Mapping[Scale, _Size] = {
    "full": _Size(rounds=5, commits=100_000, checked=10_000),
    "quick": _Size(rounds=1, commits=20_000, checked=3_000),
    "tiny": _Size(rounds=1, commits=60, checked=30),
}


def run(folder: Path, scale: Scale) -> Section:
    """Measure questions about stores of many commits, each with a fresh handle, beside git's answer to the same."""
    size = _SIZES[scale]
    path = gitctx.create(folder / "store.git")
    grow(Store.open(path), size.commits, keys=_KEYS, first=_COLD)
    Maintenance(Store.open(path)).run(full=True)
    checked = gitctx.create(folder / "checked.git")
    grow(Store.open(checked), size.checked, keys=_KEYS, first=_COLD)
    middle = _git(path, "rev-parse", f"context~{size.commits // 2}").strip()

    def fresh() -> Context:
        return gitctx.open(path, actor="planner")

    def git_log(key: str, *options: str) -> Callable[[], object]:
        return lambda: _git(path, "log", *options, "context", "--", key)

    first = "git log -1 -- key written first"
    questions: dict[str, Callable[[], object]] = {
        "gitctx last_write, key written often": lambda: fresh().last_write(_HOT),
        "gitctx last_write, key written first": lambda: fresh().last_write(_COLD),
        first: git_log(_COLD, "-1"),
        NEWEST: lambda: list(fresh().log(_HOT, limit=20)),
        "git log -20 -- that key": git_log(_HOT, "-20"),
        ALL: lambda: list(fresh().log(_HOT)),
        "git log -- that key": git_log(_HOT),
        "gitctx log, last 20 writes": lambda: list(fresh().log(limit=20)),
        "gitctx get, half the history ago": lambda: fresh().get(_COLD, at=middle),
        "git show of the same": lambda: _git(path, "show", f"{middle}:{_COLD}"),
        "gitctx diff with half the history ago": lambda: list(fresh().diff(middle)),
        "git diff of the same": lambda: _git(path, "diff", "--raw", middle, "context"),
        "gitctx verify": lambda: _verified(gitctx.open(checked, actor="planner"), full=False),
        "gitctx verify --full": lambda: _verified(gitctx.open(checked, actor="planner"), full=True),
        "git fsck --full": lambda: _git(checked, "fsck", "--full"),
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
        reference=first,
        checks=[
            Check(f"{NEWEST}, ms", by_name[NEWEST].median, at_most=100),
            Check(f"{ALL}, ms", by_name[ALL].median, at_most=300),
            Check(
                "last_write of the first key / git log -1",
                by_name["gitctx last_write, key written first"].ratio_to(by_name[first]),
            ),
            Check(
                "verify --full / git fsck --full", by_name["gitctx verify --full"].ratio_to(by_name["git fsck --full"])
            ),
        ],
        notes=[f"verify and fsck: in a store of {size.checked:,} commits that maintenance hasn't seen"],
    )


def _git(path: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(path), *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, check=True, text=True).stdout


def _timed(question: Callable[[], object]) -> Callable[[], float]:
    return lambda: seconds(question) * 1000


def _verified(context: Context, *, full: bool) -> None:
    found = context.verify(full=full)
    if not found.ok:
        raise AssertionError(f"the store isn't sound: {found.problems}")
