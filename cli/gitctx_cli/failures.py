"""From an error to what the user sees of it, and to an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from gitctx.errors import GitctxError

if TYPE_CHECKING:
    from gitctx_cli.env import Env

UNEXPECTED = 1
USAGE = 2
MACHINE_FAILED = 9


class UsageError(typer.TyperException):
    """The command was called in a way that makes no sense."""

    exit_code = USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class EditorFailed(GitctxError):
    """The editor couldn't be run, or ended with an error."""

    code = "editor_failed"


def report(error: BaseException, env: Env, arguments: Sequence[str]) -> int:
    """Print an error to standard error: as JSON if that was asked for, else a line and what to do. Its exit code."""
    document, code = describe(error)
    if env.environ.get("GITCTX_DEBUG"):
        import traceback

        env.output.complain("".join(traceback.format_exception(error)).rstrip())
    if env.json or "--json" in _before_dashes(arguments):
        import json

        env.output.complain(json.dumps({"error": document}, ensure_ascii=True))
    else:
        env.output.complain(f"error: {document['message']}")
        if document["hint"]:
            env.output.complain(f"hint: {document['hint']}")
    return code


def describe(error: BaseException) -> tuple[dict[str, Any], int]:
    """An error as JSON, and its exit code."""
    if isinstance(error, GitctxError):
        return error.to_json(), error.exit_code
    if isinstance(error, typer.TyperException):
        hint = getattr(error, "hint", "") or _help_of(getattr(error, "ctx", None))
        return _document("usage", error.format_message(), hint), error.exit_code
    if isinstance(error, typer.Abort):
        return _document("aborted", "stopped", ""), UNEXPECTED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
        return _document("storage_error", message, "mend that and try again"), MACHINE_FAILED
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _document("unexpected", f"unexpected {text}", "set GITCTX_DEBUG=1 to see where it comes from"), UNEXPECTED


def _document(code: str, message: str, hint: str) -> dict[str, Any]:
    changed = "no" if code == "usage" else "unknown"
    return {"code": code, "message": message, "hint": hint, "changed": changed, "retryable": False, "details": {}}


def _help_of(context: Any) -> str:
    return f"see `{context.command_path} --help`" if context is not None else "see `gitctx --help`"


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    words = list(arguments)
    return words[: words.index("--")] if "--" in words else words
