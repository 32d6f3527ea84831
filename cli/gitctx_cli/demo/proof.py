"""The proof: plain git is asked what is in the store, and its answers are compared with what the agents were told.

Nothing here reads the store through gitctx. Each check carries the command that it ran, so that anybody can repeat it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gitctx.errors import GitFailed
from gitctx.repository.git_command import run_git
from gitctx_cli.demo.plan import FINDINGS, SUMMARY

_CLAIMS = ".gitctx/claims/"
_TIMEOUT_S = 60.0
_SHOWN_FAULTS = 5
_PART_OF = re.compile(r"^part of (\S+)$", re.M)


class Acknowledgement(NamedTuple):
    """A write that was acknowledged: its id, and what it was."""

    id: str
    what: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to be in the store: writes by actor, sessions that were killed, how many findings, the checkpoint."""

    acknowledged: Mapping[str, Sequence[Acknowledgement]]
    killed: frozenset[str]
    findings: int
    checkpoint: str

    @property
    def writes(self) -> Sequence[Acknowledgement]:
        """All writes that were acknowledged to anybody."""
        return [write for writes in self.acknowledged.values() for write in writes]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to git: the command's words after `git --git-dir=...`, the answer in words, what is wrong with it."""

    name: str
    command: tuple[str, ...]
    answer: str
    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether git's answer is what it has to be."""
        return not self.faults

    def shown_command(self, store: str) -> str:
        """The command as it can be pasted into a shell; `store` is written into it as it is."""
        return f"git --git-dir={store} {shlex.join(self.command)}"


class Answer(NamedTuple):
    """What a check makes of git's output."""

    text: str
    faults: Sequence[str] = ()


def prove(store: Path, expected: Expected) -> Sequence[Check]:
    """Ask git everything. A command that fails is a check that fails."""
    return [_run(name, store, command, judge, expected) for name, command, judge in _QUESTIONS]


Judge = Callable[[str, Expected, Path], Answer]


def _run(name: str, store: Path, command: tuple[str, ...], judge: Judge, expected: Expected) -> Check:
    try:
        answer = judge(_git(store, *command), expected, store)
    except GitFailed as error:
        return Check(name, command, "git failed", (error.message,))
    faults = list(answer.faults)
    if len(faults) > _SHOWN_FAULTS:
        faults[_SHOWN_FAULTS:] = [f"and {len(faults) - _SHOWN_FAULTS} more"]
    return Check(name, command, answer.text, tuple(faults))


def _git(store: Path, *command: str) -> str:
    _, output, _ = run_git(store, "-c", "core.quotePath=false", *command, timeout_s=_TIMEOUT_S)
    return output.decode("utf-8", "replace")


def _count(output: str, expected: Expected, store: Path) -> Answer:
    writes, found = len(expected.writes), int(output)
    text = f"{found} = the commit that made the store + {writes} acknowledged writes"
    if found == writes + 1:
        return Answer(text)
    return Answer(f"{found} commits", [f"{writes} writes were acknowledged, so there should be {writes + 1} commits"])


def _ids(output: str, expected: Expected, store: Path) -> Answer:
    """Every acknowledged id in exactly one commit, and no other id but that of the commit that made the store."""
    found = Counter(output.split())
    known = {write.id: write.what for write in expected.writes}
    faults = [
        f"lost: {write.what} (id {write.id}) was acknowledged to {actor} and isn't in history"
        for actor, writes in expected.acknowledged.items()
        for write in writes
        if write.id not in found
    ]
    faults += [f"the id {id} is in {count} commits ({known.get(id, '?')})" for id, count in found.items() if count > 1]
    faults += [f"the id {id} was told to two agents" for id, n in Counter(w.id for w in expected.writes).items() if n > 1]
    strangers = [id for id in found if id not in known]
    if len(strangers) != 1:
        faults.append(f"{len(strangers)} ids that nobody was told of instead of one, that of the commit `init`")
    return Answer(f"all {len(known)} acknowledged ids are there, each in exactly one commit", faults)


class _Logged(NamedTuple):
    """A commit of `git log`: what it says, and letter and path of each file that it changed."""

    hash: str
    author: str
    session: str
    body: str
    changes: tuple[tuple[str, str], ...]


def _logged(output: str) -> Iterator[_Logged]:
    for part in output.split("\x01")[1:]:
        head, _, rest = part.partition("\x02")
        hash, author, session, body = head.split("\x00", 3)
        rows = [line.partition("\t") for line in rest.splitlines() if "\t" in line]
        yield _Logged(hash, author, session.strip(), body, tuple((letter[:1], path) for letter, _, path in rows))


def _claims(output: str, expected: Expected, store: Path) -> Answer:
    """Replay history: per claim, made while nobody held it, taken over only from the dead, released by its holder;
    and each finding written by the session that held its claim then.
    """
    holders: dict[str, str] = {}
    faults: list[str] = []
    made = taken = 0
    for commit in _logged(output):
        who = f"{commit.hash[:10]} by {commit.author}"
        for letter, path in commit.changes:
            if path.startswith(FINDINGS):
                continue
            name = path.removeprefix(_CLAIMS)
            holder = holders.pop(name, None)
            free = holder is None or holder in expected.killed
            if letter != "D":
                holders[name] = commit.session
            made, taken = made + (letter == "A"), taken + (letter == "M")
            if not commit.session:
                faults.append(f"{name} was changed outside any session, in {who}")
            elif letter != "D" and not free and holder != commit.session:
                faults.append(f"{name} was held twice: {who} took it while the session {holder} held it")
            elif letter == "D" and not free and holder != commit.session:
                faults.append(f"{name} was released by another than its holder, in {who}")
        part = _PART_OF.search(commit.body)
        if part is not None and holders.get(part[1]) != commit.session:
            faults.append(f"a finding of {part[1]} was written without holding it, in {who}")
    faults += [f"{name} is still held by the session {session}" for name, session in holders.items()]
    text = f"{made} claims, none held twice, each released; {taken} taken over from the dead session"
    return Answer(text, faults)


def _findings(output: str, expected: Expected, store: Path) -> Answer:
    keys = output.split("\n")[:-1]
    faults = []
    if len(keys) != expected.findings:
        faults.append(f"{expected.findings} files were to be surveyed, and there are {len(keys)} findings")
    return Answer(f"{len(keys)} findings, one for each of the {expected.findings} files", faults)


def _once(output: str, expected: Expected, store: Path) -> Answer:
    subjects = Counter(output.split("\n")[:-1])
    faults = [f"surveyed {count} times: {subject}" for subject, count in subjects.items() if count > 1]
    if len(subjects) != expected.findings:
        faults.append(f"findings were written about {len(subjects)} files, not {expected.findings}")
    return Answer(f"{len(subjects)} files, each surveyed once, though one agent died over its piece", faults)


def _sums(output: str, expected: Expected, store: Path) -> Answer:
    """The counts that all agents kept in one shared entry are the sums over the findings."""
    summary = json.loads(output)
    listed = _git(store, "grep", "-h", "-E", '^  "lines": [0-9]+', "context", "--", FINDINGS)
    lines = sum(int(number) for number in re.findall(r'^  "lines": (\d+)', listed, re.M))
    faults = []
    if summary["files"] != expected.findings:
        faults.append(f"the summary counts {summary['files']} files of {expected.findings}: an update was lost")
    if summary["lines"] != lines:
        faults.append(f"the summary counts {summary['lines']} lines, the findings {lines}: an update was lost")
    updates = len(summary["pieces"])
    text = f"{summary['files']} files, {lines:,} lines: {updates} updates by all agents add up"
    return Answer(text, faults)


def _fsck(output: str, expected: Expected, store: Path) -> Answer:
    lines = output.splitlines()
    return Answer("clean: it says nothing" if not lines else "not clean", lines)


def _authors(output: str, expected: Expected, store: Path) -> Answer:
    counts = {}
    for line in output.splitlines():
        number, _, name = line.strip().partition("\t")
        counts[name] = int(number)
    wanted = {name: len(writes) for name, writes in expected.acknowledged.items()} | {"gitctx": 1}
    faults = [
        f"{name} has {counts.get(name, 0)} commits, and {wanted.get(name, 0)} writes were acknowledged to it"
        for name in sorted({*counts, *wanted})
        if counts.get(name, 0) != wanted.get(name, 0)
    ]
    return Answer(", ".join(f"{name} {count}" for name, count in counts.items()), faults)


def _tags(output: str, expected: Expected, store: Path) -> Answer:
    lines = output.splitlines()
    names = [line.split()[0] for line in lines]
    faults = [] if names == [expected.checkpoint] else [f"the checkpoint {expected.checkpoint!r} isn't the only tag"]
    return Answer(" ".join(lines[0].split()) if lines else "no tag", faults)


_QUESTIONS: tuple[tuple[str, tuple[str, ...], Judge], ...] = (
    ("writes", ("rev-list", "--count", "context"), _count),
    ("ids", ("log", "--format=%(trailers:key=Gitctx-Id,valueonly)", "context"), _ids),
    (
        "claims",
        (
            *("log", "--reverse", "--name-status", "--no-renames"),
            "--format=%x01%H%x00%an%x00%(trailers:key=Gitctx-Session,valueonly)%x00%b%x02",
            *("context", "--", _CLAIMS, FINDINGS),
        ),
        _claims,
    ),
    ("findings", ("ls-tree", "-r", "--name-only", "context", FINDINGS), _findings),
    ("once", ("log", "--format=%s", f"--grep=^put {FINDINGS}", "context"), _once),
    ("sums", ("show", f"context:{SUMMARY}"), _sums),
    ("objects", ("fsck", "--full", "--no-dangling"), _fsck),
    ("who", ("shortlog", "-sn", "context"), _authors),
    ("checkpoint", ("tag", "-n"), _tags),
)
