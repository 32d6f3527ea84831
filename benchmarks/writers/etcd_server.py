"""etcd, one member, through its JSON gateway: a transaction that compares the key's revision before it puts."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from benchmarks.workload import Update
from benchmarks.writers.server import Server

PROGRAM = "etcd"
_ENTRIES, _HISTORY = "entries/", "history/"
_MOST_OPERATIONS = 100
"""etcd takes 128 in a transaction."""


class EtcdWriter:
    """One transaction a write, if the key is at the revision that was seen last: the entry, and a key of its history.

    Synced before it answers, which is what etcd always does.
    """

    def __init__(self, folder: Path) -> None:
        self._server = Server(folder, _command, _ready)
        self.port = self._server.port
        self._connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._revisions: dict[str, int] = {}

    def fill(self, entries: Mapping[str, bytes]) -> None:
        keys = list(entries)
        for start in range(0, len(keys), _MOST_OPERATIONS):
            part = keys[start : start + _MOST_OPERATIONS]
            puts = [_put(_ENTRIES + key, {"value": entries[key].decode()}) for key in part]
            revision = int(self._post("/v3/kv/txn", {"success": puts})["header"]["revision"])
            self._revisions.update(dict.fromkeys(part, revision))

    def write(self, update: Update) -> None:
        document = {"value": update.value.decode(), "actor": update.actor, "message": update.message}
        while True:
            seen = self._revisions.get(update.key, 0)
            compare = {"key": _coded(_ENTRIES + update.key), "target": "MOD", "mod_revision": str(seen)}
            version = _put(f"{_HISTORY}{update.key}/{seen:020}", document)
            answer = self._post(
                "/v3/kv/txn",
                {
                    "compare": [compare],
                    "success": [_put(_ENTRIES + update.key, document), version],
                    "failure": [{"request_range": {"key": compare["key"]}}],
                },
            )
            if answer.get("succeeded"):
                self._revisions[update.key] = int(answer["header"]["revision"])
                return
            found = answer["responses"][0]["response_range"].get("kvs", [])
            self._revisions[update.key] = int(found[0]["mod_revision"]) if found else 0

    def read(self, key: str) -> bytes:
        found = self._post("/v3/kv/range", {"key": _coded(_ENTRIES + key)}).get("kvs")
        if not found:
            raise KeyError(key)
        value: str = json.loads(b64decode(found[0]["value"]))["value"]
        return value.encode()

    def versions(self) -> int:
        end = _HISTORY[:-1] + chr(ord(_HISTORY[-1]) + 1)
        answer = self._post("/v3/kv/range", {"key": _coded(_HISTORY), "range_end": _coded(end), "count_only": True})
        return int(answer.get("count", 0))

    def close(self) -> None:
        self._connection.close()
        self._server.close()

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        with self._connection.getresponse() as response:
            answer: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"etcd says {response.status}: {answer}")
        return answer


def watch(port: int, key: str) -> HTTPConnection:
    """A connection on which etcd tells changes of a key, a JSON line each; the first line says that it watches."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"create_request": {"key": _coded(_ENTRIES + key)}}
    connection.request("POST", "/v3/watch", json.dumps(body), {"Content-Type": "application/json"})
    return connection


def watched_value(event: Mapping[str, Any]) -> bytes:
    """The value that a line of a watch tells."""
    value: str = json.loads(b64decode(event["kv"]["value"]))["value"]
    return value.encode()


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _put(key: str, document: Mapping[str, str]) -> dict[str, Any]:
    return {"request_put": {"key": _coded(key), "value": _coded(json.dumps(document))}}


def _command(port: int, second: int) -> list[str]:
    mine, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{second}"
    options = {
        "name": "bench",
        "data-dir": "data",
        "listen-client-urls": mine,
        "advertise-client-urls": mine,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"bench={peers}",
        "log-level": "error",
        "logger": "zap",
    }
    return [PROGRAM, *(f"--{name}={value}" for name, value in options.items())]


def _ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        with connection.getresponse() as response:
            return bool(json.loads(response.read()).get("health") == "true")
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
