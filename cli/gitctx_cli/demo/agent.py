"""The process of one agent: `python -P -m gitctx_cli.demo.agent`, started by the demo's `team`.

It tells what it does on standard output. On standard input it is told to go on; when that closes, because the demo has
ended in whatever way, it ends at once.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import traceback
from pathlib import Path

from gitctx.config import Config, RetryPolicy
from gitctx.context import Context
from gitctx.repository.project import Project
from gitctx.store import Store
from gitctx_cli.demo.messages import Done, Failed, Message, Ready, encode
from gitctx_cli.demo.surveyor import Surveyor

AGENT = "gitctx-demo"
PATIENT = RetryPolicy(deadline_s=20.0)
_PERMISSION_BYTES = 64


class Line:
    """The line to the conductor: messages out, permissions to go on in."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._permissions: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="demo-line", daemon=True).start()

    def tell(self, message: Message) -> None:
        """Send a message, whole, before going on."""
        data = encode(message)
        while data:
            data = data[os.write(self._out, data) :]

    def wait(self) -> None:
        """Wait until told to go on."""
        self._permissions.get()

    def _listen(self) -> None:
        while os.read(0, _PERMISSION_BYTES):
            self._permissions.put(None)
        os._exit(1)


def main() -> int:
    """Be an agent. 0 if the work got done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--head", required=True)
    parser.add_argument("--actor", required=True)
    options = parser.parse_args()
    line = Line()
    try:
        store = Store.open(options.store, Config(retry=PATIENT))
        project = Project(options.project, options.head)
        sessions = Context(store, actor=options.actor).sessions
        # Whoever starts late must not close the session that was killed: the one that claims its piece is to notice.
        with sessions.start(actor=options.actor, agent=AGENT, recover=False) as session:
            line.tell(Ready(session.id))
            ctx = Context(store, actor=options.actor, session=session.id)
            Surveyor(ctx, project, tell=line.tell, pause=line.wait).work()
        line.tell(Done())
        return 0
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - whatever it is, the conductor has to know
        traceback.print_exc()
        line.tell(Failed(f"{type(error).__name__}: {error}"))
        return 1


if __name__ == "__main__":
    sys.exit(main())
