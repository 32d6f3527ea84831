"""What two changed values of one entry come to: JSON by key, text by lines, or nothing that can be merged. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from gitctx.errors import InvalidInput
from gitctx.format.documents import read_canonical_json, to_canonical_json
from gitctx.format.json_merge import ABSENT, merge_json
from gitctx.format.merge_rules import MergeRules
from gitctx.format.text_merge import merge_lines

_MARKER = re.compile(rb"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)
"""`=======` alone is none: it underlines headings."""


def merged(base: bytes | None, ours: bytes, theirs: bytes, rules: MergeRules) -> tuple[bytes, bool] | None:
    """The merged value, and whether a change of theirs gave way in it; None if these can't be merged."""
    mine, others = _canonical(ours), _canonical(theirs)
    if mine is ABSENT or others is ABSENT:
        text = _merged_text(base, ours, theirs) if base is not None else None
        return None if text is None else (text, False)
    before = _canonical(base) if base is not None else ABSENT
    if before is ABSENT and base is not None:
        return None
    value, gave_way = merge_json(before, mine, others, rules)
    try:
        return to_canonical_json(value), gave_way
    except InvalidInput:  # a sum with more digits than are written
        return None


def _canonical(data: bytes) -> Any:
    try:
        return read_canonical_json(data)
    except ValueError:
        return ABSENT


def _merged_text(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    sides = (base, ours, theirs)
    if not all(map(_is_text, sides)) or any(map(_MARKER.search, (ours, theirs))):
        return None
    text = merge_lines(*sides)
    if text is not None and _is_json(ours) and _is_json(theirs) and not _is_json(text):
        return None
    return text


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except ValueError:
        return False


def _is_json(data: bytes) -> bool:
    """Whether it is JSON of any form, no key twice in an object: lines of two such texts may come to what is none."""
    try:
        json.loads(data, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return found
