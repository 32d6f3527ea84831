"""Temporary files that killed programs left among the objects, gitctx's own and git's."""

from __future__ import annotations

import re
import time
from pathlib import Path

from gitctx.repository.disk import unlink_quietly

LEFTOVER_AGE_S = 3600.0
"""What nobody has touched for so long belongs to nobody any more."""
_PLACES = ("objects/??", "objects/pack", "objects/info", "objects/info/commit-graphs")
_NAME = re.compile(r"tmp_(obj|object_git2|pack|idx|rev|mtimes|bitmap|midx|graph)_\w+|\.tmp-\d+-pack-[0-9a-f]{40}\.\w+")


def leftovers(path: Path) -> list[Path]:
    """Temporary files of objects and packs that nobody has touched for an hour; `path` is the repository's."""
    found = (each for place in _PLACES for each in path.glob(f"{place}/*") if _NAME.fullmatch(each.name))
    return sorted(each for each in found if _is_old(each))


def clear(path: Path) -> int:
    """Remove them; how many there were."""
    return sum(unlink_quietly(str(each)) for each in leftovers(path))


def _is_old(path: Path) -> bool:
    try:
        return path.is_file() and time.time() - path.stat().st_mtime > LEFTOVER_AGE_S
    except OSError:
        return False
