"""What a run was measured on: without it, figures mean nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pygit2


def facts(folder: Path) -> dict[str, str | int | float]:
    """The machine, the versions, and what a sync costs in `folder`. Nothing that names the host or a path."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(folder),
        "python": platform.python_version(),
        "pygit2": version("pygit2"),
        "libgit2": pygit2.LIBGIT2_VERSION,
        "git": subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2],
        "gitpython": version("GitPython"),
        "dulwich": version("dulwich"),
        "sqlite": sqlite3.sqlite_version,
        **_servers(),
        "new_file_fsync_ms": round(_sync_cost_ms(folder, fresh=True), 3),
        "append_fdatasync_ms": round(_sync_cost_ms(folder, fresh=False), 3),
    }


def _servers() -> dict[str, str]:
    """The versions of the database servers that are installed."""
    programs = {"redis": "redis-server", "etcd": "etcd"}
    found: dict[str, str] = {}
    for name, program in programs.items():
        if shutil.which(program):
            told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            number = re.search(r"\d+\.\d+\.\d+", told)
            found[name] = number[0] if number else "?"
    return found


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system that holds a folder (the mount point with the longest matching path), and what about
    it makes a sync or a deletion cost more or less.
    """
    place = folder.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    if not mounts:
        return "unknown"
    mount = max(mounts, key=lambda part: len(part.mountpoint))
    traits = ["discard"] if "discard" in mount.opts.split(",") else []
    options = Path("/proc/fs/ext4", Path(mount.device).name, "options")
    if mount.fstype == "ext4" and options.exists() and "data=" not in options.read_text("utf-8"):
        traits.insert(0, "no journal")
    return " ".join([mount.fstype, *(f"({trait})" for trait in traits)])


def _sync_cost_ms(folder: Path, *, fresh: bool, count: int = 60) -> float:
    """The median of writing 200 bytes and syncing them: to a new file each time, or to the end of one."""
    costs = []
    for number in range(count):
        path = folder / (f"sync-{number}" if fresh else "sync")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        started = time.perf_counter()
        os.write(descriptor, b"x" * 200)
        if fresh:
            os.fsync(descriptor)
        else:
            getattr(os, "fdatasync", os.fsync)(descriptor)
        costs.append(time.perf_counter() - started)
        os.close(descriptor)
    for path in folder.glob("sync*"):
        path.unlink()
    return statistics.median(costs) * 1000
