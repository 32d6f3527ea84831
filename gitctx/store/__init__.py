"""The store: reading it, writing to it by compare-and-swap, its history, its soundness."""

from gitctx.store.branch import Branch
from gitctx.store.store import Store
from gitctx.store.view import View

__all__ = ["Branch", "Store", "View"]
