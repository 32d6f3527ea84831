"""The store that the corruption corpus damages copies of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from gitctx.config import Config
from gitctx.context import Context
from gitctx.format.records import encode_session, session_path
from gitctx.store import Store
from gitctx.store.request import Planned, Request
from gitctx.values import SessionId, SessionRecord
from gitctx_testkit.audit import ids_in_history

RELAXED = Config(durability="relaxed")


@dataclass
class Base:
    """A store with a known history: `revisions` by name, and what its head holds."""

    path: Path
    revisions: dict[str, str] = field(default_factory=dict)
    content: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)

    def name_of(self, revision: str | None) -> str | None:
        """The name of a revision in this file's words; the id itself for any other."""
        return next((name for name, oid in self.revisions.items() if oid == revision), revision)


def content_of(store: Path) -> dict[str, str]:
    """Every entry and claim of a store."""
    view = Store.open(store).context.view()
    return {key: view.blob(etag).decode() for key, etag in view.etags()}


def build(path: Path) -> Base:
    """Nine writes, one checkpoint, one session.

    `a2` is the last write of plan/a.md, `mark` names the content at `b1`, `c-gone` removes what `c1` put, `d1` is the
    head.
    """
    made = Base(path)
    Store.create(made.path)
    ctx = Context(Store.open(made.path, RELAXED), actor="planner")
    made.revisions["root"] = ctx.head

    def put(name: str, key: str) -> None:
        made.revisions[name] = ctx.put(key, name, id=f"id-{name}").revision

    put("a1", "plan/a.md")
    put("b1", "plan/b.md")
    made.revisions["mark-sessions"] = ctx.store.sessions.head()
    ctx.checkpoints.create("mark", message="named")
    put("a2", "plan/a.md")
    put("c1", "notes/c.md")
    ctx.claims.claim("job", ttl_s=600, id="id-job")
    made.revisions["job"] = ctx.head
    put("b2", "plan/b.md")
    made.revisions["c-gone"] = ctx.remove("notes/c.md", id="id-c-gone").revision
    put("e1", "deep/er/e.md")
    put("d1", "plan/d.md")
    made.revisions["session"] = _with_session(made.path)
    made.content = content_of(made.path)
    made.ids = ids_in_history(made.path)
    return made


def _with_session(path: Path) -> str:
    """A session that has started and ended; the revision of its start."""
    store = Store.open(path, RELAXED)
    record = SessionRecord(
        *(SessionId("01JD3V8Q6ZK6Y4E9T0A7B2C5DF"), "planner", "claude", "host", "laptop", "boot", "1", 4711, "1"),
        started_at=datetime(2026, 11, 25, tzinfo=UTC),
        start_revision=store.context.head(),
    )
    ended = replace(record, ended_at=record.started_at, end_reason="done", graceful_shutdown=True)
    revisions = []
    for op, each in (("session-start", record), ("session-end", ended)):
        changes = {session_path(record.id): encode_session(each)}
        request = Request(op, f"{op} {record.id}", "planner", lambda view, changes=changes: Planned(changes=changes))  # type: ignore[misc]
        revisions.append(str(store.sessions.write(request).revision))
    return revisions[0]
