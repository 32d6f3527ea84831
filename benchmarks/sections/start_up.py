"""What a short command costs, most of which is starting Python and importing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from benchmarks.measure import Check, Row, Scale, Section, interleave, seconds
from benchmarks.workload import entries
from benchmarks.writers.context import ContextWriter
from benchmarks.writers.plain_git import environment

NAME = "start-up"

GET = "gitctx get KEY"
IMPORTS = "python -c 'import typer, pygit2'"
MOST = 1.3

_SIZES: Mapping[Scale, int] = {"full": 31, "quick": 9, "tiny": 1}
"""Rounds."""


def run(folder: Path, scale: Scale) -> Section:
    """Measure whole processes, in turns. Without the command only what it is compared with is measured."""
    writer = ContextWriter.durable(folder)
    writer.fill(entries(100))
    key = next(iter(entries(1)))
    numbers = count()
    store = str(writer.store.path)
    gitctx = _gitctx()
    python = sys.executable
    commands: dict[str, Callable[[], Sequence[str]]] = {
        IMPORTS: lambda: [python, "-c", "import typer, pygit2"],
        "python -c pass": lambda: [python, "-c", "pass"],
        "git show": lambda: ["git", "--git-dir", store, "show", f"context:{key}"],
    }
    if gitctx:
        commands = {
            GET: lambda: [*gitctx, "--store", store, "get", key],
            "gitctx put KEY VALUE": lambda: [*gitctx, "--store", store, "put", "plan/a.md", f"step {next(numbers)}"],
            **commands,
        }
    turns = {name: _turn(command) for name, command in commands.items()}
    if scale != "tiny":
        for turn in turns.values():
            turn()
    samples = interleave(turns, rounds=_SIZES[scale])
    rows = {name: Row(name, found) for name, found in samples.items()}
    checks = (
        [Check("gitctx get / import typer, pygit2", rows[GET].ratio_to(rows[IMPORTS]), at_most=MOST)] if gitctx else []
    )
    if gitctx:
        checks.append(Check("the same, fastest of each", min(rows[GET].samples) / min(rows[IMPORTS].samples)))
    return Section(
        name=NAME,
        title="Start-up",
        what="wall time of a whole process",
        unit="ms",
        rows=list(rows.values()),
        reference=IMPORTS,
        checks=checks,
        notes=[] if gitctx else ["the gitctx command isn't installed here, so it wasn't measured"],
    )


def _gitctx() -> list[str]:
    """How to run the command: the installed script, else its entry point; empty if there is none."""
    script = Path(sys.executable).with_name("gitctx")
    if script.exists():
        return [str(script)]
    try:
        there = find_spec("gitctx_cli.app") is not None
    except ImportError:
        there = False
    return [sys.executable, "-c", "from gitctx_cli.app import main; main()"] if there else []


def _run(words: Sequence[str], environment: Mapping[str, str]) -> None:
    subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def _turn(command: Callable[[], Sequence[str]]) -> Callable[[], float]:
    """The warm-up leaves compiled modules behind, as an installation does."""
    left_out = ("GITCTX_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in environment().items() if not name.startswith(left_out)}
    kept["GITCTX_ACTOR"] = "planner"

    def turn() -> float:
        words = command()
        return seconds(lambda: _run(words, kept)) * 1000

    return turn
