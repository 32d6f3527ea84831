"""The asyncio face: what `gitctx.open` gives, with the same names, to be awaited.

Each operation is one hop into a worker thread of the context's own; a cancelled write is settled before its
CancelledError goes on. See docs/decisions/0010-async.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitctx.aio.cancelling import CancelledWrite, cancelled_write
    from gitctx.aio.context import AsyncContext
    from gitctx.aio.opening import open_async

__all__ = ["AsyncContext", "CancelledWrite", "cancelled_write", "open_async"]

_WHERE = {
    "AsyncContext": "context",
    "CancelledWrite": "cancelling",
    "cancelled_write": "cancelling",
    "open_async": "opening",
}


def __getattr__(name: str) -> Any:
    """Who only asks what became of a write needs only that."""
    if name not in _WHERE:
        raise AttributeError(f"module 'gitctx.aio' has no attribute {name!r}")
    return getattr(import_module(f"gitctx.aio.{_WHERE[name]}"), name)
