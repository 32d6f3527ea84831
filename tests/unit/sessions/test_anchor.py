"""Which process a session is tied to by default: a wrong one dies too early, or never."""

from __future__ import annotations

import pytest

from gitctx.sessions.anchor import choose_anchor
from gitctx.sessions.process import ProcessFacts


def chain(*names: str) -> list[ProcessFacts]:
    """Ancestors, nearest first; the last one has the number 1."""
    count = len(names)
    return [ProcessFacts(count - place, "1", name, count - place - 1) for place, name in enumerate(names)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("sh", "claude", "zsh", "systemd"), "claude"),
        (("bash", "timeout", "uv", "codex", "zsh", "tmux: server", "systemd"), "codex"),
        (("node", "bash", "sshd", "systemd"), "node"),
        (("sh", "git", "node", "systemd"), "node"),
        (("BASH.EXE", "Agent.exe", "init"), "Agent.exe"),
        (("sh", "python3"), "python3"),
    ],
)
def test_shells_and_wrappers_are_passed_over(names: tuple[str, ...], expected: str) -> None:
    found = choose_anchor(chain(*names))
    assert found is not None
    assert found.name == expected


@pytest.mark.parametrize(
    ("names", "pid"),
    [
        (("sh", "bash"), 1),
        (("make", "sh", "-bash", "sshd", "systemd"), 3),
        (("bash", "tmux: server", "systemd"), 3),
        (("sh", "cron", "systemd"), 3),
        (("bash", "tini"), 2),
        (("bash", "", "agent"), 3),
    ],
)
def test_without_an_agent_it_is_the_outermost_shell_below_the_supervisor(names: tuple[str, ...], pid: int) -> None:
    found = choose_anchor(chain(*names))
    assert found is not None
    assert found.pid == pid


@pytest.mark.parametrize("names", [(), ("systemd",), ("timeout", "tini"), ("sshd-session", "sshd")])
def test_nothing_is_tied_to_a_process_that_never_ends(names: tuple[str, ...]) -> None:
    assert choose_anchor(chain(*names)) is None
