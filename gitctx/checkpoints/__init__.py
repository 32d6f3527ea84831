"""Checkpoints: names for contents."""

from gitctx.checkpoints.checkpoints import Checkpoints

__all__ = ["Checkpoints"]
