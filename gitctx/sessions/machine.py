"""The machine as sessions see it: who this host is, since when it runs, which processes there are."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from gitctx.sessions.process import ProcessFacts, ask_psutil, read_proc

_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_HOST_TIME_NAMESPACE = "time:[4026531834]"
_LONGEST_ANCESTRY = 128
_OCTAL = re.compile(r"\\([0-7]{3})")
_REMOTE = "nfs cifs smb 9p fuse virtiofs afs ceph gluster lustre gpfs beegfs ocfs gfs pvfs ncpfs coda vboxsf prl_fs"
_REMOTE_KINDS = tuple(_REMOTE.split())


class Room(NamedTuple):
    """What is free on a file system: for this user, in bytes; and how many files more (None: it keeps no count)."""

    free_bytes: int
    free_files: int | None


class Machine:
    """The real machine. Tests pass one of their own, with hosts, boots and processes as they like.

    Facts that can't be found out are "" (or None): whoever judges takes that for "not known".
    """

    def host_id(self) -> str:
        """What tells this host from others, the same after a reboot and under another name."""
        return _host_id()

    def hostname(self) -> str:
        """The host's name, for people."""
        return socket.gethostname()

    def boot_id(self) -> str:
        """What tells this run of the host from earlier ones."""
        return _boot_id()

    def pid_namespace(self) -> str:
        """The space that process numbers (and their start times) are valid in: one per container on Linux."""
        try:
            space = os.readlink("/proc/self/ns/pid")
        except OSError:
            return ""
        try:
            clock = os.readlink("/proc/self/ns/time")
        except OSError:
            return space
        return space if clock == _HOST_TIME_NAMESPACE else f"{space} {clock}"

    def process(self, pid: int) -> ProcessFacts | None:
        """The process of that number; None if there is none. Zombies count as gone."""
        if not 0 < pid < 1 << 31:
            return None
        return read_proc(pid) if sys.platform == "linux" else ask_psutil(pid)

    def ancestors(self, pid: int) -> Iterator[ProcessFacts]:
        """The parent of a process, its parent, and so on, as far as they can be seen."""
        here = self.process(pid)
        for _ in range(_LONGEST_ANCESTRY):
            if here is None or here.parent <= 0:
                return
            here = self.process(here.parent)
            if here is not None:
                yield here

    def own_pid(self) -> int:
        """The number of this process."""
        return os.getpid()

    def room(self, path: str) -> Room | None:
        """What is free on the file system at `path`; None if it doesn't tell."""
        try:
            found = os.statvfs(path)
        except OSError:
            return None
        return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)

    def is_local(self, path: str) -> bool:
        """Whether the file system at `path` is this host's alone. False if that can't be told."""
        if sys.platform != "linux":
            return True
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                kind = filesystem_kind(file.read(), os.path.realpath(path))
        except OSError:
            return False
        return kind is not None and not kind.startswith(_REMOTE_KINDS)


def filesystem_kind(mountinfo: str, path: str) -> str | None:
    """The kind of file system that holds an absolute path, by `/proc/self/mountinfo` (see proc_pid_mountinfo(5)).

    None if no mount fits. Of several mounts on one place the last one counts.
    """
    best, found = -1, None
    for line in mountinfo.splitlines():
        place, separator, device = line.partition(" - ")
        words = place.split(" ")
        if not separator or len(words) < 5:
            continue
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, found = len(point), device.split(" ")[0]
    return found


@cache
def _host_id() -> str:
    if sys.platform == "darwin":
        return _darwin_host_id()
    for path in _MACHINE_IDS:
        text = _first_line(path)
        if text:
            return text
    return f"name:{socket.gethostname()}"


@cache
def _boot_id() -> str:
    return _darwin_boot_id() if sys.platform == "darwin" else _first_line(_BOOT_ID)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline(200).strip()
    except OSError:
        return ""


def _darwin_host_id() -> str:
    """Source: gethostuuid(2)."""
    import ctypes

    made = ctypes.create_string_buffer(16)
    wait = (ctypes.c_long * 2)(1, 0)
    if ctypes.CDLL(None).gethostuuid(made, ctypes.byref(wait)) != 0:
        return f"name:{socket.gethostname()}"
    return made.raw.hex()


def _darwin_boot_id() -> str:
    """Source: sysctl(3), `kern.bootsessionuuid`."""
    import ctypes

    made = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(made))
    if ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", made, ctypes.byref(size), None, 0) != 0:
        return ""
    return made.value.decode("ascii", "replace")
