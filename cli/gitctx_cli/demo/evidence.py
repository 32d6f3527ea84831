"""What the proof is held against, what it asks git, and what comes of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Acknowledgement(NamedTuple):
    """A write that was acknowledged: its id, and what it was."""

    id: str
    what: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to be in the store.

    Writes by actor; actors that were killed; per key of a finding the piece that it is part of; the checkpoint. And
    what the project has: its git dir, the commit that was surveyed, and how many of its files were left out.
    """

    acknowledged: Mapping[str, Sequence[Acknowledgement]]
    killed: frozenset[str]
    pieces: Mapping[str, str]
    checkpoint: str
    git_dir: Path
    head: str
    left_out: int

    @property
    def writes(self) -> Sequence[Acknowledgement]:
        """All writes that were acknowledged to anybody."""
        return [write for writes in self.acknowledged.values() for write in writes]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to git: the words after `git --git-dir=...`, the answer in words, what is wrong with it.

    `of_project` tells that it is asked of the project, else it is of the store; `pipe` is what makes a long answer
    short when the command is pasted.
    """

    name: str
    command: tuple[str, ...]
    answer: str
    faults: tuple[str, ...] = ()
    of_project: bool = False
    pipe: str = ""

    @property
    def ok(self) -> bool:
        """Whether git's answer is what it has to be."""
        return not self.faults

    def shown_command(self, git_dir: str) -> str:
        """The command as it can be pasted into a shell; `git_dir` is written into it as it is."""
        return f"git --git-dir={git_dir} {' '.join(map(_quoted, self.command))}{self.pipe}"


def _quoted(word: str) -> str:
    """A word for a shell; of an option only the value is quoted."""
    option, equals, value = word.partition("=")
    return f"{option}={shlex.quote(value) if value else ''}" if equals else shlex.quote(word)


class Answer(NamedTuple):
    """What a check makes of git's output."""

    text: str
    faults: Sequence[str] = ()


Judge = Callable[[str, Expected, Path], Answer]


class Question(NamedTuple):
    """What git is asked, and who makes an answer of its output."""

    name: str
    judge: Judge
    command: tuple[str, ...]
    pipe: str = ""
