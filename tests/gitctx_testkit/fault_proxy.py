"""A network that a test can break: a TCP proxy on loopback before any server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

from gitctx_testkit.daemons import LOOPBACK, PATIENCE_S

Direction = Literal["up", "down"]
"""`up` is from the client to the server."""
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, eq=False, slots=True)
class _Fault:
    """What the network does at the moment. Each one set counts anew."""

    kind: Literal["none", "refuse", "hang", "cut", "delay", "lose the reply"] = "none"
    direction: Direction = "up"
    after_bytes: int = 0
    delay_s: float = 0.0
    committed: Callable[[], bool] = bool


@dataclass(eq=False, slots=True)
class _Connection:
    client: socket.socket
    server: socket.socket | None = None
    passed: dict[tuple[_Fault, Direction], int] = field(default_factory=dict)

    def cut(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                _shut(end)


class FaultProxy:
    """Passes on everything until it is told otherwise; a fault holds until the next one is set.

    Faults also reach the connections that are open. Counters are totals: `connections` accepted, `bytes_up` and
    `bytes_down` passed on, `cuts` of connections that a fault made.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._changed = threading.Condition()
        self._fault = _Fault()
        self._stopped = False
        self._open: set[_Connection] = set()
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.cuts = 0
        self._place = _bound((LOOPBACK, 0))  # keeps the port while nobody listens
        self.host, self.port = LOOPBACK, int(self._place.getsockname()[1])
        self._listener: socket.socket | None = None
        self._listen()

    def through(self, url: str) -> str:
        """The same address, by way of this proxy."""
        parts = urlsplit(url)
        who, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{who}{at}{self.host}:{self.port}"))

    def pass_on(self) -> None:
        """Be a sound network (again). What hung goes on."""
        self._set(_Fault())

    def refuse(self) -> None:
        """Refuse new connections, and cut those that are open."""
        self._set(_Fault("refuse"))

    def hang(self) -> None:
        """Accept connections and pass nothing on, either way."""
        self._set(_Fault("hang"))

    def cut_after(self, bytes_: int, direction: Direction) -> None:
        """Let so many bytes more through in a direction of each connection; cut it at the next one."""
        self._set(_Fault("cut", direction=direction, after_bytes=bytes_))

    def delay(self, seconds: float) -> None:
        """Pass on each chunk of at most 64 KiB so much later."""
        self._set(_Fault("delay", delay_s=seconds))

    def lose_the_reply(self, committed: Callable[[], bool]) -> None:
        """Let the next change through to the server, and cut before its reply gets back; then be sound again.

        `committed` says whether the server has made the change. It is asked, by another thread, before anything of the
        server's is passed on: what the server says after it has committed surely stays behind.
        """
        self._set(_Fault("lose the reply", committed=committed))

    def cut(self) -> None:
        """Cut the connections that are open, now."""
        with self._changed:
            self._cut_all()

    def stop(self) -> None:
        """End it. Its port is free and all connections are cut when this returns."""
        with self._changed:
            self._stopped = True
            self._deafen()
            for connection in self._open:
                connection.cut()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a thread of the proxy didn't end"
        self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _set(self, fault: _Fault) -> None:
        with self._changed:
            self._fault = fault
            if fault.kind == "refuse":
                self._deafen()
                self._cut_all()
            elif self._listener is None:
                self._listen()
            self._changed.notify_all()

    def _cut_all(self) -> None:
        for connection in list(self._open):
            self._cut(connection)

    def _cut(self, connection: _Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self.cuts += 1
            connection.cut()

    def _listen(self) -> None:
        self._listener = _bound((self.host, self.port))
        self._listener.listen(128)
        self._run(self._accept, self._listener)

    def _deafen(self) -> None:
        if self._listener is not None:
            _shut(self._listener)
            self._listener.close()
            self._listener = None

    def _run(self, function: Callable[..., None], *arguments: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=function, args=arguments, daemon=True, name="fault proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                if self._listener is not listener:
                    _shut(client)
                    client.close()
                    return
                connection = _Connection(client)
                self._open.add(connection)
                self.connections += 1
                self._run(self._serve, connection)

    def _serve(self, connection: _Connection) -> None:
        """Both directions of one connection, from its first byte to its last."""
        try:
            if not self._until_it_moves(connection):
                return
            with suppress(OSError), socket.create_connection(self._target, timeout=PATIENCE_S) as server:
                server.settimeout(None)
                with self._changed:
                    connection.server = server
                    if connection not in self._open:
                        return
                    down = threading.Thread(target=self._pump, args=(connection, "down"), daemon=True)
                    down.start()
                self._pump(connection, "up")
                down.join()
        finally:
            with self._changed:
                self._open.discard(connection)
                connection.cut()
                connection.client.close()

    def _pump(self, connection: _Connection, direction: Direction) -> None:
        assert connection.server is not None
        source, sink = connection.client, connection.server
        if direction == "down":
            source, sink = sink, source
        try:
            while chunk := source.recv(_CHUNK_BYTES):
                part = self._what_passes(connection, direction, chunk)
                if part:
                    sink.sendall(part)
                if len(part) < len(chunk):
                    with self._changed:
                        self._cut(connection)
                    return
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            connection.cut()

    def _what_passes(self, connection: _Connection, direction: Direction, chunk: bytes) -> bytes:
        """What of a chunk gets through under the present fault; less than all of it ends the connection."""
        fault = self._until_it_moves(connection)
        if fault is None:
            return b""
        if fault.kind == "lose the reply" and direction == "down" and fault.committed():
            with self._changed:
                if self._fault is fault:
                    self._fault = _Fault()
                    return b""
        with self._changed:
            if fault.kind == "delay":
                self._changed.wait_for(lambda: self._stopped or self._fault is not fault, fault.delay_s)
            if fault.kind == "cut" and fault.direction == direction:
                before = connection.passed.get((fault, direction), 0)
                chunk = chunk[: max(0, fault.after_bytes - before)]
                connection.passed[fault, direction] = before + len(chunk)
            if direction == "up":
                self.bytes_up += len(chunk)
            else:
                self.bytes_down += len(chunk)
        return chunk

    def _until_it_moves(self, connection: _Connection) -> _Fault | None:
        """Wait while the network hangs; the present fault. None if the connection was cut meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._fault.kind != "hang" or connection not in self._open)
            return None if self._stopped or connection not in self._open else self._fault


def _bound(address: tuple[str, int]) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(address)
    return made


def _shut(end: socket.socket) -> None:
    """Close a connection, or a listener, also for processes that were forked meanwhile and hold it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
