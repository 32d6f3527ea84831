"""Choosing a head: candidates are ordered by ancestry first, by their source second, by a clock never.

A branch's own names come first: its ref, the note of its writer queue, its reflog backwards, packed refs. Only if the
head is damaged, others are looked at: rescue refs, checkpoints, remote-tracking refs and last rotated ones; where
something of the branch's own is whole, they count only as far as they descend from it. A commit that nothing names
never counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitctx.errors import BrokenHistory, ObjectMissing
from gitctx.format import messages
from gitctx.recovery.judging import Deep, Judge, Quick
from gitctx.recovery.names import Line, Names
from gitctx.recovery.shadow import Shadow
from gitctx.repository.reflog import NO_OBJECT

LINES = 200
"""So many lines of a reflog are looked at first."""
_TAGS = "refs/tags/"


class NeedsDeep(Exception):
    """The quick judge can't tell enough: something is missing, and what hangs on it has to be found out."""


class Candidate(NamedTuple):
    """A revision that something names as a head."""

    source: str
    oid: str


@dataclass(slots=True)
class Choice:
    """The outcome for one branch.

    `newest` is the newest revision whose commit can be read; `base` the best whole one (the same, if it is whole).
    `gone` are revisions that were heads after `newest` and can't be read. With `content_only` the base is a
    checkpoint's commit: a content without history. `damaged`: the ref has to move.
    """

    damaged: bool
    newest: str | None = None
    newest_source: str | None = None
    base: str | None = None
    source: str | None = None
    content_only: bool = False
    gone: list[str] = field(default_factory=list)
    tried: list[tuple[Candidate, str]] = field(default_factory=list)


class Ladder:
    """The ladder of one branch."""

    def __init__(self, branch: str, names: Names, note: str | None, judge: Judge, shadow: Shadow) -> None:
        self._branch = branch
        self._ref = f"refs/heads/{branch}"
        self._names = names
        self._judge = judge
        self._shadow = shadow
        self._log: Sequence[Line] = names.logs.get(self._ref, ())
        self._note = note
        self._seen: dict[str, Candidate] = {}

    def ref_fault(self) -> str | None:
        """What is wrong with what the ref says; None if it can be believed."""
        value = self._names.value(self._ref)
        if value is None:
            return None if self._ref in self._names.broken else "is gone"
        if self._ref not in self._names.loose and self._log and self._log[-1].new != value:
            last = self._log[-1].new
            if self._judge.is_commit(last) or not self._judge.is_there(last):
                return f"lost its file: packed-refs has an older value, {value}"
        if not self._judge.is_there(value):
            return f"points at {value}, which isn't there"
        if not self._judge.is_commit(value):
            return f"points at {value}, which isn't a commit"
        return None

    def choose(self) -> Choice:
        """The choice. Raises NeedsDeep if the judge is the quick one and the newest revision isn't whole."""
        own = list(self._own())
        if isinstance(self._judge, Quick):
            self._judge.learn(candidate.oid for candidate in own)
        value = self._names.value(self._ref)
        if self.ref_fault() is None and value is not None and self._ref not in self._names.broken:
            return self._chosen(Candidate("ref", value), own, damaged=False)
        newest = self._first(own, self._judge.is_commit)
        if newest is None:
            choice = Choice(True, gone=self._gone(own, None))
            choice.tried = [(candidate, self._why_not(candidate.oid)) for candidate in own]
            return self._from_others(choice, own)
        return self._chosen(newest, own, damaged=True)

    def _chosen(self, newest: Candidate, own: Sequence[Candidate], *, damaged: bool) -> Choice:
        choice = Choice(damaged, newest.oid, newest.source, newest.oid, newest.source)
        choice.gone = self._gone(own, newest) if damaged else []
        self._note_failures(choice, own, newest)
        if self._is_sound(newest.oid):
            choice.tried.append((newest, "whole"))
            return self._from_others(choice, own) if damaged else choice
        if not self._judge.deep:
            raise NeedsDeep
        choice.damaged = True
        choice.tried.append((newest, "something that it needs can't be read"))
        choice.base = choice.source = None
        whole = self._first([each for each in own if each != newest], self._is_sound, choice)
        if whole is not None:
            choice.source, choice.base = whole
        elif not any(self._judge.is_whole(each) for each in self._history(newest.oid)):
            return self._from_others(choice, own)
        return choice

    def _history(self, oid: str) -> Iterable[str]:
        return self._judge.history(oid) if isinstance(self._judge, Deep) else ()

    def _first(
        self, candidates: Sequence[Candidate], fits: Callable[[str], bool], choice: Choice | None = None
    ) -> Candidate | None:
        """The first candidate that fits, or one that fits and descends from it."""
        found: Candidate | None = None
        for candidate in candidates:
            if found is not None and candidate.oid in self._judge.ancestors(found.oid):
                continue
            if not fits(candidate.oid):
                if choice is not None:
                    choice.tried.append((candidate, self._why_not(candidate.oid)))
            elif found is None or found.oid in self._judge.ancestors(candidate.oid):
                found = candidate
        if choice is not None and found is not None:
            choice.tried.append((found, "whole"))
        return found

    def _is_sound(self, oid: str) -> bool:
        return self._judge.is_sound(oid) if isinstance(self._judge, Deep) else self._judge.is_whole(oid)

    def _why_not(self, oid: str) -> str:
        if not self._judge.is_there(oid):
            return "isn't there"
        return "something that it needs can't be read" if self._judge.is_commit(oid) else "isn't a commit"

    def _note_failures(self, choice: Choice, own: Sequence[Candidate], newest: Candidate) -> None:
        for candidate in own:
            if candidate.oid == newest.oid:
                return
            if not self._judge.is_commit(candidate.oid):
                choice.tried.append((candidate, self._why_not(candidate.oid)))

    def _gone(self, own: Sequence[Candidate], newest: Candidate | None) -> list[str]:
        """Heads before the newest one on the ladder that aren't there. A ref alone may name anything."""
        known = {self._note, *(line.new for line in self._log), *(line.old for line in self._log)}
        gone: dict[str, None] = {}
        for candidate in own:
            if newest is not None and candidate.oid == newest.oid:
                break
            if candidate.oid in known and not self._judge.is_there(candidate.oid):
                gone[candidate.oid] = None
        return list(gone)

    # -- candidates ---------------------------------------------------------------------------------------------------

    def _own(self) -> Iterator[Candidate]:
        loose = self._names.loose.get(self._ref)
        lines = self._log if self._judge.deep else self._log[-LINES:]
        named = [("ref", loose), ("queue", self._note)]
        if lines:
            named.append(("reflog", lines[-1].new))
        named += [("reflog", line.old) for line in reversed(lines)]
        named.append(("packed-refs", self._names.packed.get(self._ref)))
        seen: set[str] = {NO_OBJECT}
        for source, oid in named:
            if oid is not None and oid not in seen:
                seen.add(oid)
                yield Candidate(source, oid)

    def _from_others(self, choice: Choice, own: Sequence[Candidate]) -> Choice:
        """Look at what isn't the branch's own: as far as it goes on from the base, or instead of one."""
        for candidate in self._others():
            if choice.base is not None and candidate.oid in self._judge.ancestors(choice.base):
                continue
            if not self._is_sound(candidate.oid):
                choice.tried.append((candidate, self._why_not(candidate.oid)))
            elif choice.base is None or choice.base in self._judge.ancestors(candidate.oid):
                choice.tried.append((candidate, "whole"))
                choice.base, choice.source = candidate.oid, candidate.source
                if choice.newest is None or self._judge.is_whole(choice.newest):
                    choice.newest = candidate.oid
            else:
                choice.tried.append((candidate, "doesn't descend from the choice"))
        if choice.base is None:
            self._from_contents(choice)
        return choice

    def _others(self) -> Iterator[Candidate]:
        refs = self._names.refs()
        end = f"/{self._branch}"
        rescue = [oid for name, oid in sorted(refs.items(), reverse=True) if _is(name, "refs/gitctx/rescue/", end)]
        yield from (Candidate("rescue", oid) for oid in rescue)
        if self._branch == "context":
            yield from (Candidate("checkpoint", revision) for revision, _ in self._checkpoints())
        for name, oid in sorted(refs.items()):
            if _is(name, "refs/remotes/", end) or _is(name, "refs/gitctx/remotes/", end):
                yield Candidate("remote", oid)
        for name, oid in sorted(refs.items(), reverse=True):
            if _is(name, "refs/gitctx/rotated/", end):
                yield Candidate("rotated", oid)

    def _from_contents(self, choice: Choice) -> None:
        """As the last resort: the content of the newest checkpoint, whose history is lost."""
        if self._branch != "context":
            return
        for _, commit in self._checkpoints():
            if self._is_sound(commit):
                choice.base, choice.source, choice.content_only = commit, "checkpoint", True
                choice.tried.append((Candidate("checkpoint", commit), "whole, without the history before it"))
                return

    def _checkpoints(self) -> list[tuple[str, str]]:
        """Revision and commit of each checkpoint, those with the latest names of write ids first."""
        found: list[tuple[str, str, str]] = []
        for name, oid in self._names.refs().items():
            if not name.startswith(_TAGS):
                continue
            try:
                tag = self._shadow.repository.read_tag(oid)
            except (ObjectMissing, BrokenHistory):
                continue
            if tag is not None:
                trailers = tag.trailers
                revision = trailers.get(messages.REVISION, (tag.target,))[0]
                found.append((trailers.get(messages.ID, ("",))[0], revision, tag.target))
        return [(revision, commit) for _, revision, commit in sorted(found, reverse=True)]


def _is(name: str, start: str, end: str) -> bool:
    return name.startswith(start) and name.endswith(end)
