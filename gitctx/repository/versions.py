"""Which versions of the libraries below are in use."""

from __future__ import annotations

import pygit2


def library_versions() -> tuple[str, str]:
    """The versions of pygit2 and of libgit2."""
    return pygit2.__version__, pygit2.LIBGIT2_VERSION
