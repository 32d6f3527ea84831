"""One file surveyed: pure, from its name and bytes to what is worth knowing about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitctx_cli.demo.languages import ProjectFiles, language_of

MAX_READ_BYTES = 1024 * 1024
_LOOKED_AT_FOR_NUL = 8000
_MAX_TODOS = 50
_MAX_TEXT = 160
_TODO = re.compile(r"\b(?:TODO|FIXME)\b")


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was found in a file. `lines` is None where there are none to count (binary, too large, not here)."""

    language: str
    lines: int | None
    note: str
    todo: tuple[tuple[int, str], ...] = ()
    imports: tuple[str, ...] = ()
    """Files of the project, each once, in order of appearance."""
    uses: tuple[str, ...] = ()
    """What comes from elsewhere, sorted."""


def survey(path: str, data: bytes | None, files: ProjectFiles) -> Surveyed:
    """Survey one file; `data` is None if it wasn't read."""
    language = language_of(path)
    if data is None:
        return Surveyed(language.name, None, f"not read: over {MAX_READ_BYTES // 1024} KiB, or not in this clone")
    if b"\0" in data[:_LOOKED_AT_FOR_NUL]:
        return Surveyed(language.name, None, "binary")
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    todo = [(number, _brief(line)) for number, line in enumerate(lines, 1) if _TODO.search(line)]
    inside: dict[str, None] = {}
    outside: set[str] = set()
    for name, candidates in language.imports(path, text) if language.imports else ():
        found = files.find(candidates, path)
        if found is not None:
            inside[found] = None
        elif name.strip("."):
            outside.add(_brief(name))
    return Surveyed(language.name, len(lines), "", tuple(todo[:_MAX_TODOS]), tuple(inside), tuple(sorted(outside)))


def _brief(line: str) -> str:
    text = "".join(each if each.isprintable() else " " for each in line.strip())
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
