"""gitctx: shared context for coding agents, kept in a git repository.

import gitctx

with gitctx.open(".", actor="planner") as ctx:
    ctx.put("plan/auth.md", "ship the parser", message="agreed with coder-1")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitctx.aio.context import AsyncContext
    from gitctx.aio.opening import open_async
    from gitctx.config import Config, RetryPolicy
    from gitctx.context import Context
    from gitctx.context import create_store as create
    from gitctx.context import open_context as open
    from gitctx.context.batch import Batch
    from gitctx.repository.discovery import find_store

__version__ = "0.1.0"
__all__ = [
    "AsyncContext",
    "Batch",
    "Config",
    "Context",
    "RetryPolicy",
    "create",
    "errors",
    "find_store",
    "open",
    "open_async",
    "values",
]

_WHERE = {
    "AsyncContext": ("gitctx.aio", "AsyncContext"),
    "Batch": ("gitctx.context.batch", "Batch"),
    "Config": ("gitctx.config", "Config"),
    "Context": ("gitctx.context", "Context"),
    "RetryPolicy": ("gitctx.config", "RetryPolicy"),
    "create": ("gitctx.context", "create_store"),
    "errors": ("gitctx.errors", None),
    "find_store": ("gitctx.repository.discovery", "find_store"),
    "open": ("gitctx.context", "open_context"),
    "open_async": ("gitctx.aio", "open_async"),
    "values": ("gitctx.values", None),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: most of a short command's time is imports."""
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'gitctx' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    found = importlib.import_module(module)
    return found if attribute is None else getattr(found, attribute)
