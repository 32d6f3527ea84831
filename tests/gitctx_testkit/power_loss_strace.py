"""System calls of a command and all its children, as strace saw them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TRACED = (
    *("open", "openat", "creat", "close", "dup", "dup2", "dup3", "fcntl", "read", "lseek", "mmap"),
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice"),
    *("ftruncate", "truncate", "fallocate", "fsync", "fdatasync", "syncfs", "sync"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
    *("chdir", "fchdir", "clone", "clone3", "fork", "vfork"),
)
_LINE = re.compile(r"(\d+) +(.*)")
_WHOLE = re.compile(r"(\w+)\((.*)\) += (\S+).*")
_BEGUN = re.compile(r"(\w+)\((.*?),? <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)\) += (\S+).*")
_BYTE = re.compile(r"\\x([0-9a-f]{2})")
_LONGEST = 1 << 26


class NotUnderstood(AssertionError):
    """The recording holds something that the simulation doesn't know: it would be wrong to go on."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that ended well.

    `began` and `ended` are places in the order of all that happened; what it did, it did between them. `result` is the
    number that it returned.
    """

    pid: int
    name: str
    arguments: tuple[str, ...]
    result: int
    began: int
    ended: int


def run_recorded(command: Sequence[str], log: Path, *, environment: Mapping[str, str], timeout_s: float) -> None:
    """Run a command that has to end well, with what it asks of the file system written to `log`."""
    strace = ["strace", "-f", "-y", "-xx", "--seccomp-bpf", "-s", str(_LONGEST), "-o", str(log), "-e", "signal=none"]
    strace += ["-e", "raw=read", "-e", f"trace={','.join(_TRACED)}"]
    done = subprocess.run([*strace, *command], env=dict(environment), capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"the recorded command ended with {done.returncode}: {done.stdout}{done.stderr}"


def calls_in(log: Path) -> list[Call]:
    """The calls that ended well, in the order in which they began."""
    found: list[Call] = []
    begun: dict[int, tuple[str, str, int]] = {}
    with log.open(encoding="ascii") as lines:
        for number, line in enumerate(lines):
            match = _LINE.fullmatch(line.rstrip("\n"))
            if match is None:
                raise NotUnderstood(f"strace wrote {line[:200]!r}")
            pid, text = int(match[1]), match[2]
            if match := _BEGUN.fullmatch(text):
                begun[pid] = (match[1], match[2], number)
            elif match := _RESUMED.fullmatch(text):
                name, arguments, began = begun.pop(pid)
                found += _call(pid, name, arguments + match[2], match[3], began, number)
            elif match := _WHOLE.fullmatch(text):
                found += _call(pid, match[1], match[2], match[3], number, number)
            elif not text.startswith(("+++", "---")) and not text.endswith("= ?"):
                raise NotUnderstood(f"strace wrote {line[:200]!r}")
    return sorted(found, key=lambda call: call.began)


def _call(pid: int, name: str, arguments: str, result: str, began: int, ended: int) -> Iterator[Call]:
    number = re.match(r"-?(0x[0-9a-f]+|\d+)", result)
    if number is not None and not result.startswith("-"):
        yield Call(pid, name, tuple(_split(arguments)), int(number[0], 0), began, ended)


def _split(arguments: str) -> list[str]:
    """Split at the commas that are in no bracket. Strings are no trouble: strace was told to write them in hex."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"[\[{(]|[\]})]|, ", arguments):
        if match[0] == ", ":
            if depth == 0:
                parts.append(arguments[start : match.start()])
                start = match.end()
        else:
            depth += 1 if match[0] in "[{(" else -1
    return [*parts, arguments[start:]]


def text_in(argument: str) -> str:
    """A path or a name among the arguments."""
    return os.fsdecode(bytes_in(argument))


def bytes_in(argument: str) -> bytes:
    """The strings in an argument, one after the other."""
    if '"...' in argument:
        raise NotUnderstood("strace cut a string short")
    return b"".join(bytes.fromhex(part.replace("\\x", "")) for part in re.findall(r'"([^"]*)"', argument))


def descriptor_in(argument: str) -> tuple[int, str]:
    """A descriptor and the path that it is open on: `3<\\x2f\\x74>`. The path is empty for one that has none."""
    match = re.match(r"(-?\w+)(?:<([^>]*)>)?", argument)
    if match is None:
        raise NotUnderstood(f"no descriptor: {argument[:80]}")
    number = -100 if match[1] == "AT_FDCWD" else int(match[1], 0)
    return number, os.fsdecode(bytes(int(byte, 16) for byte in _BYTE.findall(match[2] or "")))
