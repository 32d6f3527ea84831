"""Writing to the context: each method is one write, made by compare-and-swap."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from gitctx.context.batch import Batch, checked_move
from gitctx.context.companions import keeping_small
from gitctx.context.reading import Reading
from gitctx.errors import InvalidInput, InvalidRevision
from gitctx.format.documents import new_ulid, to_bytes
from gitctx.format.keys import (
    CLAIMS_PREFIX,
    SETTINGS_KEY,
    check_key,
    check_message,
    check_prefix,
    check_write_id,
)
from gitctx.format.objects import blob_id
from gitctx.format.settings import edit_settings
from gitctx.store import Store, View
from gitctx.store.edits import (
    Append,
    Bases,
    Edit,
    Put,
    Remove,
    StrategyChoice,
    Update,
    digest_of,
    keys_of,
    plan_edits,
    weight_of,
)
from gitctx.store.parcel import is_portable, pack_plan, unpack_plan
from gitctx.store.request import Planned, Request
from gitctx.values import EntryEtag, Etag, Json, Revision

if TYPE_CHECKING:
    from types import TracebackType

    from gitctx.sessions import Machine
    from gitctx.values import Written

Form = Literal["json", "text", "bytes"]


class Context(Reading):
    """The shared entries of one store, for one actor (and perhaps one session).

    Methods that write return a `Written`; until they return nothing is acknowledged, and when they raise, the error's
    `changed` says whether anything happened. All of them take `message` (why), `id` (the idempotency key: the same id
    with the same change happens once) and `claim` (refused unless this session holds that claim). Safe in threads.
    """

    def __init__(
        self,
        store: Store,
        *,
        actor: str,
        session: str | None = None,
        machine: Machine | None = None,
        share_bases: bool = False,
        dry_run: bool = False,
    ) -> None:
        super().__init__(store, actor=actor, session=session, machine=machine, share_bases=share_bases, dry_run=dry_run)
        self.store.context.make_plan = self._make_plan
        if self.store.repository.on_growth is None:
            self.store.repository.on_growth = keeping_small(self.store, actor=self.actor)

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def put(
        self,
        key: str,
        value: Json | bytes | str,
        *,
        message: str = "",
        if_match: str | None = None,
        if_absent: bool = False,
        expected_head: str | None = None,
        base: str | None = None,
        strategy: StrategyChoice = None,
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Put a value at a key: bytes as they are, text as UTF-8, anything else as canonical JSON.

        With `if_match` only over that etag, with `if_absent` only where there is no entry, with `expected_head` only
        on that head: else PreconditionFailed. If the entry changed since the base (the revision `base`, else what this
        context last saw), the strategy settles it. Raises InvalidKey, EntryTooLarge, PreconditionFailed, MergeConflict
        and what `Branch.write` raises.
        """
        if if_match is not None and if_absent:
            raise InvalidInput("if_match and if_absent contradict each other", hint="pass one of them")
        edit = Put(check_key(key), to_bytes(value), if_match, if_absent)
        return self._write(
            "put", f"put {key}", [edit], message, id, claim, expected_head=expected_head, base=base, strategy=strategy
        )

    def update(
        self,
        key: str,
        function: Callable[[Any], Any],
        *,
        form: Form = "json",
        message: str = "",
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Put what `function` makes of the value at a key, called again on the newer value until it fits.

        It gets the value as JSON (or as text or bytes, see `form`), or None if there is no entry; returning None
        removes the entry. It may be called several times, so it should have no effects of its own.
        """

        def on_bytes(data: bytes | None) -> bytes | None:
            after = function(None if data is None else _decoded(key, data, form))
            return None if after is None else to_bytes(after)

        return self._write("update", f"update {key}", [Update(check_key(key), on_bytes)], message, id, claim)

    def append(
        self, key: str, text: str | bytes, *, message: str = "", claim: str | None = None, id: str | None = None
    ) -> Written:
        """Add a line (or several) at the end of an entry, which is made if there is none. Never in conflict."""
        return self._write("append", f"append {key}", [Append(check_key(key), to_bytes(text))], message, id, claim)

    def add(
        self,
        prefix: str,
        value: Json | bytes | str,
        *,
        suffix: str = ".md",
        message: str = "",
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Make a new entry `<prefix>/<ULID><suffix>`; `.key` of the result tells its key."""
        config = self.store.config
        name = check_write_id(id) if id is not None else new_ulid(config.clock(), config.rng)
        folder = check_prefix(prefix, reserved=False)
        key = check_key(f"{folder}{name}{suffix}")
        return self._write("add", f"add {key}", [Put(key, to_bytes(value), None, True)], message, id, claim)

    def remove(
        self,
        key: str,
        *,
        if_match: str | None = None,
        missing_ok: bool = False,
        expected_head: str | None = None,
        base: str | None = None,
        strategy: StrategyChoice = None,
        message: str = "",
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Remove the entry at a key. Raises EntryNotFound if there is none (unless `missing_ok`), and what `put`
        raises.
        """
        edit = Remove(check_key(key), if_match, missing_ok)
        return self._write(
            "remove",
            f"remove {key}",
            [edit],
            message,
            id,
            claim,
            expected_head=expected_head,
            base=base,
            strategy=strategy,
        )

    def move(
        self,
        source: str,
        target: str,
        *,
        overwrite: bool = False,
        message: str = "",
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Move an entry; a folder, if `source` ends in a slash. Raises EntryNotFound, AlreadyExists (unless
        `overwrite`).
        """
        edit = checked_move(source, target, overwrite)
        return self._write("move", f"move {source} to {target}", [edit], message, id, claim)

    @contextmanager
    def batch(
        self,
        message: str = "",
        *,
        expected_head: str | None = None,
        strategy: StrategyChoice = None,
        claim: str | None = None,
        id: str | None = None,
    ) -> Iterator[Batch]:
        """Collect edits and make them one write when the block ends; nothing is written if it raises.

        Each edit sees what the ones before it left. The acknowledgement is the batch's `written`.
        """
        batch = Batch()
        yield batch
        batch.written = self.apply(
            batch.edits, message=message, expected_head=expected_head, strategy=strategy, claim=claim, id=id
        )

    def apply(
        self,
        edits: Sequence[Edit],
        *,
        message: str = "",
        expected_head: str | None = None,
        strategy: StrategyChoice = None,
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Make several edits (see `gitctx.store.edits`) one write."""
        keys = list(dict.fromkeys(key for edit in edits for key in keys_of(edit)))
        shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        subject = f"batch {shown}" if keys else "batch"
        return self._write(
            "batch", subject, list(edits), message, id, claim, expected_head=expected_head, strategy=strategy
        )

    def undo(
        self,
        revision: str,
        *,
        strategy: StrategyChoice = "fail",
        message: str = "",
        claim: str | None = None,
        id: str | None = None,
    ) -> Written:
        """Take back what one write did, as a new write. Where an entry changed since, the strategy settles it.

        Raises MergeConflict (with the default strategy), InvalidRevision for a commit without parent.
        """
        found = self.store.resolve(revision)
        write = self.store.history.write(found)
        if not write.parents:
            raise InvalidRevision(
                f"{found[:10]} is where the store begins: there is nothing to undo", hint="see `gitctx log`"
            )
        if not self.store.repository.is_ancestor(found, self.head):
            raise InvalidRevision(
                f"{found[:10]} isn't a write of the context's history",
                hint="`gitctx log` lists those that can be undone",
            )
        edits, bases = self._reverse(found, Revision(write.parents[0]))
        return self._write(
            "undo",
            f"undo {found[:10]} ({write.subject})"[:200],
            edits,
            message,
            id,
            claim,
            bases=bases,
            strategy=strategy,
            undoes=found,
        )

    def configure(self, name: str, value: Any, *, message: str = "", id: str | None = None) -> Written:
        """Change one of the store's settings (None: back to its default). Raises ConfigInvalid."""
        edit = Update(SETTINGS_KEY, lambda data: edit_settings(data or b"", name, value))
        return self._write("config", f"config {name}", [edit], message, id, None, setting=[name, value])

    def replace_settings(
        self,
        data: bytes | None,
        *,
        if_match: str | None = None,
        if_absent: bool = False,
        message: str = "",
        id: str | None = None,
    ) -> Written:
        """Put a whole settings file (None: none, all defaults). With `if_match` only over that one, with `if_absent`
        only where there is none.
        """
        edit: Edit = Remove(SETTINGS_KEY, if_match, True)
        if data is not None:
            edit = Put(SETTINGS_KEY, data, if_match, if_absent)
        return self._write("config", "config", [edit], message, id, None)

    def _reverse(self, found: Revision, parent: Revision) -> tuple[Sequence[Edit], dict[str, Etag | None]]:
        before, after = self.store.context.view(parent), self.store.context.view(found)
        edits: list[Edit] = []
        bases: dict[str, Etag | None] = {}
        for change in before.changes_to(after):
            if change.key.startswith(CLAIMS_PREFIX):
                raise InvalidRevision(
                    f"{found[:10]} made or ended a claim, and claims aren't undone",
                    hint="`gitctx release` ends a claim, `gitctx claim` makes one",
                )
            bases[change.key] = change.after
            if change.before is None:
                edits.append(Remove(change.key, None, True))
            else:
                edits.append(Put(change.key, before.blob(change.before)))
        return edits, bases

    def _write(
        self,
        op: str,
        subject: str,
        edits: Sequence[Edit],
        message: str,
        id: str | None,
        claim: str | None,
        *,
        expected_head: str | None = None,
        base: str | None = None,
        bases: dict[str, Etag | None] | None = None,
        strategy: StrategyChoice = None,
        **more: Any,
    ) -> Written:
        if id is not None:
            check_write_id(id)
        if expected_head is not None:
            expected_head = self.store.resolve(expected_head)
        keys = [key for edit in edits for key in keys_of(edit)]
        if bases is None:
            bases = dict(self._bases.known(keys))
            if base is not None:
                view = self._view(base)
                bases = {key: view.etag(key) for key in keys}
        known = bases
        portable = claim is None and is_portable(edits, strategy)

        def plan(view: View) -> Planned:
            if self.session is not None:
                self.sessions.require_active(self.session)
            if claim is not None:
                self.claims.guard(view, claim)
            return plan_edits(view, edits, bases=known, strategy=strategy, expected_head=expected_head)

        written = self.store.context.write(
            Request(
                op=op,
                subject=subject,
                actor=self.actor,
                plan=plan,
                message=check_message(message),
                session=self.session,
                id=id,
                digest=digest_of(op, edits, **more),
                parcel=(lambda: pack_plan(edits, known, strategy, expected_head)) if portable else None,
                weight=weight_of(edits),
            )
        )
        self._bases.remember_all(_known_after(written.entries, edits, known))
        return written

    def _make_plan(self, parcel: bytes, session: str | None) -> Callable[[View], Planned]:
        """The plan of a write that another program asks for, by whatever actor and session of this store."""
        edits, bases, strategy, expected_head = unpack_plan(parcel)

        def plan(view: View) -> Planned:
            if session is not None:
                self.sessions.require_active(session)
            return plan_edits(view, edits, bases=bases, strategy=strategy, expected_head=expected_head)

        return plan


def _known_after(entries: Sequence[EntryEtag], edits: Sequence[Edit], bases: Bases) -> list[EntryEtag]:
    """What a writer knows of entries that it wrote. Where a strategy made something else of its value, it hasn't read
    that yet: it still builds on its base, so that what others added isn't overwritten unseen.
    """
    last = {key: edit for edit in edits for key in keys_of(edit)}
    known: list[EntryEtag] = []
    for entry in entries:
        edit = last.get(entry.key)
        settled = isinstance(edit, Put) and entry.key in bases and blob_id(edit.value) != entry.etag
        known.append(EntryEtag(entry.key, bases[entry.key]) if settled else entry)
    return known


def _decoded(key: str, data: bytes, form: Form) -> Any:
    try:
        if form == "bytes":
            return data
        return data.decode("utf-8") if form == "text" else json.loads(data)
    except ValueError as error:
        raise InvalidInput(
            f"the value of '{key}' isn't {'JSON' if form == 'json' else 'UTF-8 text'}: {error}",
            hint="pass form='bytes' (or 'text') to update it as it is",
        ) from error
