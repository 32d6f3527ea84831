"""Several edits that become one write."""

from __future__ import annotations

from gitctx.format.documents import to_bytes
from gitctx.format.keys import check_key, check_prefix
from gitctx.store.edits import Append, Edit, Move, Put, Remove
from gitctx.values import Json, Written


class Batch:
    """Edits to be made together. `written` is their acknowledgement, None until the block has ended."""

    def __init__(self) -> None:
        self.edits: list[Edit] = []
        self.written: Written | None = None

    def put(self, key: str, value: Json | bytes | str, *, if_match: str | None = None, if_absent: bool = False) -> None:
        """See `Context.put`."""
        self.edits.append(Put(check_key(key), to_bytes(value), if_match, if_absent))

    def remove(self, key: str, *, if_match: str | None = None, missing_ok: bool = False) -> None:
        """See `Context.remove`."""
        self.edits.append(Remove(check_key(key), if_match, missing_ok))

    def append(self, key: str, text: str | bytes) -> None:
        """See `Context.append`."""
        self.edits.append(Append(check_key(key), to_bytes(text)))

    def move(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """See `Context.move`."""
        self.edits.append(checked_move(source, target, overwrite))


def checked_move(source: str, target: str, overwrite: bool) -> Move:
    """The move of an entry; of a folder, if `source` ends in a slash. Raises InvalidKey."""
    if source.endswith("/"):
        check_key(source.removesuffix("/"))
        return Move(source, check_prefix(target, reserved=False), overwrite)
    return Move(check_key(source), check_key(target), overwrite)
