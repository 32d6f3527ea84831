"""A command that wrote ends at once. If rotation or maintenance is due, a slice of it goes on in a process apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitctx.store import Store

_COMMAND = "from gitctx_cli.app import main; main()"


def keeping_small_apart(store: Store) -> Callable[[], None]:
    """What the store's repository calls when it has grown."""

    def keep_small() -> None:
        from gitctx.context.upkeep import is_due, may_be_due

        if may_be_due(store) and is_due(store):
            start_apart(store.path)

    return keep_small


def start_apart(path: Path) -> None:
    """Start a slice in a process of its own that outlives this one."""
    import subprocess
    import sys

    command = [sys.executable, "-P", "-c", _COMMAND, "--store", str(path), "-q", "maintain", "--slice"]
    try:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        return
