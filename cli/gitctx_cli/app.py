"""The `gitctx` command: from the words of the command line to an exit code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gitctx_cli.command import build_group
from gitctx_cli.env import Env
from gitctx_cli.table import COMMANDS

INTERRUPTED = 130
_ABOUT = """Shared context for coding agents, kept in a git repository: every write is one commit.

Examples:
  gitctx init                                      make the store of this project
  gitctx put plan/auth.md "ship the parser first"  write an entry
  gitctx get plan/auth.md                          read it
  gitctx log plan/auth.md                          who changed it, when and why
  gitctx COMMAND --help                            more about a command
"""


def main() -> None:
    """Run the command that the process was started with, and exit.

    Without the interpreter's own taking down, which costs a short command a tenth of its time; unless there are
    threads or child processes that it looks after.
    """
    code = run(sys.argv[1:], Env.of_process())
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        sys.stderr.flush()
    if threading.active_count() > 1 or "multiprocessing" in sys.modules:
        sys.exit(code)
    os._exit(code)


def run(arguments: Sequence[str], env: Env) -> int:
    """Run one command line. Its exit code; what it printed is in the env's output."""
    try:
        return _run(arguments or ["--help"], env)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        return _after(error, arguments, env)


def _after(error: Exception, arguments: Sequence[str], env: Env) -> int:
    """What is done about an error: a damaged store is recovered once, and the command run again."""
    from gitctx_cli.failures import report

    try:
        if env.recover(error):
            return run(arguments, env)
    except Exception as failed:  # noqa: BLE001 - as above
        error = failed
    return report(error, env, arguments)


def _run(arguments: Sequence[str], env: Env) -> int:
    try:
        group: Any = build_group("gitctx", _ABOUT, COMMANDS, completion=_wants_completion(arguments))
        result = group.main(list(arguments), prog_name="gitctx", standalone_mode=False, obj=env)
    except SystemExit as stop:
        result = stop.code
    return result if isinstance(result, int) else 0


def _wants_completion(arguments: Sequence[str]) -> bool:
    """Whether Typer's own options are needed: making them takes time that most commands needn't spend."""
    if "_GITCTX_COMPLETE" in os.environ:
        return True
    return any(word.startswith(("--install-completion", "--show-completion", "--help")) for word in arguments)
