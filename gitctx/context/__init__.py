"""The context: the shared entries of a store as one actor reads and writes them. What Python programs use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitctx.context.context import Context
    from gitctx.context.opening import create_store, open_context
    from gitctx.context.reading import Reading

__all__ = ["Context", "Reading", "create_store", "open_context"]

_WHERE = {"Context": "context", "Reading": "reading", "create_store": "opening", "open_context": "opening"}


def __getattr__(name: str) -> Any:
    """A program that only reads imports only that."""
    if name not in _WHERE:
        raise AttributeError(f"module 'gitctx.context' has no attribute {name!r}")
    return getattr(import_module(f"gitctx.context.{_WHERE[name]}"), name)
