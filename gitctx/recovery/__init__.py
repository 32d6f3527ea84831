"""Recovery of a damaged store: what is broken, what can be given back, doing it, and taking it back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitctx.recovery.recovery import Recovery, may_be_damage

__all__ = ["Recovery", "may_be_damage"]


def __getattr__(name: str) -> Any:
    """Most commands need none of it, so it is loaded when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'gitctx.recovery' has no attribute {name!r}")
    return getattr(import_module("gitctx.recovery.recovery"), name)
