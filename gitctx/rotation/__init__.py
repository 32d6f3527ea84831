"""Old history gives way to one commit that stands for it, so that a store stays small for ever."""

from gitctx.rotation.rotation import Rotation

__all__ = ["Rotation"]
