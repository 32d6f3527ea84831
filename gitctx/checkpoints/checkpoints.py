"""Checkpoints: annotated tags that name a content, and restoring that content as a new write.

A tag points at a commit without parents whose tree is the content. So it never pins old history, and
`git diff before-refactor context` works. A checkpoint never moves.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gitctx.errors import (
    AlreadyExists,
    CheckpointNotFound,
    EntryNotFound,
    GitctxError,
    GitFailed,
    LockTimeout,
    OutcomeUnknown,
)
from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.keys import CLAIMS_PREFIX, check_checkpoint_name, check_message, check_prefix, check_write_id
from gitctx.format.objects import Object, make_object
from gitctx.repository import RefLocked, RefMoved, SwapUnsettled
from gitctx.repository.translate import from_os
from gitctx.store import Store, View
from gitctx.store.edits import Edit, PutEtag, Remove, digest_of, plan_edits
from gitctx.store.host import hostname
from gitctx.store.request import Planned, Request
from gitctx.values import Change, Checkpoint, Revision, SessionId, Written

_TAGS = "refs/tags/"
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ENOENT}
"""Another name is being made or deleted that is a folder of this one, or the other way round."""


class Checkpoints:
    """The checkpoints of a store, as one actor makes them."""

    def __init__(self, store: Store, *, actor: str, session: str | None = None) -> None:
        self._store = store
        self._actor = actor
        self._session = session

    def create(self, name: str, *, message: str = "", at: str | None = None, id: str | None = None) -> Checkpoint:
        """Name the content at a revision (None: now). Of several who create one name, exactly one wins.

        Raises InvalidName, RevisionNotFound, AlreadyExists (unless the same `id` made it), DiskFull.
        """
        check_checkpoint_name(name)
        text = check_message(message)
        config, repository = self._store.config, self._store.repository
        revision = self._store.resolve(at) if at is not None else self._store.context.head()
        now = config.clock()
        write_id = check_write_id(id) if id is not None else new_ulid(now, config.rng)
        commit, tag = self._objects(name, text, revision, write_id, now)
        if config.durability == "durable":
            repository.sync_everything()
        self._refuse_name_clash(name)
        try:
            self._publish(name, commit, tag, write_id, now)
        except RefMoved:
            return self._made_before(name, id, revision if at is not None else None)
        return self.show(name)

    def _objects(self, name: str, text: str, revision: str, write_id: str, now: datetime) -> tuple[Object, Object]:
        """The commit that holds the content, and the tag on it."""
        who = messages.actor_identity(self._actor, now)
        host = messages.host_identity(hostname(), now)
        trailers = [(messages.OP, "checkpoint")]
        if self._session is not None:
            trailers.append((messages.SESSION, self._session))
        trailers += [(messages.ID, write_id), (messages.REVISION, revision)]
        body = messages.build_message(f"checkpoint {name}", text, trailers)
        tree = self._store.repository.read_commit(revision).tree
        commit = make_object(
            "commit", messages.encode_commit(tree=tree, parents=[], author=who, committer=host, message=body)
        )
        subject, _, rest = text.partition("\n")
        tag_text = messages.build_message(subject or f"checkpoint {name}", rest.strip(), trailers)
        return commit, make_object(
            "tag", messages.encode_tag(target=commit.oid, name=name, tagger=who, message=tag_text)
        )

    def _publish(self, name: str, commit: Object, tag: Object, write_id: str, now: datetime) -> None:
        """Make the tag, if there is none of that name. Raises RefMoved if there is."""
        config, repository = self._store.config, self._store.repository
        durable = config.durability == "durable"
        host = messages.host_identity(hostname(), now)
        when_spent: GitctxError
        deadline = config.monotonic() + config.retry.deadline_s
        delays = config.retry.delays(config.rng)
        while True:
            try:
                repository.publish(
                    [commit, tag],
                    _TAGS + name,
                    tag.oid,
                    expected=None,
                    who=f"{host.name} <{host.email}>",
                    message=f"gitctx: checkpoint {name}",
                    at_s=int(now.timestamp()),
                    durable=durable,
                )
                return
            except RefLocked as outcome:
                if self._clear_stale_lock(outcome.lock):
                    continue
                when_spent = LockTimeout(
                    f"{outcome.lock} was held until the deadline", hint="nothing was written; try again"
                )
            except SwapUnsettled as error:
                raise OutcomeUnknown(
                    f"the disk failed when '{name}' was being published: {error}", id=write_id
                ) from error
            except OSError as error:
                self._refuse_name_clash(name)
                when_spent = from_os(error, repository.path)
                if error.errno not in _IN_THE_WAY:
                    raise when_spent from error
            delay = next(delays, None)
            if delay is None or config.monotonic() + delay > deadline:
                raise when_spent
            config.sleep(delay)

    def _refuse_name_clash(self, name: str) -> None:
        self._store.repository.refs.refuse_name_clash(_TAGS + name, self._store.repository.ref_names(_TAGS))

    def _clear_stale_lock(self, lock: Path) -> bool:
        refs = self._store.repository.refs
        if refs.clear_stale_lock(lock, alone=False):
            return True
        if not refs.is_old(lock):
            return False
        with self._store.context.turn() as turn:
            return refs.clear_stale_lock(lock, alone=turn.alone)

    def _made_before(self, name: str, id: str | None, revision: str | None) -> Checkpoint:
        """The checkpoint of that name, if the very same call made it before. Raises AlreadyExists if not."""
        existing = self._read(name)
        if existing is None:
            what = "a tag"
        elif id is not None and self._id_of(name) == id and revision in (None, existing.revision):
            return existing
        else:
            what = "a checkpoint"
        said = f" (of {existing.revision[:10]}, by {existing.actor})" if existing is not None else ""
        raise AlreadyExists(
            f"there is {what} '{name}' already{said}",
            hint="checkpoints never move: choose another name, or delete it first",
            details={"name": name, "revision": existing.revision if existing is not None else None},
        )

    def list(self) -> Sequence[Checkpoint]:
        """All checkpoints, oldest first. Tags that aren't checkpoints are left out (`verify` names them)."""
        found = [self._read(name.removeprefix(_TAGS)) for name in self._store.repository.ref_names(_TAGS)]
        return sorted((item for item in found if item is not None), key=lambda item: (item.created_at, item.name))

    def show(self, name: str) -> Checkpoint:
        """One checkpoint. Raises InvalidName, CheckpointNotFound."""
        found = self._read(check_checkpoint_name(name))
        if found is None:
            raise CheckpointNotFound(
                f"there is no checkpoint '{name}'",
                hint="`gitctx checkpoint list` shows those there are",
                details={"name": name},
            )
        return found

    def delete(self, name: str) -> Checkpoint:
        """Delete a checkpoint (with git itself). What it was. Raises CheckpointNotFound.

        Of several who delete it one succeeds.
        """
        found = self.show(name)
        oid = self._store.repository.read_ref(_TAGS + name)
        if oid is None:  # git would take an empty expectation for none, and succeed
            raise _deleted(name)
        try:
            self._store.repository.delete_ref(_TAGS + name, expected=oid)
        except GitFailed:
            if self._store.repository.read_ref(_TAGS + name) is None:
                raise _deleted(name) from None
            raise
        return found

    def changes_since(self, name: str, *, only: str = "") -> Sequence[Change]:
        """How the entries now differ from a checkpoint, sorted by key."""
        before = self._store.context.view(self.show(name).commit)
        return before.changes_to(self._store.context.view(), check_prefix(only).rstrip("/"))

    def restore(
        self,
        name: str,
        *,
        only: str = "",
        message: str = "",
        id: str | None = None,
        expected_head: str | None = None,
    ) -> Written:
        """Make the content what it was at a checkpoint, by a new write: all of it, or what lies below the folder
        `only`.

        Claims stay as they are now: a claim of the past holds nothing. Raises CheckpointNotFound, and EntryNotFound if
        neither the checkpoint nor the context has anything below `only`.
        """
        checkpoint = self.show(name)
        folder = check_prefix(only).rstrip("/")
        target = self._store.context.view(checkpoint.commit)
        if expected_head is not None:
            expected_head = self._store.resolve(expected_head)

        def plan(view: View) -> Planned:
            if folder and not any(True for each in (view, target) for _ in each.etags(folder)):
                raise EntryNotFound(
                    f"neither the checkpoint '{name}' nor the context has anything at '{folder}'",
                    hint=f"`gitctx ls --at {name}` lists what the checkpoint has",
                )
            return self._plan_restore(view, target, folder, expected_head)

        if self._store.config.durability == "durable":
            # Nothing but the tag may reach the checkpoint's blobs, and whoever made it may have synced nothing.
            self._store.repository.sync_everything()
        subject = f"restore {name}" + (f" below {folder}/" if folder else "")
        return self._store.context.write(
            Request(
                op="restore",
                subject=subject,
                actor=self._actor,
                plan=plan,
                message=check_message(message),
                session=self._session,
                id=check_write_id(id) if id is not None else None,
                digest=digest_of("restore", [], commit=checkpoint.commit, folder=folder),
                trailers=((messages.REVISION, checkpoint.revision),),
            )
        )

    def _plan_restore(self, view: View, target: View, folder: str, expected_head: str | None) -> Planned:
        edits: list[Edit] = []
        for change in view.changes_to(target, folder):
            if change.key.startswith(CLAIMS_PREFIX):
                continue
            edits.append(PutEtag(change.key, change.after) if change.after else Remove(change.key, None, True))
        return plan_edits(view, edits, bases={}, strategy=None, expected_head=expected_head)

    def _read(self, name: str) -> Checkpoint | None:
        oid = self._store.repository.read_ref(_TAGS + name)
        tag = self._store.repository.read_tag(oid) if oid is not None else None
        if tag is None:
            return None
        revision = tag.trailers.get(messages.REVISION, (tag.target,))[0]
        session = tag.trailers.get(messages.SESSION)
        message = tag.subject if not tag.message else f"{tag.subject}\n\n{tag.message}"
        return Checkpoint(
            name=name,
            revision=Revision(revision),
            commit=Revision(tag.target),
            created_at=tag.tagger.at,
            message="" if message == f"checkpoint {name}" else message,
            actor=tag.tagger.name,
            session=SessionId(session[0]) if session else None,
        )

    def _id_of(self, name: str) -> str | None:
        oid = self._store.repository.read_ref(_TAGS + name)
        tag = self._store.repository.read_tag(oid) if oid is not None else None
        return tag.trailers.get(messages.ID, (None,))[0] if tag is not None else None


def _deleted(name: str) -> CheckpointNotFound:
    return CheckpointNotFound(
        f"the checkpoint '{name}' was deleted by somebody else", hint="`gitctx checkpoint list` shows those there are"
    )
