"""Which process a session is tied to when nobody says so: the nearest ancestor that isn't a shell or a wrapper.

An agent runs commands through shells (`sh -c`), and often through more: `timeout`, `uv run`, `make`. Those end with the
command. The first ancestor that is none of them is taken for the agent.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitctx.sessions.process import ProcessFacts

_SHELLS = "ash bash busybox cmd csh dash elvish fish ksh ksh93 mksh nu powershell pwsh rbash sh tcsh xonsh zsh"
SHELLS = frozenset(_SHELLS.split())
"""Programs that run other programs for a person or a script."""

_WRAPPERS = """
    bwrap chronic chroot command direnv doas env expect faketime firejail flock gitctx gitctx-hook git gmake hatch
    ionice just make mise nice ninja nohup nsenter numactl parallel pdm pipx pixi poetry proxychains4 rye script
    setpriv setsid stdbuf strace su sudo systemd-run task taskset time timeout unbuffer unshare uv uvx watch xargs
    xvfb-run
"""
WRAPPERS = frozenset(_WRAPPERS.split())
"""Programs that run one other program, and end with it."""

_SUPERVISORS = """
    atd catatonit conmon containerd-shim cron crond docker-init dropbear dumb-init init launchd login openrc runit
    runsv s6-supervise s6-svscan screen sshd sshd-session supervisord systemd tini tmux
"""
SUPERVISORS = frozenset(_SUPERVISORS.split())
"""Programs that start shells and outlive them: a session tied to one would hardly ever be found dead."""


def choose_anchor(ancestors: Iterable[ProcessFacts]) -> ProcessFacts | None:
    """The process to tie a session to, given the ancestors of the asking process, nearest first.

    Where a supervisor is met before an agent (a person at a terminal, a script run by cron, a container whose first
    process is a shell), it is the outermost shell below. None if there is nothing to tie it to.
    """
    shell: ProcessFacts | None = None
    for process in ancestors:
        name = plain_name(process.name)
        if name in SHELLS:
            shell = process
        elif name in SUPERVISORS or not name:
            break
        elif name not in WRAPPERS:
            return process
    return shell


def plain_name(name: str) -> str:
    """A program's name without what systems put around it: `-bash` of a login shell, `tmux: server`, `cmd.exe`."""
    return name.removeprefix("-").partition(":")[0].strip().casefold().removesuffix(".exe")
