"""Where broken files go: `gitctx/quarantine/<id of the recovery>/`, each at its path in the store. Never deleted here.

The folder also says how far the recovery came: `plan.json` is written first, `report.json` last.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gitctx.repository.disk import sync_folder

_PLAN, _REPORT = "plan.json", "report.json"


class Quarantine:
    """The folder of one recovery."""

    def __init__(self, store: Path, id: str) -> None:
        self._store = store
        self.folder = _place(store) / id
        self.holds_files = False

    def begin(self, plan: dict[str, Any]) -> None:
        """Say what is going to be done. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self.folder / _PLAN, plan)
        sync_folder(str(self.folder))

    def finish(self, report: dict[str, Any]) -> None:
        """Say what was done; earlier recoveries that were cut off are finished by it too."""
        for folder in unfinished(self._store):
            _write(folder / _REPORT, report)

    def copy(self, name: str, data: bytes) -> None:
        """Keep the bytes of a file that is about to be replaced."""
        target = self._target(name)
        if not target.exists():
            target.write_bytes(data)
        self.holds_files = True

    def move(self, name: str) -> None:
        """Move a file of the store here, if it is still there."""
        try:
            os.rename(self._store / name, self._target(name))
            self.holds_files = True
        except FileNotFoundError:
            return

    def _target(self, name: str) -> Path:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def unfinished(store: Path) -> list[Path]:
    """The folders of recoveries that were cut off."""
    try:
        folders = sorted(_place(store).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [each for each in folders if (each / _PLAN).exists() and not (each / _REPORT).exists()]


def _place(store: Path) -> Path:
    return store / "gitctx" / "quarantine"


def _write(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    os.replace(temporary, path)
