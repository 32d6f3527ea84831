"""The face of recovery: scan, apply, undo."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gitctx.config import Config
from gitctx.errors import (
    BrokenHistory,
    CorruptStore,
    GitctxError,
    GitFailed,
    LockTimeout,
    NotAStore,
    ObjectMissing,
    RecoveryImpossible,
    RevisionNotFound,
    StorageError,
)
from gitctx.format import messages
from gitctx.format.documents import new_ulid
from gitctx.format.keys import CLAIMS_PREFIX, check_message
from gitctx.recovery.acting import OP, RESCUE, Acting
from gitctx.recovery.judging import Memory
from gitctx.recovery.survey import BRANCHES, survey
from gitctx.repository import RefMoved, Repository, stale_locks
from gitctx.repository.translate import from_os, translated
from gitctx.store import Store
from gitctx.store.branch import Branch
from gitctx.store.edits import Edit, PutEtag, Remove, digest_of, plan_edits
from gitctx.store.identity import CONTEXT
from gitctx.store.queue import Turn
from gitctx.store.request import Planned, Request
from gitctx.store.view import View
from gitctx.values import Etag, Recovered, RecoveryScan, Written

_ROUNDS = 5
_PATIENCE_S = 60.0
_NAP_S = 0.02


class Recovery:
    """Recovery of the store at `path`, which may be damaged: it is opened only as far as that goes."""

    def __init__(
        self, path: Path, config: Config | None = None, *, actor: str | None = None, session: str | None = None
    ) -> None:
        self._path = path
        self._config = config or Config()
        self._actor = actor
        self._session = session
        self._memory = Memory()

    def scan(self, *, full: bool = False) -> RecoveryScan:
        """What is damaged, and what a recovery would make of it. Changes nothing.

        Every file with objects is read and hashed, and so is the head's content; that nothing is missing below older
        revisions is looked at if a file is broken, and with `full`. Raises StoreNotFound, NotAStore, StoreNotOwned,
        FormatUnsupported, and StorageError if the machine fails: no file handles, no memory, no permission.
        """
        with _named_errors(self._path), survey(self._path, self._config, self._memory, full=full) as found:
            return found.report()

    def apply(self, *, full: bool = False) -> Recovered:
        """Recover; does nothing to a healthy store. Writers may go on meanwhile.

        Of several who recover at the same time one does, and the others find a healthy store. Raises what `scan`
        raises, RecoveryImpossible (nothing that could be built on holds together; nothing was changed), LockTimeout,
        DiskFull, StoreReadOnly.
        """
        with _named_errors(self._path), self._alone():
            with survey(self._path, self._config, self._memory, full=full) as found:
                report = found.report()
                if report.healthy:
                    return Recovered("", False, None, report)
                if not found.context.start:
                    raise _impossible(report)
                acting = self._acting()
                repository = acting.open(found)
                with suppress(RefMoved), self._turns(repository) as turns:
                    acting.act(found, turns)
                    return acting.finish(report)
            return self._apply_in_turn(acting, repository, report, full=full)

    def clear_locks(self) -> Sequence[str]:
        """Clear the locks that killed programs left, and nothing else: no commit is made. Their paths in the store.

        Raises StoreNotFound, NotAStore, StoreNotOwned, LockTimeout, StorageError.
        """
        with _named_errors(self._path), self._alone():
            repository = Repository.open(self._path, git_timeout_s=self._config.git_timeout_s)
            with self._turns(repository) as turns:
                alone = all(turn.alone for turn in turns.values())
                return stale_locks.clear_all(repository.refs, alone=alone)

    def _acting(self) -> Acting:
        id = new_ulid(self._config.clock(), self._config.rng)
        return Acting(self._path, self._config, id, actor=self._actor, session=self._session)

    def _apply_in_turn(self, acting: Acting, repository: Repository, first: RecoveryScan, *, full: bool) -> Recovered:
        """Somebody wrote since the store was looked at: look again while the writers wait."""
        for _ in range(_ROUNDS):
            with (
                self._turns(repository) as turns,
                survey(self._path, self._config, self._memory, full=full, own=acting.id) as found,
            ):
                report = found.report()
                if not found.context.start:
                    raise _impossible(report)
                known = [each for each in first.damage if each not in report.damage]
                found.findings[:0] = known
                with suppress(RefMoved):
                    acting.act(found, turns)
                    return acting.finish(found.report())
        raise LockTimeout(
            f"the store {self._path} kept changing during the recovery", hint="nothing is lost; recover again"
        )

    @contextmanager
    def _turns(self, repository: Repository) -> Iterator[dict[str, Turn]]:
        """A place in the writer queue of each branch."""
        with ExitStack() as stack:
            yield {name: stack.enter_context(Branch(repository, name, self._config).turn()) for name in BRANCHES}

    def undo(self, id: str | None = None, *, message: str = "") -> Written:
        """Take back what a recovery (the last one, unless its id is given) made of the entries, as a new write.

        What stood in for unreadable values goes, and so does what was merged in; entries that changed since the
        recovery stop it (MergeConflict). Claims, mended files and the history stay as they are. Raises
        RevisionNotFound if there was no such recovery.
        """
        store = Store.open(self._path, self._config)
        revision = self._find(store, id)
        recovery = store.repository.read_commit(revision).trailer(messages.ID)
        kept = store.repository.read_ref(f"{RESCUE}/{recovery}/{CONTEXT}")
        if kept is None:
            raise RevisionNotFound(
                f"the head that the recovery {recovery} replaced isn't kept any more",
                hint=f"`gitctx show {revision[:10]}` tells what it did; `gitctx undo` takes a single write back",
            )
        before, after = store.context.view(kept), store.context.view(revision)
        edits: list[Edit] = []
        bases: dict[str, Etag | None] = {}
        for change in after.changes_to(before):
            if not change.key.startswith(CLAIMS_PREFIX):
                bases[change.key] = change.before
                edits.append(PutEtag(change.key, change.after) if change.after else Remove(change.key, None, True))

        def plan(view: View) -> Planned:
            return plan_edits(view, edits, bases=bases, strategy="fail", expected_head=None)

        return store.context.write(
            Request(
                op="recover-undo",
                subject=f"undo recovery {recovery}",
                actor=self._actor or "gitctx",
                plan=plan,
                message=check_message(message),
                session=self._session,
                digest=digest_of("recover-undo", [], undoes=revision),
            )
        )

    def _find(self, store: Store, id: str | None) -> str:
        for revision, commit in store.repository.walk(store.context.head()):
            if commit.trailer(messages.OP) == OP and id in (None, commit.trailer(messages.ID), revision):
                return revision
        raise RevisionNotFound(
            f"no recovery {id} in the history of this store" if id else "this store was never recovered",
            hint="`gitctx log` shows recoveries as `recover context`",
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one recovery at a time on this machine; freed by the kernel when its process dies."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = self._config.monotonic() + _PATIENCE_S
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._config.monotonic() > deadline:
                        raise LockTimeout(
                            f"another program is recovering {self._path}", hint="wait for it, then look again"
                        ) from None
                    self._config.sleep(_NAP_S)
            yield
        finally:
            os.close(folder)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Run the block; what the machine refuses comes out as StorageError."""
    try:
        with translated(path):
            yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "start new thread" not in str(error):
            raise
        raise from_os(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), path) from error


def _impossible(report: RecoveryScan) -> RecoveryImpossible:
    tried = [{"source": each.source, "revision": each.revision, "verdict": each.verdict} for each in report.tried]
    return RecoveryImpossible(
        "nothing of the context's history holds together",
        hint="a clone, a backup or a remote may have it: `git fetch` it into the store, then recover again",
        details={"tried": tried},
    )


def may_be_damage(error: BaseException) -> bool:
    """Whether an error may come from a damaged store, so that a scan is worth while."""
    if isinstance(error, (BrokenHistory, ObjectMissing, NotAStore)):
        return True
    if type(error) in (StorageError, GitFailed, CorruptStore):
        assert isinstance(error, GitctxError)
        return not error.details.get("errno")
    return False
