"""Long git commands: run without being in anybody's way, watched for how far they are, stopped in the end."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from gitctx.errors import GitFailed
from gitctx.repository.git_command import command_line

OnPercent = Callable[[int], None]
_PERCENT = re.compile(rb"(\d+)%")
_TALK_BYTES = 2000
_GENTLE = ("nice", "-n", "10")


class WatchedGit:
    """One git command on its way. Reading what it says goes on in a thread; `end` waits for it."""

    def __init__(
        self,
        git_dir: Path,
        arguments: Sequence[str],
        *,
        stdin: bytes,
        timeout_s: float,
        gentle: bool,
        on_percent: OnPercent | None,
    ) -> None:
        """Start it. `gentle`: at a low priority. Raises GitFailed."""
        self._shown = "git " + " ".join(arguments[:6])
        self._timeout_s = timeout_s
        self._on_percent = on_percent
        self._talk = b""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        try:
            with tempfile.TemporaryFile() as source:
                source.write(stdin)
                source.seek(0)
                self._process = subprocess.Popen(
                    [*(_GENTLE if gentle else ()), *command_line(git_dir, *arguments)],
                    stdin=source,
                    stdout=self._output,
                    stderr=subprocess.PIPE,
                )
        except OSError as error:
            self._output.close()
            raise GitFailed(
                f"{self._shown} couldn't be run: {error}", hint="is git installed and on the PATH?"
            ) from error
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has ended, or so long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)

    def end(self) -> bytes:
        """Wait until it has ended; its output. Raises GitFailed."""
        try:
            with self._process, self._output:
                try:
                    status = self._process.wait(self._timeout_s)
                except subprocess.TimeoutExpired:
                    raise GitFailed(
                        f"{self._shown} took longer than {self._timeout_s:g} s",
                        hint="allow it more: Config.git_timeout_s",
                    ) from None
                finally:
                    self._process.kill()
                    self._reader.join()
                self._output.seek(0)
                if status == 0:
                    return self._output.read()
        except OSError as error:
            raise GitFailed(f"what {self._shown} said can't be read: {error}") from error
        talk = self._talk.decode("utf-8", "replace")
        raise GitFailed(
            f"{self._shown} failed with status {status}: {talk.strip()[-500:]}",
            hint="run it by hand to see more, with --git-dir of the store",
            details={"status": status, "stderr": talk},
        )

    def _listen(self, talk: IO[bytes]) -> None:
        while part := os.read(talk.fileno(), 4096):
            found = _PERCENT.findall(part)
            if found and self._on_percent is not None:
                self._on_percent(int(found[-1]))
            self._talk = (self._talk + part)[-_TALK_BYTES:]
