"""The store: reading it, writing to it by compare-and-swap, its history, its soundness."""

from gitctx.store.branch import Branch
from gitctx.store.store import Store
from gitctx.store.view import View

__all__ = ["Branch", "Store", "View"]


def __getattr__(name: str) -> object:  # TEMPORARY while helpers still import from here
    import gitctx.store.request as request

    if name in ("Planned", "Request"):
        return getattr(request, name)
    raise AttributeError(name)
