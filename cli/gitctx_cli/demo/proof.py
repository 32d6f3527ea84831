"""The proof: plain git is asked what is in the store, and its answers are compared with what the agents were told.

Nothing here reads the store through gitctx. Each check carries the command that it ran, so that anybody can repeat it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gitctx.errors import GitFailed
from gitctx.repository.git_command import run_git
from gitctx_cli.demo.evidence import Answer, Check, Expected, Question
from gitctx_cli.demo.plan import FINDINGS, SUMMARY
from gitctx_cli.demo.wording import many

_CLAIMS = ".gitctx/claims/"
_TIMEOUT_S = 60.0
_SHOWN_FAULTS = 5
_HEADER = re.compile(r"[0-9a-f]{7,40} (.*?): ")
_SUBTREE = re.compile(r"(?:/~[0-9a-f]{2})+/")


def prove(store: Path, expected: Expected) -> Sequence[Check]:
    """Ask git everything. A command that fails is a check that fails."""
    files = Question("files", _tracked, ("ls-tree", "-r", "--full-tree", expected.head[:12]), " | grep -c ' blob '")
    return [_run(files, expected.git_dir, store, expected, of_project=True)] + [
        _run(question, store, store, expected) for question in _QUESTIONS
    ]


def _run(question: Question, git_dir: Path, store: Path, expected: Expected, *, of_project: bool = False) -> Check:
    try:
        answer = question.judge(_git(git_dir, *question.command), expected, store)
    except GitFailed as error:
        answer = Answer("git failed", [error.message])
    faults = list(answer.faults)
    if len(faults) > _SHOWN_FAULTS:
        faults[_SHOWN_FAULTS:] = [f"and {len(faults) - _SHOWN_FAULTS} more"]
    return Check(question.name, question.command, answer.text, tuple(faults), of_project, question.pipe)


def _git(git_dir: Path, *command: str) -> str:
    settings = ("-c", "core.quotePath=false", "-c", "diff.renames=false", "-c", "log.showSignature=false")
    _, output, _ = run_git(git_dir, *settings, *command, timeout_s=_TIMEOUT_S)
    return output.decode("utf-8", "replace")


def _tracked(output: str, expected: Expected, store: Path) -> Answer:
    found = sum(line.split(" ")[1] == "blob" for line in output.splitlines())
    wanted = len(expected.pieces) + expected.left_out
    faults = [] if found == wanted else [f"the project tracks {found} files, and the demo knew of {wanted}"]
    left_out = f", {expected.left_out} of them left out" if expected.left_out else ""
    return Answer(f"{many(found, 'file')} tracked{left_out}", faults)


def _count(output: str, expected: Expected, store: Path) -> Answer:
    writes, found = len(expected.writes), int(output)
    text = f"{many(found, 'commit')}: the one that made the store, and {many(writes, 'acknowledged write')}"
    if found == writes + 1:
        return Answer(text)
    return Answer(
        many(found, "commit"), [f"{writes} writes were acknowledged, so there should be {writes + 1} commits"]
    )


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
    faults += [
        f"the id {id} was told to two agents" for id, n in Counter(w.id for w in expected.writes).items() if n > 1
    ]
    strangers = [id for id in found if id not in known]
    if len(strangers) != 1:
        faults.append(f"{len(strangers)} ids that nobody was told of instead of one, that of the commit `init`")
    text = f"{len(found)} ids: that of the first commit, and all {len(known)} that were acknowledged, each once"
    return Answer(text, faults)


class _Logged(NamedTuple):
    """A commit of `git log --name-status`: its header, its author, and letter and path of each change."""

    header: str
    author: str
    changes: list[tuple[str, str]]


def _logged(output: str) -> Sequence[_Logged]:
    """The commits, oldest first."""
    commits: list[_Logged] = []
    for line in output.splitlines():
        letter, tab, path = line.partition("\t")
        header = _HEADER.match(line)
        if tab and len(letter) == 1:
            commits[-1].changes.append((letter, _plain(path)))
        elif header is not None:
            commits.append(_Logged(line, header[1], []))
    return commits[::-1]


def _plain(path: str) -> str:
    """A path without git's quotes and without the sub-trees of wide folders."""
    return _SUBTREE.sub("/", path.strip('"').replace('\\"', '"'))


def _claims(output: str, expected: Expected, store: Path) -> Answer:
    """Replay history: per claim, made while nobody held it, taken over only from the dead, released by its holder;
    and each finding written by the agent that held its claim then.
    """
    holders: dict[str, str] = {}
    faults: list[str] = []
    made = taken = 0
    for commit in _logged(output):
        for letter, path in commit.changes:
            name = path.removeprefix(_CLAIMS)
            if not path.startswith(_CLAIMS):
                piece = expected.pieces.get(path)
                if letter != "D" and holders.get(piece or "") != commit.author and not _moved(path, commit):
                    faults.append(f"{commit.header}: written without holding {piece or 'any claim'}")
                continue
            holder = holders.pop(name, None)
            if letter != "D":
                holders[name] = commit.author
                made, taken = made + (letter == "A"), taken + (letter == "M")
            if holder not in (None, commit.author, *expected.killed):
                faults.append(f"{commit.header}: {holder} held {name} at that time, so it was held twice")
    faults += [f"{name} is still held by {holder}" for name, holder in holders.items()]
    return Answer(
        f"{many(made, 'claim')}, none held twice, {taken} taken over from a dead session, all released", faults
    )


def _moved(path: str, commit: _Logged) -> bool:
    """Whether a commit only moved a path, into a sub-tree of a folder that had become wide."""
    return {letter for letter, each in commit.changes if each == path} == {"A", "D"}


def _findings(output: str, expected: Expected, store: Path) -> Answer:
    found, wanted = {_plain(line) for line in output.splitlines()}, set(expected.pieces)
    faults = [f"no finding at {key}" for key in sorted(wanted - found)]
    faults += [f"a finding of nothing in the plan at {key}" for key in sorted(found - wanted)]
    return Answer(f"{many(len(found), 'finding')}, one for each file", faults)


def _once(output: str, expected: Expected, store: Path) -> Answer:
    """Each finding came into being once and never changed. (A move into a sub-tree is a removal and an addition.)"""
    times: Counter[str] = Counter()
    for line in output.splitlines():
        letter, tab, path = line.partition("\t")
        if tab:
            times[_plain(path)] += -1 if letter == "D" else 1
    faults = [f"written {count} times: {path}" for path, count in times.items() if count > 1]
    return Answer("each was written once, though one agent died in the middle of its piece", faults)


def _sums(output: str, expected: Expected, store: Path) -> Answer:
    """The counts that all agents kept in one shared entry are the sums over the findings."""
    summary = json.loads(output)
    listed = _git(store, "grep", "-h", "-E", '^  "lines": [0-9]+', "context", "--", FINDINGS)
    lines = sum(int(number) for number in re.findall(r'^  "lines": (\d+)', listed, re.MULTILINE))
    faults = []
    if summary["files"] != len(expected.pieces):
        faults.append(f"the summary counts {summary['files']} files of {len(expected.pieces)}: an update was lost")
    if summary["lines"] != lines:
        faults.append(f"the summary counts {summary['lines']} lines, the findings {lines}: an update was lost")
    updates = len(summary["pieces"])
    text = f"{many(summary['files'], 'file')}, {many(lines, 'line')}: {many(updates, 'update')} by all agents add up"
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
    text = ", ".join(f"{name} {count}" for name, count in counts.items())
    return Answer(f"{text}: as many as each was told", faults)


def _tags(output: str, expected: Expected, store: Path) -> Answer:
    lines = output.splitlines()
    names = [line.split()[0] for line in lines]
    faults = [] if names == [expected.checkpoint] else [f"the checkpoint {expected.checkpoint!r} isn't the only tag"]
    return Answer(" ".join(lines[0].split()) if lines else "no tag", faults)


_QUESTIONS = (
    Question("writes", _count, ("rev-list", "--count", "context")),
    Question("ids", _ids, ("log", "--format=%(trailers:key=Gitctx-Id,valueonly)", "context"), " | grep -c ."),
    Question(
        "claims",
        _claims,
        ("log", "--name-status", "--format=%h %an: %s", "context", "--", _CLAIMS, FINDINGS),
    ),
    Question("findings", _findings, ("ls-tree", "-r", "--name-only", "context", FINDINGS), " | wc -l"),
    Question("once", _once, ("log", "--name-status", "--format=", "context", "--", FINDINGS)),
    Question("sums", _sums, ("show", f"context:{SUMMARY}")),
    Question("objects", _fsck, ("fsck", "--full", "--no-dangling")),
    Question("who", _authors, ("shortlog", "-sn", "context")),
    Question("checkpoint", _tags, ("tag", "-n")),
)
