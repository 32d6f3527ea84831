"""The only place that touches git, pygit2 and GitPython; their errors become ours here."""

from gitctx.repository.refs import RefLocked, RefMoved, SwapUnsettled
from gitctx.repository.repository import Repository

__all__ = ["RefLocked", "RefMoved", "Repository", "SwapUnsettled"]
