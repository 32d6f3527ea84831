"""The name of this machine, as commits give it."""

from __future__ import annotations

import os


def hostname() -> str:
    """The network name. (Not `socket.gethostname`, which says the same: importing that costs a command 3 ms.)"""
    return os.uname().nodename
