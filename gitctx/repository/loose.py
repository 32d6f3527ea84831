"""Reading loose objects: by ourselves, because libgit2 (1.9.7) never comes back from one that was cut off."""

from __future__ import annotations

import os
import zlib

_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}


def read_loose(objects_dir: str, oid: str) -> tuple[int, bytes] | None:
    """Kind (as libgit2 counts them) and bytes of an object that lies there as a file of its own; None if there is none.

    Raises ValueError for one that is torn, OSError.
    """
    try:
        descriptor = os.open(f"{objects_dir}/{oid[:2]}/{oid[2:]}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as file:
        packed = file.read()
    try:
        header, _, data = zlib.decompress(packed).partition(b"\0")
        kind, size = header.split(b" ")
        if int(size) != len(data):
            raise ValueError(f"{len(data)} bytes instead of {int(size)}")
        return _KINDS[kind], data
    except (zlib.error, KeyError, ValueError) as error:
        raise ValueError(f"its file is torn ({error})") from error
