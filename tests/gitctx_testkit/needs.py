"""What some tests need beyond git and Python, by the marker that says so. Without it they are skipped.

`.ci/run` installs all of it, and fails where it isn't to be had.
"""

from __future__ import annotations

from functools import cache

from gitctx_testkit.daemons import find_program
from gitctx_testkit.network import can_make_networks

_PROGRAMS = {
    "strace": ("strace",),
    "sshd": ("sshd", "ssh", "ssh-keygen"),
    "nginx": ("nginx", "fcgiwrap"),
    "netns": ("ip", "unshare", "nsenter", "mount"),
}
MARKER_OF_FIXTURE = {"ssh_server": "sshd", "http_server": "nginx", "network": "netns"}
"""Whoever asks for one of these fixtures is marked without saying it."""


@cache
def lacking(marker: str) -> str | None:
    """Why tests with a marker can't run here; None if they can, or if the marker needs nothing."""
    missing = [name for name in _PROGRAMS.get(marker, ()) if find_program(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if marker == "netns" and not can_make_networks():
        return "network namespaces can't be made here: that takes root, on Linux"
    return None
