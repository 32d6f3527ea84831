"""Database servers that are measured where they are installed, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.writers import OpenWriter, etcd_server, redis_server
from benchmarks.writers.server import installed

REDIS = "Redis, fsync always"
ETCD = "etcd"


def servers() -> Mapping[str, OpenWriter]:
    """Those that this machine has."""
    programs: Mapping[str, tuple[str, OpenWriter]] = {
        REDIS: (redis_server.PROGRAM, redis_server.RedisWriter),
        ETCD: (etcd_server.PROGRAM, etcd_server.EtcdWriter),
    }
    return {name: open_writer for name, (program, open_writer) in programs.items() if installed(program)}


def notes() -> Sequence[str]:
    """What a section says about those that it leaves out."""
    return [f"{name} isn't installed here, so it wasn't measured" for name in (REDIS, ETCD) if name not in servers()]
