"""A real `git http-backend` behind nginx on loopback, as processes of the test."""

from __future__ import annotations

import os
import shlex
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gitctx_testkit.daemons import LOOPBACK, Daemon, Served, program, start_on_a_free_port
from gitctx_testkit.git import clean_environment

PRIVATE = "private"
"""The folder whose repositories want a user name and a password."""
_AT_ONCE = 12
"""How many requests are served at the same time."""
_PARAMETERS = {
    "REQUEST_METHOD": "$request_method",
    "QUERY_STRING": "$query_string",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "PATH_INFO": "$uri",
    "REMOTE_USER": "$remote_user",
    "REMOTE_ADDR": "$remote_addr",
    "SERVER_PROTOCOL": "$server_protocol",
}


class HttpServer(Served):
    """nginx and fcgiwrap, with settings of their own in `folder`, that let everybody fetch and push.

    Repositories go below `root`; those below `root/private` want `user` and `password`. `host` and `inside` put it
    elsewhere, such as on the server of a `Network`.
    """

    user = "somebody"
    password = "not-a-secret"

    def __init__(self, folder: Path, *, host: str = LOOPBACK, inside: Sequence[str] = ()) -> None:
        super().__init__()
        self.folder = folder
        self.host = host
        self.root = folder / "repositories"
        for place in ("repositories", f"repositories/{PRIVATE}", "home", "temporary"):
            (folder / place).mkdir()
        self._short = tempfile.TemporaryDirectory()  # a socket's path has to be
        self._socket = f"{self._short.name}/socket"
        self._rules: dict[str, tuple[float, int]] = {}
        self._write_rules()
        self._write_backend()
        (folder / "users").write_text(f"{self.user}:{{PLAIN}}{self.password}\n")
        try:
            self._start_backends(inside)
            daemon, self.port = start_on_a_free_port(lambda port: self._start_nginx(port, inside), host, inside=inside)
            self._daemons.append(daemon)
        except BaseException:
            self.stop()
            raise

    def url(self, path: str, *, with_password: bool = False) -> str:
        """The address of a repository below `root`; with the name and the password in it if wanted."""
        who = f"{self.user}:{self.password}@" if with_password else ""
        return f"http://{who}{self.host}:{self.port}/{path}"

    def treat(self, pattern: str, *, delay_s: float = 0.0, status: int = 0) -> None:
        """Delay the requests whose path fits a shell pattern, or refuse them with a status such as 403, or both.

        Paths are `/<repository>/info/refs?service=git-receive-pack` (or `git-upload-pack`) and
        `/<repository>/git-receive-pack`. The first pattern that fits counts. It holds for new requests, at once.
        """
        self._rules[pattern] = (delay_s, status)
        self._write_rules()

    def treat_all_well(self) -> None:
        """Forget what `treat` said."""
        self._rules.clear()
        self._write_rules()

    def stop(self) -> None:
        """End it. Its port is free when this returns."""
        super().stop()
        self._short.cleanup()

    def _write_rules(self) -> None:
        fresh = self.folder / "rules.new"
        fresh.write_text("".join(f"{pattern}\t{delay}\t{code}\n" for pattern, (delay, code) in self._rules.items()))
        fresh.replace(self.folder / "rules")

    def _write_backend(self) -> None:
        environment = {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "GIT_CONFIG_NOSYSTEM": "1"}
        environment |= {"HOME": str(self.folder / "home"), "PATH": os.environ["PATH"]}
        backend = self.folder / "backend"
        backend.write_text(
            "#!/bin/sh\n"
            f"export {' '.join(f'{name}={shlex.quote(value)}' for name, value in environment.items())}\n"
            "while IFS='\t' read -r pattern delay status; do\n"
            '  case "$PATH_INFO${QUERY_STRING:+?$QUERY_STRING}" in\n'
            "  $pattern) ;;\n"
            "  *) continue ;;\n"
            "  esac\n"
            '  sleep "$delay"\n'
            '  [ "$status" = 0 ] || { printf \'Status: %s\\r\\n\\r\\n\' "$status"; exit; }\n'
            "  break\n"
            f"done <{shlex.quote(str(self.folder / 'rules'))}\n"
            "exec git -c http.receivepack=true http-backend\n"
        )
        backend.chmod(0o755)

    def _start_backends(self, inside: Sequence[str]) -> None:
        """One process each for all that may be served at once: those that fcgiwrap forks itself would outlive it."""
        command = [program("fcgiwrap"), "-p", str(self.folder / "backend")]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._socket)
            listener.listen(128)
            for _ in range(_AT_ONCE):
                log = self.folder / "backend.log"
                self._daemons.append(
                    Daemon(command, log, environment=clean_environment(), inside=inside, stdin=listener.fileno())
                )

    def _start_nginx(self, port: int, inside: Sequence[str]) -> Daemon:
        config = self.folder / "nginx.conf"
        config.write_text(self._settings(port))
        command = [program("nginx"), "-e", "stderr", "-p", str(self.folder), "-c", str(config)]
        return Daemon(command, self.folder / "nginx.log", environment=clean_environment(), inside=inside)

    def _settings(self, port: int) -> str:
        temporary = (f"{kind}_temp_path temporary/{kind};" for kind in ("fastcgi", "proxy", "scgi", "uwsgi"))
        parameters = (f"fastcgi_param {name} {value};" for name, value in _PARAMETERS.items())
        lines = [
            *("daemon off;", "master_process off;", "pid nginx.pid;", "error_log stderr warn;"),
            *("events {", "worker_connections 512;", "}", "http {"),
            *("access_log access.log;", "client_body_temp_path temporary/body;", "client_max_body_size 0;"),
            *temporary,
            *("fastcgi_read_timeout 600s;", "fastcgi_buffering off;"),
            *parameters,
            f'fastcgi_param SCRIPT_FILENAME "{self.folder / "backend"}";',
            *("server {", f"listen {self.host}:{port};"),
            *("location / {", f"fastcgi_pass unix:{self._socket};", "}"),
            *(f"location /{PRIVATE}/ {{", f'auth_basic "{PRIVATE}";', f'auth_basic_user_file "{self.folder}/users";'),
            *(f"fastcgi_pass unix:{self._socket};", "}", "}", "}"),
        ]
        return "".join(f"{line}\n" for line in lines)
