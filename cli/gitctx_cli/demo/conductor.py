"""Conducts the demo: writes the plan, starts the agents, kills one in the middle of the work, and sees it finished."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import GitctxError, NotFound
from gitctx.repository.project import Project
from gitctx.store import Store
from gitctx_cli.demo import messages
from gitctx_cli.demo.agent import PATIENT
from gitctx_cli.demo.evidence import Acknowledgement, Expected
from gitctx_cli.demo.interruption import Interruption
from gitctx_cli.demo.plan import ADVICE, CHECKPOINT, GOAL, SUMMARY, Piece, choose, cut, items_of
from gitctx_cli.demo.progress import AgentProgress, Display, Event, EventKind, Progress
from gitctx_cli.demo.team import Team
from gitctx_cli.demo.wording import many

PLANNER = "planner"
AGENTS = ("alder", "birch", "cedar", "elm")
HISTORY_LIMIT_S = 6.0
TIME_LIMIT_S = 120.0
_TICK_S = 0.1
_TELLING = ("dead", "suspicious")


class DemoFailed(GitctxError):
    """The demo couldn't be carried through."""

    code = "demo_failed"


class Killed(NamedTuple):
    """The agent that was killed, and what it was doing."""

    agent: str
    session: str
    pid: int
    piece: str
    written: int
    files: int


@dataclass(slots=True)
class Outcome:
    """What happened: what the report tells, and what the proof is held against."""

    project: Project
    progress: Progress
    without_commit: int = 0
    pieces: Mapping[str, str] = field(default_factory=dict)
    acknowledged: dict[str, list[Acknowledgement]] = field(default_factory=dict)
    killed: Killed | None = None
    noticed: messages.Noticed | None = None
    noticed_by: str = ""
    taken_over_by: str = ""
    checkpoint: str = ""

    def expected(self) -> Expected:
        """What plain git has to find in the store."""
        return Expected(
            acknowledged={name: tuple(writes) for name, writes in self.acknowledged.items()},
            killed=frozenset({self.killed.agent} if self.killed else ()),
            pieces=self.pieces,
            checkpoint=self.checkpoint,
            git_dir=self.project.git_dir,
            head=self.project.head,
            left_out=self.progress.tracked - len(self.pieces),
        )


class Conductor:
    """One run of the demo over a project, shown as `name`, of which at most `files` are surveyed.

    It makes the store; `private` keeps it from other users of the machine.
    """

    def __init__(
        self, project: Project, store: Path, *, name: str, files: int, display: Display, private: bool = False
    ) -> None:
        tracked = project.files()
        if not tracked:
            raise NotFound(
                "the project tracks no files", hint="commit some, or name another project with --project PATH"
            )
        self._chosen = choose(tracked, files)
        self._store = store
        self._private = private
        self._display = display
        self._halfway = 0
        self._failed: dict[str, str] = {}
        self._began = time.monotonic()
        self.outcome = Outcome(project, Progress(name, store, len(tracked), len(self._chosen)))

    def run(self, interruption: Interruption) -> Outcome:
        """Carry it through. Raises DemoFailed, KeyboardInterrupt, and what the library raises."""
        store = Store.create(self._store, Config(retry=PATIENT))
        if self._private:
            self._store.chmod(0o700)
        self._display.begin(self._progress)
        try:
            with Team() as team:
                for name in AGENTS:
                    with interruption.later():
                        pid = team.start(name, store.path, self._project)
                    self._progress.agents[name] = AgentProgress(name, pid)
                self._write_plan(store)
                self._watch(team, interruption)
                self._check_all_went_well(team)
        finally:
            self._display.end()
        return self.outcome

    @property
    def _project(self) -> Project:
        return self.outcome.project

    @property
    def _progress(self) -> Progress:
        return self.outcome.progress

    def _write_plan(self, store: Store) -> None:
        """Every piece and the goal in one write; the agents wait for it."""
        commits = self._project.last_commits([file.path for file in self._chosen], limit_s=HISTORY_LIMIT_S)
        self.outcome.without_commit = len(self._chosen) - len(commits)
        pieces = cut(items_of(self._chosen, commits))
        self._progress.pieces = len(pieces)
        self.outcome.pieces = {item.key: piece.name for piece in pieces for item in piece.items}
        with Context(store, actor=PLANNER).batch("share out the work") as batch:
            batch.put(GOAL, _goal(self._project, pieces))
            for piece in pieces:
                batch.put(piece.open_key, piece.to_json())
        assert batch.written is not None
        self._acknowledge(PLANNER, messages.Acknowledged(batch.written.id, "the plan"))
        self._event(
            "step", PLANNER, f"cut {many(len(self._chosen), 'file')} into {many(len(pieces), 'piece')} to be claimed"
        )

    def _watch(self, team: Team, interruption: Interruption) -> None:
        while team.working:
            interruption.check()
            for name, message in team.listen(_TICK_S):
                self._hear(name, message, team)
            self._progress.elapsed_s = time.monotonic() - self._began
            self._display.refresh()
            if self._progress.elapsed_s > TIME_LIMIT_S:
                raise DemoFailed(
                    f"the agents weren't done after {TIME_LIMIT_S:.0f} s",
                    hint=f"what they did until then is in {self._store}; try again with fewer --files",
                )

    def _hear(self, name: str, message: messages.Message, team: Team) -> None:
        agent = self._progress.agents[name]
        match message:
            case messages.Ready(session):
                agent.session, agent.state = session, "working"
            case messages.Acknowledged():
                agent.writes += 1
                self._acknowledge(name, message)
            case messages.Refused():
                agent.refused += 1
            case messages.Claimed(piece):
                agent.doing = piece
            case messages.FileSurveyed(path, read):
                agent.files += 1
                agent.read += read
                self._progress.written += 1
                agent.doing = f"{agent.doing.split(' ')[0]} {path}"
            case messages.Halfway():
                self._at_halfway(name, message, team)
            case messages.Noticed() | messages.TookOver():
                self._rescue(name, message)
            case messages.PieceDone():
                agent.doing = ""
            case messages.Checkpointed(checkpoint):
                self.outcome.checkpoint = checkpoint
                self._event("success", name, f"summed up all findings and made the checkpoint '{checkpoint}'")
            case messages.Done():
                agent.state, agent.doing = "done", ""
            case messages.Failed(reason):
                self._failed[name] = reason

    def _at_halfway(self, name: str, message: messages.Halfway, team: Team) -> None:
        """Let the agent go on; or kill it, if half of the pieces have come so far."""
        self._halfway += 1
        if self.outcome.killed is not None or self._halfway < (self._progress.pieces + 1) // 2:
            team.go_on(name)
            return
        agent = self._progress.agents[name]
        for _, rest in team.kill(name):
            self._hear(name, rest, team)
        agent.state, agent.doing = "killed", f"held {message.piece}"
        self.outcome.killed = Killed(name, agent.session, agent.pid, message.piece, message.written, message.files)
        done = f"{message.written} of its {many(message.files, 'file')} done"
        self._event("kill", name, f"killed by SIGKILL (process {agent.pid}) holding {message.piece}, {done}")

    def _rescue(self, name: str, message: messages.Noticed | messages.TookOver) -> None:
        if isinstance(message, messages.TookOver):
            self._progress.agents[name].doing = message.piece
            self.outcome.taken_over_by = name
            left = f"{many(message.left, 'file')} left to do"
            self._event("rescue", name, f"took over {message.piece} from {message.actor}, {left}")
        elif self.outcome.noticed is None:
            self.outcome.noticed, self.outcome.noticed_by = message, name
            signs = [f"{layer}: {text}" for layer, finding, text in message.evidence if finding in _TELLING]
            self._event("notice", name, f"found the session of {message.actor} dead", *signs)

    def _check_all_went_well(self, team: Team) -> None:
        for name, agent in self._progress.agents.items():
            if agent.state in ("done", "killed"):
                continue
            reason = self._failed.get(name) or team.last_words(name) or "its process ended early"
            raise DemoFailed(f"the agent {name} failed: {reason}", hint=f"the store as it is now: {self._store}")
        if self.outcome.killed is None or self.outcome.noticed is None or not self.outcome.taken_over_by:
            raise DemoFailed(
                "no agent was killed, or nobody took its work over", hint=f"the store as it is now: {self._store}"
            )

    def _acknowledge(self, name: str, message: messages.Acknowledged) -> None:
        self.outcome.acknowledged.setdefault(name, []).append(Acknowledgement(message.id, message.what))

    def _event(self, kind: EventKind, who: str, text: str, *details: str) -> None:
        self._progress.events.append(Event(time.monotonic() - self._began, kind, who, text, details))


def _goal(project: Project, pieces: Sequence[Piece]) -> str:
    return (
        f"# Survey the project at {project.head[:10]}\n\n"
        f"{many(sum(len(piece.items) for piece in pieces), 'file')} in {many(len(pieces), 'piece')},"
        " one entry each below plan/open/.\n"
        "Claim a piece by its name before you write about its files. Each file gets a finding; the counts go into\n"
        f"{SUMMARY}. Whoever finds nothing open sums up in {ADVICE} and makes the checkpoint '{CHECKPOINT}'.\n"
    )
