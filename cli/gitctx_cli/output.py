"""Where a command's words go: data to standard output, talk to standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, BinaryIO


class Output:
    """Two streams of bytes. Into pipes and files text goes as UTF-8; a terminal gets what it can show.

    On a terminal control characters are shown as escapes: stored text comes from others, and mustn't drive it.
    """

    def __init__(
        self, out: BinaryIO, err: BinaryIO, *, out_encoding: str = "utf-8", err_encoding: str = "utf-8"
    ) -> None:
        self._out = out
        self._err = err
        self._terminal = out.isatty()
        self._out_ascii = self._terminal and not _is_utf8(out_encoding)
        self._err_terminal = err.isatty()
        self._err_ascii = self._err_terminal and not _is_utf8(err_encoding)
        self.quiet = False
        self.wrote = False
        """Whether anything was written to standard output."""

    @property
    def terminal(self) -> bool:
        """Whether standard output is a terminal."""
        return self._terminal

    @property
    def talks_to_terminal(self) -> bool:
        """Whether standard error is a terminal."""
        return self._err_terminal

    def data(self, data: bytes) -> None:
        """Bytes, exactly as they are."""
        self._write(data)

    def line(self, text: str) -> None:
        """A line (or several) of text."""
        self._write(_encoded(text, terminal=self._terminal, plain=self._out_ascii) + b"\n")

    def document(self, value: Any) -> None:
        """A JSON document on a line of its own."""
        import json

        text = json.dumps(value, ensure_ascii=self._out_ascii, separators=(", ", ": "))
        self._write(text.encode("utf-8", "backslashreplace") + b"\n")

    def say(self, text: str) -> None:
        """A line of talk, unless nobody wants to hear it."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """A line on standard error, come what may."""
        try:
            self._err.write(_encoded(text, terminal=self._err_terminal, plain=self._err_ascii) + b"\n")
            self._err.flush()
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        """See everything written through. Raises BrokenPipeError if nobody reads on, StorageError."""
        try:
            self._out.flush()
        except (OSError, ValueError) as error:
            raise _failed(error) from error

    def abandon(self) -> None:
        """Nobody reads on: let the interpreter's own flush at its end go nowhere."""
        try:
            descriptor = self._out.fileno()
        except (OSError, ValueError):
            return
        import os

        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def _write(self, data: bytes) -> None:
        self.wrote = True
        try:
            self._out.write(data)
        except (OSError, ValueError) as error:
            raise _failed(error) from error


def _failed(error: Exception) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    from gitctx.errors import StorageError

    reason = getattr(error, "strerror", None) or str(error)
    return StorageError(f"standard output can't be written: {reason}", hint="is the disk full, or the output closed?")


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf8sig")


def _encoded(text: str, *, terminal: bool, plain: bool) -> bytes:
    if terminal and not text.isprintable():
        text = "".join(character if _harmless(character) else f"\\x{ord(character):02x}" for character in text)
    return text.encode("ascii" if plain else "utf-8", "backslashreplace")


def _harmless(character: str) -> bool:
    return character in "\n\t" or not (ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0)
