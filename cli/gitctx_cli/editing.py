"""`gitctx edit`: an entry in the user's editor. `editor` is what `gitctx config edit` uses too."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gitctx.errors import EntryNotFound, GitctxError
from gitctx.values import WriteId, Written
from gitctx_cli.acknowledging import acknowledge
from gitctx_cli.documents import of_written
from gitctx_cli.env import Env
from gitctx_cli.failures import EditorFailed, UsageError
from gitctx_cli.parameters import Id, Key, Message, Strategy, UnderClaim

if TYPE_CHECKING:
    from collections.abc import Iterator


def edit(
    env: Env, key: Key, *, strategy: Strategy = None, claim: UnderClaim = None, message: Message = "", id: Id = None
) -> None:
    """Edit the entry at a key in your editor ($VISUAL, else $EDITOR, else vi), and put what you saved.

    A key without an entry starts empty. If nothing changed, nothing is written. If somebody else wrote meanwhile, the
    strategy settles it; if your text can't be written, it is kept and you are told where.

    Examples:
      gitctx edit plan/auth.md -m "second thoughts"
      EDITOR="code --wait" gitctx edit plan/auth.md --strategy fail
    """
    context = env.context()
    head = context.head
    try:
        before = context.get(key, at=head).value
    except EntryNotFound:
        before = b""
    with edited(env, before, name=key.rpartition("/")[2]) as after:
        if after == before:
            env.output.say(f"unchanged {key}")
            if env.json:
                same = Written(head, head, WriteId(""), False)
                env.output.document({**of_written(same), "id": None})
            return
        written = context.put(key, after, base=head, strategy=strategy, claim=claim, message=message, id=id)
    acknowledge(env, "edit", written, given=after)


@contextmanager
def edited(env: Env, before: bytes, *, name: str) -> Iterator[bytes]:
    """Bytes as the user saved them, in the block that writes them. If the block raises, they are kept in a file."""
    editor = editor_of(env)
    folder = Path(tempfile.mkdtemp(prefix="gitctx-edit-"))
    path = folder / (name if name.isascii() and name.replace(".", "").replace("-", "").isalnum() else "entry")
    path.write_bytes(before)
    try:
        status = subprocess.run(["sh", "-c", f'{editor} "$@"', editor, str(path)], check=False).returncode
    except OSError as error:
        raise EditorFailed(f"the editor can't be run: {error}", hint="set EDITOR to one that is there") from error
    if status != 0:
        _forget(path)
        raise EditorFailed(f"the editor ({editor}) ended with {status}: nothing was written", hint="set EDITOR")
    after = path.read_bytes()
    try:
        yield after
    except GitctxError as error:
        error.hint = f"what you wrote is kept in {path}" + (f"; {error.hint}" if error.hint else "")
        error.details["kept_in"] = str(path)
        raise
    _forget(path)


def editor_of(env: Env) -> str:
    """The user's editor. Raises UsageError where there is neither a setting nor a terminal."""
    editor = env.environ.get("VISUAL") or env.environ.get("EDITOR")
    if editor:
        return editor
    if env.stdin is not None and env.stdin.isatty() and env.output.terminal:
        return "vi"
    raise UsageError("there is no terminal to edit on", hint="set EDITOR, or use `gitctx put` with a file")


def _forget(path: Path) -> None:
    import shutil

    shutil.rmtree(path.parent, ignore_errors=True)
