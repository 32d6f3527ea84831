"""Which versions of the libraries below are in use."""

from __future__ import annotations

from importlib.metadata import version

import pygit2


def library_versions() -> tuple[str, str]:
    """The versions of pygit2 and of libgit2."""
    return version("pygit2"), pygit2.LIBGIT2_VERSION
