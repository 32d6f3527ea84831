"""An agent's work: claim a piece of the plan, survey its files, write what was found, go on until nothing is open."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitctx.errors import ClaimHeld, EntryNotFound
from gitctx.format.documents import new_ulid
from gitctx.format.keys import check_claim_name
from gitctx.format.records import decode_claim
from gitctx_cli.demo.languages import ProjectFiles
from gitctx_cli.demo.messages import (
    Acknowledged,
    Checkpointed,
    Claimed,
    FileSurveyed,
    Halfway,
    Message,
    Noticed,
    PieceDone,
    Refused,
    TookOver,
)
from gitctx_cli.demo.plan import (
    ADVICE,
    CHECKPOINT,
    FINDINGS,
    GOAL,
    LOG,
    OPEN,
    SUMMARY,
    WRAP_UP,
    Item,
    Piece,
    add_to_summary,
    advice,
    part_of,
)
from gitctx_cli.demo.survey import MAX_READ_BYTES, survey
from gitctx_cli.demo.wording import many

if TYPE_CHECKING:
    from gitctx.context import Context
    from gitctx.repository.project import Project
    from gitctx.values import Claim, Written

CLAIM_TTL_S = 120.0
BUDGET_S = 8.0
"""If the work is going to take longer than this, findings are written several at a time."""
LARGE_PIECE = 10
"""In pieces of more files they are from the start."""
_IDLE_S = 0.03


class Surveyor:
    """One agent at work in its session. `pause` is called in the middle of each piece, with the claim held."""

    def __init__(
        self, ctx: Context, project: Project, *, tell: Callable[[Message], None], pause: Callable[[], None]
    ) -> None:
        self._ctx = ctx
        self._project = project
        self._tell = tell
        self._pause = pause
        self._pieces: dict[str, Piece] = {}
        self._keys: dict[str, str] = {}
        self._files = ProjectFiles(())
        self._authors: dict[str, str] = {}
        self._known_dead: set[str] = set()
        self._began = 0.0

    def work(self) -> None:
        """Do pieces until none is open, then see that the result is wrapped up."""
        self._read_plan()
        while open_pieces := self._open_pieces():
            if not self._do_one(open_pieces):
                time.sleep(_IDLE_S)
        self._wrap_up()

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _read_plan(self) -> None:
        """Wait for the plan (one write, so it is there as a whole), and learn it."""
        while True:
            try:
                self._ctx.get(GOAL)
                break
            except EntryNotFound:
                time.sleep(_IDLE_S)
        for info in self._ctx.list("plan/"):
            if info.key != GOAL:
                piece = Piece.from_json(self._ctx.get(info.key).json())
                self._pieces[piece.name] = piece
        items = [item for piece in self._pieces.values() for item in piece.items]
        self._keys = {item.path: item.key for item in items}
        self._files = ProjectFiles(self._keys)
        self._began = time.monotonic()

    def _open_pieces(self) -> Sequence[Piece]:
        """Open pieces, those first whose files the findings so far import most."""
        names = [info.key.removeprefix(OPEN).removesuffix(".json") for info in self._ctx.list(OPEN)]
        imported = self._summary().get("imported", {})
        wanted = {name: sum(imported.get(item.path, 0) for item in self._pieces[name].items) for name in names}
        return [self._pieces[name] for name in sorted(names, key=lambda name: (-wanted[name], name))]

    def _do_one(self, pieces: Sequence[Piece]) -> bool:
        """Claim the first piece that nobody alive holds, and do it; whether there was one."""
        held = {claim.name: claim for claim in self._ctx.claims.list()}
        for piece in pieces:
            claim = held.get(piece.name)
            if claim is not None and claim.holder_state not in ("dead", "expired", "ended"):
                continue
            if claim is not None:
                self._notice(claim)
            if self._claim(piece.name, "survey"):
                self._do(piece, self._taken_over(piece.name))
                return True
            self._tell(Refused(piece.name))
        return False

    def _taken_over(self, name: str) -> Claim | None:
        """The claim that was superseded when this agent got it; None if it was free. (It may have been free when this
        agent looked, then claimed and left over by another that died before this agent's write.)
        """
        write = self._ctx.last_write(check_claim_name(name))
        if write is None or not write.superseded:
            return None
        claim = decode_claim(name, self._ctx.store.context.view().blob(write.superseded[0]))
        self._notice(claim)
        return claim

    def _notice(self, claim: Claim) -> None:
        """Look what is known of a claim's holder, and tell if that is dead. Once."""
        if claim.session in self._known_dead:
            return
        for status in self._ctx.sessions.list():
            if status.record.id == claim.session and status.state == "dead":
                self._known_dead.add(status.record.id)
                evidence = tuple((each.layer, each.finding, each.text) for each in status.evidence)
                self._tell(Noticed(status.record.id, status.record.actor, evidence))

    # -- a piece ------------------------------------------------------------------------------------------------------

    def _do(self, piece: Piece, left_over: Claim | None) -> None:
        if not any(info.key == piece.open_key for info in self._ctx.list(OPEN)):
            self._release(piece.name)
            return
        todo = [item for item in piece.items if self._author(item.path) is None]
        if left_over is None:
            self._tell(Claimed(piece.name, len(piece.items), len(todo)))
        else:
            self._tell(TookOver(piece.name, left_over.actor, len(piece.items), len(todo)))
        contents = self._project.contents([item.blob for item in todo if _readable(item)])
        half = len(todo) // 2
        together = len(piece.items) > LARGE_PIECE or self._is_late()
        self._write([(item, contents.get(item.blob)) for item in todo[:half]], piece.name, together=together)
        self._tell(Halfway(piece.name, len(piece.items) - len(todo) + half, len(piece.items)))
        self._pause()
        self._write([(item, contents.get(item.blob)) for item in todo[half:]], piece.name, together=together)
        self._finish(piece)

    def _is_late(self) -> bool:
        """Whether the disk is so slow that findings had better be written several in one commit."""
        done = len(self._pieces) - len(list(self._ctx.list(OPEN)))
        elapsed_s = time.monotonic() - self._began
        return done > 0 and elapsed_s / done * len(self._pieces) > BUDGET_S

    def _write(self, files: Sequence[tuple[Item, bytes | None]], claim: str, *, together: bool) -> None:
        """Survey files and write their findings: one commit each, or one for all."""
        if not together:
            for item, data in files:
                finding = self._survey(item, data)
                written = self._ctx.put(item.key, finding, message=part_of(claim), claim=claim)
                self._wrote([finding], written, f"put {item.key}")
        elif files:
            findings = {item.key: self._survey(item, data) for item, data in files}
            with self._ctx.batch(part_of(claim), claim=claim) as batch:
                for key, finding in findings.items():
                    batch.put(key, finding)
            self._wrote(list(findings.values()), batch.written, f"{many(len(findings), 'finding')} of {claim}")

    def _survey(self, item: Item, data: bytes | None) -> Mapping[str, Any]:
        found = survey(item.path, data, self._files)
        return {
            "path": item.path,
            "by": self._ctx.actor,
            "language": found.language,
            "size_bytes": item.size_bytes,
            "lines": found.lines,
            "note": found.note,
            "last_commit": item.last_commit,
            "todo": [{"line": number, "text": text} for number, text in found.todo],
            "imports": [{"file": path, "surveyed_by": self._author(path)} for path in found.imports],
            "uses": list(found.uses),
        }

    def _wrote(self, findings: Sequence[Mapping[str, Any]], written: Written | None, what: str) -> None:
        self._acknowledged(written, what)
        for finding in findings:
            self._authors[finding["path"]] = self._ctx.actor
            others = sum(each["surveyed_by"] not in (None, self._ctx.actor) for each in finding["imports"])
            self._tell(FileSurveyed(finding["path"], others))

    def _finish(self, piece: Piece) -> None:
        """Count the piece in the summary that all share, note it as done, give the claim up."""
        findings = [self._ctx.get(item.key).json() for item in piece.items]
        written = self._ctx.update(
            SUMMARY,
            lambda value: add_to_summary(value, piece.name, findings),
            message=f"count {piece.name}",
            claim=piece.name,
        )
        self._acknowledged(written, f"update {SUMMARY}")
        todo = sum(len(finding["todo"]) for finding in findings)
        line = f"{self._ctx.actor} finished {piece.name}: {many(len(findings), 'file')}, {todo} TODO or FIXME"
        with self._ctx.batch(f"{piece.name} is done", claim=piece.name) as batch:
            batch.move(piece.open_key, piece.done_key)
            batch.append(LOG, line)
        self._acknowledged(batch.written, f"finish {piece.name}")
        self._release(piece.name)
        self._tell(PieceDone(piece.name))

    # -- the end ------------------------------------------------------------------------------------------------------

    def _wrap_up(self) -> None:
        """Whoever claims it first sums up what everybody found, and makes the checkpoint."""
        if self._wrapped_up() or not self._claim(WRAP_UP, "sum up and make the checkpoint"):
            return
        if not self._wrapped_up():
            findings = [self._ctx.get(info.key).json() for info in self._ctx.list(FINDINGS)]
            written = self._ctx.put(
                ADVICE, advice(findings), message="what to read first, from all findings", claim=WRAP_UP
            )
            self._acknowledged(written, f"put {ADVICE}")
            self._acknowledged(self._ctx.append(LOG, f"{self._ctx.actor} summed up", claim=WRAP_UP), f"append {LOG}")
            made = self._ctx.checkpoints.create(CHECKPOINT, message=f"{many(len(findings), 'finding')} by all agents")
            self._tell(Checkpointed(made.name))
        self._release(WRAP_UP)

    def _wrapped_up(self) -> bool:
        return any(checkpoint.name == CHECKPOINT for checkpoint in self._ctx.checkpoints.list())

    # -- small things -------------------------------------------------------------------------------------------------

    def _claim(self, name: str, why: str) -> bool:
        config = self._ctx.store.config
        id = new_ulid(config.clock(), config.rng)
        try:
            self._ctx.claims.claim(name, ttl_s=CLAIM_TTL_S, message=why, id=id)
        except ClaimHeld:
            return False
        self._tell(Acknowledged(id, f"claim {name}"))
        return True

    def _release(self, name: str) -> None:
        self._acknowledged(self._ctx.claims.release(name), f"release {name}")

    def _acknowledged(self, written: Written | None, what: str) -> None:
        if written is not None and written.changed:
            self._tell(Acknowledged(written.id, what))

    def _summary(self) -> Mapping[str, Any]:
        try:
            summary: Mapping[str, Any] = self._ctx.get(SUMMARY).json()
            return summary
        except EntryNotFound:
            return {}

    def _author(self, path: str) -> str | None:
        """Who wrote the finding about a file; None while there is none."""
        if path not in self._authors:
            try:
                self._authors[path] = self._ctx.get(self._keys[path]).json()["by"]
            except EntryNotFound:
                return None
        return self._authors[path]


def _readable(item: Item) -> bool:
    return item.size_bytes is not None and item.size_bytes <= MAX_READ_BYTES
