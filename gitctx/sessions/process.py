"""What the system tells about one process, and how a process is told from a later one with its number.

On Linux a process is identified by its number and the ticks between boot and its start (`/proc/<pid>/stat`, field 22,
see proc_pid_stat(5)): exact, and no wall clock is involved, so a jump of the clock changes nothing.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

_GONE = {errno.ENOENT, errno.ESRCH}


class ProcessFacts(NamedTuple):
    """A process that exists. `started_at` is opaque and never changes; None where the system doesn't show it.

    `parent` is 0 where there is none, or none that can be seen.
    """

    pid: int
    started_at: str | None
    name: str
    parent: int


def read_proc(pid: int) -> ProcessFacts | None:
    """A process as Linux shows it; None if there is none. A zombie is gone: nothing of it will ever run again."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError as error:
        if error.errno in _GONE and not _answers(pid):
            return None
        return ProcessFacts(pid, None, "", 0)
    return parse_stat(pid, data)


def parse_stat(pid: int, data: bytes) -> ProcessFacts | None:
    """A line of `/proc/<pid>/stat`; None for a process whose last thread has ended.

    The state is that of the first thread. When that one has ended and others run on, the process lives.
    """
    name = data[data.find(b"(") + 1 : data.rfind(b")")].decode("utf-8", "replace")
    fields = data[data.rfind(b")") + 2 :].split()
    try:
        state, parent, threads, ticks = fields[0], int(fields[1]), int(fields[17]), fields[19].decode("ascii")
    except (IndexError, ValueError):
        return ProcessFacts(pid, None, name, 0)
    if state in (b"X", b"x") or (state == b"Z" and threads <= 1):
        return None
    return ProcessFacts(pid, ticks, name, parent)


def _answers(pid: int) -> bool:
    """Whether there is a process at all: `/proc` may be missing, or hide those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def ask_psutil(pid: int) -> ProcessFacts | None:
    """A process on systems without Linux's `/proc`; None if there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return None
            return ProcessFacts(pid, f"{process.create_time():.6f}", process.name(), process.ppid() or 0)
    except psutil.NoSuchProcess:
        return None
    except (psutil.Error, OSError):
        return ProcessFacts(pid, None, "", 0)
