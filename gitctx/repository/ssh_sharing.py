"""One ssh connection for many git commands: making one takes longer than all the rest of an exchange."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LONGEST_FOLDER_BYTES = 40
"""A socket's path may have 103 bytes (macOS); ssh takes 40 for a name and 17 for a while when it makes one."""
_END_S = 2.0
_LINGER_S = 30


class SharedSsh:
    """The connections that commands run with `options` share, one for each host; they end with `end`.

    If this program is killed, they end by themselves when nobody has used them for half a minute.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    def options(self) -> Sequence[str]:
        """What to tell ssh."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="gitctx-"))
            if len(str(self._folder).encode()) > _LONGEST_FOLDER_BYTES:
                self._folder.rmdir()
                self._folder = Path(tempfile.mkdtemp(prefix="gitctx-", dir="/tmp"))
        words = ("ControlMaster=auto", f"ControlPersist={_LINGER_S}", f"ControlPath={self._folder}/%C")
        return [part for word in words for part in ("-o", word)]

    def end(self) -> None:
        """End the connections, and what still runs through them."""
        if self._folder is None:
            return
        with suppress(OSError):
            for socket in list(self._folder.iterdir()):
                command = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"]
                with suppress(subprocess.TimeoutExpired):
                    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_END_S, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
