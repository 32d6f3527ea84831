"""A real sshd on loopback, as a process of the test."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gitctx_testkit.daemons import LOOPBACK, PATIENCE_S, Daemon, Served, program, start_on_a_free_port
from gitctx_testkit.git import clean_environment

_HOST = "gitctx-testkit"
"""What the client's list of known hosts calls the server, whatever address it is reached at."""
_SEPARATION = Path("/run/sshd")
_TOLERANT = "PerSourcePenalties no"


class SshServer(Served):
    """An sshd for the user who runs the tests, with keys and settings of its own in `folder`.

    Repositories go below `root`. Nothing of the user's own ssh and git settings counts, on either side. `host` and
    `inside` put it elsewhere, such as on the server of a `Network`.
    """

    def __init__(self, folder: Path, *, host: str = LOOPBACK, inside: Sequence[str] = ()) -> None:
        super().__init__()
        self.folder = folder
        self.host = host
        self.root = folder / "repositories"
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        for name in ("repositories", "home"):
            (folder / name).mkdir()
        self._separate_privileges()
        for name in ("host_key", "client_key"):
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)])
        shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
        (folder / "known_hosts").write_text(f"{_HOST} {(folder / 'host_key.pub').read_text()}")
        daemon, self.port = start_on_a_free_port(lambda port: self._start(port, inside), host, inside=inside)
        self._daemons.append(daemon)

    def url(self, path: str) -> str:
        """The address of a repository below `root`."""
        return f"ssh://{self.user}@{self.host}:{self.port}{self.root}/{path}"

    def command(self, *options: str, shared_connection: Path | None = None) -> str:
        """The ssh command for `core.sshCommand`: it trusts this server only, and never asks a person.

        With `shared_connection`, a socket's path (short: 90 bytes at most), one connection serves all commands.
        """
        words = ["ssh", "-F", "none", "-i", str(self.folder / "client_key"), *options]
        given = ["BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes"]
        given += [f"UserKnownHostsFile={self.folder / 'known_hosts'}", "GlobalKnownHostsFile=none"]
        given += [f"HostKeyAlias={_HOST}", "LogLevel=ERROR"]
        if shared_connection is not None:
            given += ["ControlMaster=auto", f"ControlPath={shared_connection}", "ControlPersist=60"]
        return shlex.join([*words, *(word for option in given for word in ("-o", option))])

    def environment(self, *, shared_connection: Path | None = None) -> dict[str, str]:
        """What a client's environment needs in order to reach the server."""
        return {"GIT_SSH_COMMAND": self.command(shared_connection=shared_connection), "GIT_SSH_VARIANT": "ssh"}

    def client(self, folder: Path) -> Path:
        """Make a folder with an `ssh` that reaches this server as a user's own ssh reaches theirs: put it on the PATH.

        Unlike with `environment`, whoever runs it may add options, such as to share connections.
        """
        folder.mkdir()
        words = [word for word in shlex.split(self.command()) if word != "ssh"]
        program_ = folder / "ssh"
        program_.write_text(f'#!/bin/sh\nexec {shlex.quote(program("ssh"))} {shlex.join(words)} "$@"\n')
        program_.chmod(0o755)
        return folder

    def end_sharing(self, shared_connection: Path) -> None:
        """Close a connection that commands share. No error if there is none."""
        words = shlex.split(self.command("-O", "exit", shared_connection=shared_connection))
        subprocess.run([*words, self.host], capture_output=True, timeout=PATIENCE_S)

    def _start(self, port: int, inside: Sequence[str]) -> Daemon:
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{line}\n" for line in self._settings(port)))
        sshd = program("sshd")
        environment = clean_environment()
        # Newer servers shut out an address whose connections are cut too often, and older ones don't know the word.
        more = config.read_text() + _TOLERANT + "\n"
        (self.folder / "tolerant_config").write_text(more)
        probe = [sshd, "-t", "-f", str(self.folder / "tolerant_config")]
        if subprocess.run(probe, env=environment, capture_output=True, timeout=PATIENCE_S).returncode == 0:
            config.write_text(more)
        command = [sshd, "-D", "-e", "-f", str(config)]
        return Daemon(command, self.folder / "log", environment=environment, inside=inside)

    def _settings(self, port: int) -> list[str]:
        serving = {"HOME": str(self.folder / "home"), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
        return [
            f"ListenAddress {self.host}:{port}",
            f'HostKey "{self.folder / "host_key"}"',
            f'AuthorizedKeysFile "{self.folder / "authorized_keys"}"',
            "AuthenticationMethods publickey",
            "PermitRootLogin prohibit-password",
            "StrictModes no",
            "UsePAM no",
            "UseDNS no",
            "PidFile none",
            "PrintMotd no",
            "PrintLastLog no",
            "KexAlgorithms curve25519-sha256",  # the usual one takes 0.1 s longer, and tests connect often
            "AcceptEnv GIT_PROTOCOL",
            "MaxStartups 200",
            "MaxSessions 100",
            "LogLevel INFO",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in serving.items()),
        ]

    def _separate_privileges(self) -> None:
        if os.geteuid() == 0 and not _SEPARATION.is_dir():
            try:
                _SEPARATION.mkdir(mode=0o755, parents=True)
            except OSError as error:
                raise AssertionError(f"sshd of root needs the folder {_SEPARATION}: {error}") from error


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr}"
