"""Two values side by side, as a unified diff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gitctx.errors import GitctxError

if TYPE_CHECKING:
    from gitctx.context import Reading
    from gitctx.values import Change

_MOST_FOR_PYTHON = 100_000
_MARKS = {"added": "A", "changed": "M", "removed": "D"}


def mark(change: Change) -> str:
    """One line about a change, as `git diff --name-status` would put it."""
    return f"{_MARKS[change.kind]} {change.key}"


def diff_of(reading: Reading, change: Change) -> str | None:
    """The unified diff of a change; None if one of the sides isn't text."""
    repository = reading.store.repository
    before = repository.read_blob(change.before) if change.before is not None else b""
    after = repository.read_blob(change.after) if change.after is not None else b""
    try:
        old, new = _text(before), _text(after)
    except ValueError:
        return None
    if not old and not new:
        return ""
    titles = [f"--- {_title(change.before, 'a', change.key)}", f"+++ {_title(change.after, 'b', change.key)}"]
    if not old or not new:
        body = _whole(new or old, "+" if new else "-")
    elif len(before) + len(after) <= _MOST_FOR_PYTHON:
        body = _compared(old, new)
    else:
        body = _compared_by_git(reading, change)
    return "".join(f"{line}\n" for line in [*titles, *body])


def shown(reading: Reading, change: Change) -> str:
    """A change for people: its diff, or a line about values that aren't text, or that are empty."""
    text = diff_of(reading, change)
    if text is None:
        return f"{mark(change)} (not text)\n"
    return text or f"{mark(change)} (empty)\n"


def _text(data: bytes) -> str:
    if b"\0" in data:
        raise ValueError("a NUL byte")
    return data.decode("utf-8")


def _title(etag: str | None, side: str, key: str) -> str:
    return "/dev/null" if etag is None else f"{side}/{key}"


def _whole(text: str, sign: str) -> list[str]:
    lines = text.split("\n")
    ended = lines[-1] == ""
    if ended:
        lines.pop()
    span = f"1,{len(lines)}" if len(lines) > 1 else "1"
    header = f"@@ -0,0 +{span} @@" if sign == "+" else f"@@ -{span} +0,0 @@"
    return [header, *(sign + line for line in lines), *([] if ended else [_NO_NEWLINE])]


_NO_NEWLINE = "\\ No newline at end of file"


def _compared(old: str, new: str) -> list[str]:
    from difflib import unified_diff

    lines = unified_diff(_lines(old), _lines(new), n=3)
    return list(_unended(line for number, line in enumerate(lines) if number > 1))


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a newline ends one."""
    parts = text.split("\n")
    last = parts.pop()
    return [f"{part}\n" for part in parts] + ([last] if last else [])


def _unended(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line.removesuffix("\n")
        if line[:1] in " +-" and not line.endswith("\n"):
            yield _NO_NEWLINE


def _compared_by_git(reading: Reading, change: Change) -> list[str]:
    """Large values: git is quicker at it."""
    try:
        _, output, _ = reading.store.repository.git(
            "diff", "--no-color", "--no-ext-diff", str(change.before), str(change.after)
        )
    except GitctxError:
        return ["@@ the values differ, and git can't tell how @@"]
    lines = output.decode("utf-8", "replace").removesuffix("\n").split("\n")
    first = next((number for number, line in enumerate(lines) if line.startswith("@@")), len(lines))
    return lines[first:]
