"""Git over the network: fetch, push and look, each with a time limit, and what their talk means.

Credentials are git's own: ssh agent, credential helpers, the user's configuration. Nothing ever asks on a terminal.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pygit2

from gitctx.errors import GitFailed, RemoteAuthFailed, RemoteError, RemoteUnreachable
from gitctx.repository.git_command import command_line
from gitctx.repository.ssh_sharing import SharedSsh

_LOOK_EVERY_S = 0.02
_OFFLINE = "writes go on here and travel with the next exchange"
# What git and ssh say when credentials are refused. Sources: git http.c, openssh sshconnect2.c; GitHub, GitLab.
_REFUSED = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied \(|HTTP Basic: Access denied"
    r"|The requested URL returned error: (?:401|403)|Host key verification failed|invalid credentials",
    re.IGNORECASE,
)
_SAYS_NOTHING = "Could not read from remote repository"
"""What git says when ssh has said why."""
_NO_REPOSITORY = re.compile(
    r"does not appear to be a git repository|[Rr]epository (?:'[^']*' )?not found|No such file or directory"
    r"|returned error: 404|project you were looking for could not be found",
)


class Refusal(NamedTuple):
    """Why a remote didn't take a ref; `raced` if somebody was faster, so that it is worth trying again; `by_remote` if
    the remote itself said so, not git here.
    """

    reason: str
    raced: bool
    by_remote: bool = False


class Push(NamedTuple):
    """One ref to push: from a local object id (None: delete it) to the remote's ref, if that holds `expected`
    (None: if it doesn't exist).
    """

    oid: str | None
    ref: str
    expected: str | None


_RACED = re.compile(
    r"stale info|fetch first|non-fast-forward|failed to update ref|cannot lock ref|failed to lock"
    r"|reference already exists|incorrect old value|needs force|already exists|remote ref updated since checkout"
)
_UNSAID = "[remote failure]"
"""What git says of a ref if the connection broke before the remote answered: it may have gone through."""
_SSH = re.compile(r"(?:ssh|git\+ssh|ssh\+git)://|[^/:]+:(?!//)")
_STATUS = re.compile(r"([ +\-*!=])\t([^\t]*):([^\t:]*)\t(.*)")
_REASON = re.compile(r"\[(?:remote )?(?:rejected|remote failure|no match)\](?: \((.*)\))?|.*?\((.*)\)")


class Network:
    """Git's network commands on one repository. `cancel`, once set, ends a command that runs within 50 ms.

    Where the user doesn't say how ssh is run, it is run so that it never asks, and all commands share a connection
    until `close`, or the end of the block.
    """

    def __init__(
        self,
        git_dir: Path,
        *,
        timeout_s: float,
        cancel: threading.Event | None = None,
    ) -> None:
        self._git_dir = git_dir
        self._timeout_s = timeout_s
        self._cancel = cancel
        self._shared_ssh = SharedSsh()
        self._ssh_is_configured: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave nothing behind. The next command begins anew."""
        self._shared_ssh.end()

    def refs(self, url: str, patterns: Sequence[str] = (), *, timeout_s: float | None = None) -> Mapping[str, str]:
        """Refs of a remote (a name or a URL), by name. Raises RemoteUnreachable, RemoteAuthFailed."""
        output = self._run(["ls-remote", "--quiet", "--refs", url, *patterns], url, timeout_s=timeout_s)
        lines = [line.split("\t", 1) for line in output.splitlines() if "\t" in line]
        return {name: oid for oid, name in lines}

    def fetch(self, url: str, refspecs: Iterable[str], *, prune: bool = False) -> None:
        """Fetch refs of a remote. Raises RemoteUnreachable, RemoteAuthFailed, RemoteError."""
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-show-forced-updates"]
        if prune:
            options.append("--prune")
        # One pack for each fetch, with nothing beside it, so that it can be merged with others like our own.
        settings = ["-c", "fetch.unpackLimit=1", "-c", "pack.writeReverseIndex=false"]
        self._run([*settings, "fetch", *options, url, *refspecs], url)

    def push(self, url: str, pushes: Sequence[Push]) -> Mapping[str, Refusal | None]:
        """Push refs, each by its own compare-and-swap: by the remote's name of the ref None if it went through, else
        why not.

        Raises RemoteUnreachable, RemoteAuthFailed, RemoteError: then some may have gone through.
        """
        if not pushes:
            return {}
        leases = [f"--force-with-lease={each.ref}:{each.expected or ''}" for each in pushes]
        refspecs = [f"{each.oid or ''}:{each.ref}" for each in pushes]
        try:
            output = self._run(["push", "--porcelain", "--no-verify", *leases, url, *refspecs], url, ok=(0, 1))
        except RemoteError as error:
            output = str(error.details.get("output", ""))
            if not any(_STATUS.fullmatch(line) for line in output.splitlines()):
                raise
        found: dict[str, Refusal | None] = {}
        for line in output.splitlines():
            status = _STATUS.fullmatch(line)
            if status is not None and _UNSAID not in status[4]:
                found[status[3]] = _refusal(status[4]) if status[1] == "!" else None
        unsaid = [each.ref for each in pushes if each.ref not in found]
        if unsaid:
            raise RemoteUnreachable(
                f"{hidden(url)} didn't say what became of {', '.join(unsaid[:3])}",
                hint="run it again: what went through is found out then",
                details={"url": hidden(url), "output": output[-2000:]},
            )
        return found

    def _run(
        self, arguments: Sequence[str], url: str, *, timeout_s: float | None = None, ok: tuple[int, ...] = (0,)
    ) -> str:
        limit = timeout_s if timeout_s is not None else self._timeout_s
        shown = f"git {next(word for word in arguments if word in ('ls-remote', 'fetch', 'push'))}"
        # Files, not pipes: a helper process that outlives git would keep a pipe open.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            status = self._wait(self._start(arguments, url, limit, out.fileno(), err.fileno()), shown, url, limit)
            out.seek(0)
            err.seek(0)
            output, talk = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
        if status in ok:
            return output
        raise _failed(shown, url, status, output, talk)

    def _start(self, arguments: Sequence[str], url: str, limit_s: float, out: int, err: int) -> subprocess.Popen[bytes]:
        ssh = self._ssh_settings(url, limit_s)
        slow = ["-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={max(1, int(limit_s))}"]
        try:
            return subprocess.Popen(
                command_line(self._git_dir, *ssh, *slow, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # without a terminal nobody can ask on one; and all of it ends together
            )
        except OSError as error:
            raise GitFailed(f"git couldn't be run: {error}", hint="is git installed and on the PATH?") from error

    def _ssh_settings(self, url: str, limit_s: float) -> list[str]:
        """The option that makes ssh ask nothing and give up in time, unless the user's settings say how ssh is run.

        (`GIT_SSH_COMMAND` counts more than this option, so it needn't be looked at.)
        """
        if self._ssh_is_configured is None:
            self._ssh_is_configured = self._configured("core.sshCommand")
        if self._ssh_is_configured:
            return []
        words = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={max(1, min(10, int(limit_s)))}"]
        words += ["-o", "ServerAliveInterval=15"]
        if self._goes_by_ssh(url):
            words += self._shared_ssh.options()
        return ["-c", f"core.sshCommand={shlex.join(words)}"]

    def _goes_by_ssh(self, url: str) -> bool:
        """Whether a URL, or that of a remote's name, says so by itself: else there is no need for a place to share."""
        with suppress(KeyError, OSError, pygit2.GitError):
            url = pygit2.Config(str(self._git_dir / "config"))[f"remote.{url}.url"] or url
        return _SSH.match(url) is not None

    def _configured(self, name: str) -> bool:
        done = subprocess.run(
            command_line(self._git_dir, "config", "--get", name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def _wait(self, process: subprocess.Popen[bytes], shown: str, url: str, limit_s: float) -> int:
        deadline = time.monotonic() + limit_s
        pause = 0.001
        try:
            while True:
                try:
                    return process.wait(pause)
                except subprocess.TimeoutExpired:
                    pause = min(pause * 2, _LOOK_EVERY_S)
                if self._cancel is not None and self._cancel.is_set():
                    raise RemoteUnreachable(f"{shown} was stopped", hint=_OFFLINE, details={"url": hidden(url)})
                if time.monotonic() > deadline:
                    raise RemoteUnreachable(
                        f"{hidden(url)} didn't answer within {limit_s:g} s ({shown})",
                        hint=_OFFLINE,
                        details={"url": hidden(url), "timeout_s": limit_s},
                    )
        finally:
            if process.poll() is None:
                _kill(process)


def hidden(url: str) -> str:
    """A URL without the password in it."""
    return re.sub(r"(://[^/@:\s]*):[^/\s]*@", r"\1:***@", url)


def _kill(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            continue
        return


def _refusal(text: str) -> Refusal:
    match = _REASON.match(text)
    reason = (match[1] or match[2] if match is not None else None) or text
    return Refusal(reason, _RACED.search(text) is not None, text.startswith("[remote rejected]"))


def _failed(shown: str, url: str, status: int, output: str, talk: str) -> RemoteError:
    refused, missing = _REFUSED.search(talk), _NO_REPOSITORY.search(talk)
    said = _told(talk, refused or missing)
    details = {"url": hidden(url), "status": status, "stderr": hidden(talk[-2000:]), "output": output[-20000:]}
    if refused:
        return RemoteAuthFailed(
            f"{hidden(url)} doesn't accept the credentials: {said}",
            hint="git itself has to be able to log in: try `git ls-remote` on that URL",
            details=details,
        )
    if missing:
        return RemoteUnreachable(
            f"there is no repository at {hidden(url)}: {said}",
            hint="make an empty one there, or correct the URL: `gitctx remote remove` and `gitctx remote add`",
            details=details,
        )
    return RemoteUnreachable(f"{shown} with {hidden(url)} failed: {said}", hint=_OFFLINE, details=details)


def _told(talk: str, telling: re.Match[str] | None) -> str:
    """The line of git's and ssh's talk that says most: the one in which something telling was found, if there is."""
    lines = [line.strip() for line in talk.splitlines() if line.strip() and _SAYS_NOTHING not in line]
    of_git = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))]
    found = [line for line in lines if telling is not None and telling[0] in line]
    best = next(iter(found or of_git or lines), "no word why")
    return hidden(best.removeprefix("fatal: ").removeprefix("error: "))[:300]
