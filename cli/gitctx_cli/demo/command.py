"""`gitctx demo`."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitctx_cli.env import Env
from gitctx_cli.failures import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitctx_cli.demo.conductor import Outcome
    from gitctx_cli.demo.evidence import Check
    from gitctx_cli.demo.progress import Display
    from gitctx_cli.demo.report import Styled

DEFAULT_FILES = 400
PROOF_FAILED = 7


def demo(
    env: Env,
    *,
    project: Annotated[
        str | None, typer.Option("--project", metavar="PATH", help="the project to survey (default: the one around)")
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="DIR", help="put the store there (default: a temporary folder)")
    ] = None,
    files: Annotated[int, typer.Option("--files", metavar="N", help="survey at most so many files")] = DEFAULT_FILES,
) -> None:
    """Watch four agents survey this project together, each a process of its own.

    They share the files out through claims, write what they find, and read each other's findings. One is killed
    half-way: the others notice and finish its work. At the end plain git proves that nothing was lost. The project is
    only read; the store stays, so that you can look around in it. Exit code 7 if the proof fails.

    Examples:
      gitctx demo
      gitctx demo --project ~/src/other --files 1000
      gitctx demo --keep look.git
    """
    from gitctx.repository.project import Project
    from gitctx_cli.demo.conductor import Conductor
    from gitctx_cli.demo.interruption import Interruption

    if files < 1:
        raise UsageError("--files takes a number of 1 or more")
    start = env.path(project) if project is not None else env.start
    found = Project.find(start)
    name = str(found.git_dir.parent if found.git_dir.name == ".git" else start.resolve())
    store = (env.path(keep) if keep is not None else Path(tempfile.mkdtemp(prefix="gitctx-demo-"))).absolute()
    try:
        conductor = Conductor(found, store, name=name, files=files, display=_display(env), private=keep is None)
        with Interruption() as interruption:
            outcome = conductor.run(interruption)
    except KeyboardInterrupt:
        env.output.say(f"stopped, and all agents with it; the store as it is: {store}")
        raise
    finally:
        if keep is None and store.is_dir() and not any(store.iterdir()):
            store.rmdir()
    _tell(env, outcome)


def _tell(env: Env, outcome: Outcome) -> None:
    """The proof and the report. Raises typer.Exit if the proof fails."""
    from gitctx.context import Context
    from gitctx.store import Store
    from gitctx_cli.demo.plan import SUMMARY
    from gitctx_cli.demo.proof import prove
    from gitctx_cli.demo.report import document, report

    store = outcome.progress.store
    checks: Sequence[Check] = prove(store, outcome.expected())
    summary: Any = Context(Store.open(store), actor="reader").get(SUMMARY).json()
    if env.json:
        env.output.document(document(outcome, summary, checks, gitctx=_gitctx()))
    else:
        ascii_only = env.output.terminal and not _is_utf8(sys.stdout)
        _print(env, report(outcome, summary, checks, gitctx=_gitctx(), ascii_only=ascii_only), ascii_only=ascii_only)
    if not all(check.ok for check in checks):
        raise typer.Exit(PROOF_FAILED)


def _display(env: Env) -> Display:
    from gitctx_cli.demo.display import LineDisplay, LiveDisplay, NoDisplay

    if env.json or env.output.quiet:
        return NoDisplay()
    if sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
        if console.is_terminal and not console.is_dumb_terminal:
            return LiveDisplay(console)
    return LineDisplay(env.output.say)


def _print(env: Env, lines: Sequence[Styled], *, ascii_only: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    text = io.StringIO()
    console = Console(file=text, force_terminal=env.output.terminal, highlight=False)
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)
    env.output.data(text.getvalue().encode("ascii" if ascii_only else "utf-8", "backslashreplace"))


def _gitctx() -> str:
    """How the command is called from here: by its name, if the shell finds it."""
    called = Path(sys.argv[0])
    if shutil.which("gitctx") is not None or called.name != "gitctx":
        return "gitctx"
    return os.path.relpath(called) if called.absolute().is_relative_to(Path.cwd()) else str(called.absolute())


def _is_utf8(stream: Any) -> bool:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "") == "utf8"
