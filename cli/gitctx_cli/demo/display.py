"""The demo while it runs: redrawn in place on a terminal, line by line elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gitctx_cli.demo.progress import AgentProgress, Event, Progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

_EVENT_STYLES = {"step": "", "kill": "bold red", "notice": "yellow", "rescue": "yellow", "success": "green"}
_AGENT_STYLES = {"starting": "dim", "working": "cyan", "killed": "bold red", "done": "green"}
_REDRAWS_PER_S = 10
_BESIDE_BAR = 38
_WIDTH = 100


class NoDisplay:
    """Shows nothing."""

    def begin(self, progress: Progress) -> None:
        """See Display."""

    def refresh(self) -> None:
        """See Display."""

    def end(self) -> None:
        """See Display."""


class LineDisplay:
    """A line for each event, and one for each quarter of the work."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._progress: Progress | None = None
        self._told = 0
        self._quarter = 0

    def begin(self, progress: Progress) -> None:
        """See Display."""
        self._progress = progress
        self._say(title(progress))
        self._say(f"the store is {progress.store}")

    def refresh(self) -> None:
        """See Display."""
        progress = self._progress
        if progress is None:
            return
        for event in progress.events[self._told :]:
            self._say(f"{event.at_s:5.1f} s  {event.who}: {event.text}")
            for detail in event.details:
                self._say(f"         {detail}")
        self._told = len(progress.events)
        quarter = 4 * progress.written // progress.chosen
        if quarter > self._quarter:
            self._quarter = quarter
            self._say(f"{progress.elapsed_s:5.1f} s  {counted(progress)}")

    def end(self) -> None:
        """See Display."""
        self.refresh()


class LiveDisplay:
    """Agents, events and a bar, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._progress: Progress | None = None

    def begin(self, progress: Progress) -> None:
        """See Display."""
        from rich.live import Live

        self._progress = progress
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS_PER_S,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def refresh(self) -> None:
        """See Display: a thread of rich's redraws."""

    def end(self) -> None:
        """See Display."""
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        progress = self._progress
        if progress is None:
            return ""
        width = min(_WIDTH, self._console.width) - 2
        head = Text.assemble((title(progress), "bold"), "\n", ("the store is ", "dim"), str(progress.store))
        body = Group(_agents(progress, width), "", _bar(progress, width), "", _events(progress))
        return Group("", head, "", Padding(body, (0, 0, 1, 2), expand=False))


def title(progress: Progress) -> str:
    """What is going on, in a line."""
    return f"Four agents survey {progress.project} together"


def counted(progress: Progress) -> str:
    """How many files are done."""
    return f"{progress.written} of {progress.chosen} files surveyed"


def _agents(progress: Progress, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", width=width)
    table.add_column("agent", width=7)
    table.add_column("doing", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("files", "writes", "races lost", "findings read"):
        table.add_column(name, justify="right", no_wrap=True)
    for agent in list(progress.agents.values()):
        style = _AGENT_STYLES[agent.state]
        numbers = [str(number) for number in (agent.files, agent.writes, agent.refused, agent.read)]
        table.add_row(Text(agent.name, style), Text(_doing(agent), style), *numbers)
    return table


def _doing(agent: AgentProgress) -> str:
    if agent.state == "working":
        return agent.doing or "looking for work"
    if agent.state == "killed":
        return f"killed, {agent.doing}"
    return agent.state


def _bar(progress: Progress, width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(total=progress.chosen, completed=progress.written, width=max(10, width - _BESIDE_BAR))
    row.add_row(bar, Text(f"{counted(progress)}, {progress.elapsed_s:.1f} s"))
    return row


def _events(progress: Progress) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for event in list(progress.events):
        style = _EVENT_STYLES[event.kind]
        table.add_row(Text(f"{event.at_s:5.1f} s", "dim"), Text(event.who, style), _told(event, style))
    return table


def _told(event: Event, style: str) -> RenderableType:
    from rich.text import Text

    lines = Text(event.text, style)
    for detail in event.details:
        lines.append(f"\n{detail}", "dim")
    return lines
