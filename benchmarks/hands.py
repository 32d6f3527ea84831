"""Writers at work in processes and threads: who writes single updates, and who works like an agent."""

from __future__ import annotations

from pathlib import Path

from benchmarks.workload import BOARD, Append, Read, Together, Write, agent_steps, entries, updates
from benchmarks.writers import OpenWorkplace, OpenWriter


class OwnKeys:
    """Writes one update after the other, to ten keys that nobody else writes to."""

    def __init__(self, open_writer: OpenWriter, place: Path, number: int, seed: int) -> None:
        self._writer = open_writer(place)
        keys = [f"agent-{number:02}/status-{part}" for part in range(10)]
        self._line = updates(keys, actor=f"coder-{number}", seed=1000 * seed + number)

    def step(self) -> int:
        self._writer.write(next(self._line))
        return 1

    def close(self) -> None:
        self._writer.close()


NOTES = entries(200)
"""The notes that are there when agents begin to work; those and the board."""


class Agent:
    """Works through the steps of one agent."""

    def __init__(self, open_workplace: OpenWorkplace, place: Path, number: int, seed: int) -> None:
        self._workplace = open_workplace(place)
        self._steps = agent_steps(list(NOTES), number=number, seed=seed)

    @staticmethod
    def before() -> dict[str, bytes]:
        """What a workplace must hold."""
        return {**NOTES, **dict.fromkeys(BOARD, b"nothing yet\n")}

    def step(self) -> int:
        match next(self._steps):
            case Read(key):
                self._workplace.read(key)
                return 0
            case Write(update):
                self._workplace.write(update)
                return 1
            case Append(update):
                self._workplace.append(update)
                return 1
            case Together(updates):
                self._workplace.write_together(updates)
                return len(updates)

    def close(self) -> None:
        self._workplace.close()
