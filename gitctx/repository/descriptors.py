"""Descriptors that carry a kernel lock: a forked child gives its copies back at once.

A lock lives as long as any copy of its descriptor. A worker that happens to be forked during a write would keep it long
after the writer was killed, and make it look alive.
"""

from __future__ import annotations

import os

_held: set[int] = set()


def hold(descriptor: int) -> int:
    """Note a descriptor that no forked child may keep; the descriptor itself."""
    _held.add(descriptor)
    return descriptor


def close(descriptor: int) -> None:
    """Close a descriptor that was noted. Does nothing in a child that has given it back already."""
    if descriptor in _held:
        _held.discard(descriptor)
        os.close(descriptor)


def _give_back() -> None:
    for descriptor in list(_held):
        close(descriptor)


os.register_at_fork(after_in_child=_give_back)
