"""Every error that gitctx raises.

The class alone answers three questions: did anything change, may the call be repeated, whose fault is it?

    GitctxError
      InvalidInput (ValueError)      the caller's input is refused; nothing changed
        InvalidKey  InvalidName  InvalidRevision  EntryTooLarge  SecretFound  ConfigInvalid  IdReused
      NotFound (LookupError)         what was named isn't there; nothing changed
        StoreNotFound (NotAStore)  EntryNotFound  RevisionNotFound  CheckpointNotFound  SessionNotFound  ClaimNotFound
          RemoteNotFound  ConflictNotFound
      WriteRejected                  nothing was written and nothing will be; safe to try again
        Conflict
          PreconditionFailed  MergeConflict  ClaimHeld  AlreadyExists
        RetriesExhausted (RuntimeError)  LockTimeout (TimeoutError)  Withdrawn
      WaitTimeout (TimeoutError)     what was waited for didn't come true in time; nothing changed
      OutcomeUnknown                 the write may or may not have happened; repeat it with the same id
      SessionError
        SessionEnded  LeaseLost  SessionTaken  SessionNotDead  ClaimLost
      RemoteError                    RemoteUnreachable  RemoteRejected  RemoteAuthFailed  StoresApart
      StorageError (OSError)         the machine failed: disk, permissions, git
        ObjectMissing  DiskFull  GitFailed  StoreNotOwned  StoreReadOnly
      CorruptStore                   what is on disk contradicts itself
        FormatUnsupported  BrokenHistory  RecoveryImpossible
      MissingExtra (ImportError)     an optional part isn't installed

`code` is stable and machine readable, `hint` says what to do, `changed` is "no", "yes" or "unknown", `retryable` says
whether the very same call may succeed later, `details` holds typed facts for programs, `exit_code` is the command's.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Changed = Literal["no", "yes", "unknown"]

WAY_OUT = "`gitctx recovery scan` tells what is damaged, `gitctx recovery apply` restores what can be restored"
"""What to do about a damaged store."""


class GitctxError(Exception):
    """Root of all gitctx errors.

    `message` says what happened in one sentence; `hint` what to do about it (may be empty); `details` are JSON values.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    changed: Changed = "no"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = details or {}

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.details), {"changed": self.changed})

    def to_json(self) -> dict[str, Any]:
        """The error as the command prints it: code, message, hint, changed, retryable, details."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "changed": self.changed,
            "retryable": self.retryable,
            "details": self.details,
        }


def _rebuild(cls: type[GitctxError], message: str, hint: str, details: dict[str, Any]) -> GitctxError:
    error = cls.__new__(cls)
    GitctxError.__init__(error, message, hint=hint, details=details)
    return error


class InvalidInput(GitctxError, ValueError):
    """The caller's input is refused."""

    code = "invalid_input"
    exit_code = 5


class InvalidKey(InvalidInput):
    """A key breaks the rules for keys, or is an entry where a folder is needed (or the other way round)."""

    code = "invalid_key"


class InvalidName(InvalidInput):
    """The name of an actor, checkpoint, claim or session breaks its rules."""

    code = "invalid_name"


class InvalidRevision(InvalidInput):
    """A revision is written in a form that can't name one, or names several."""

    code = "invalid_revision"


class EntryTooLarge(InvalidInput):
    """The value is larger than the store's limit (`limits.max_value_bytes`)."""

    code = "entry_too_large"


class SecretFound(InvalidInput):
    """The value looks like a credential."""

    code = "secret_found"


class ConfigInvalid(InvalidInput):
    """A setting is unknown or has a value that it can't have."""

    code = "config_invalid"


class IdReused(InvalidInput):
    """The id names an earlier write that made another change."""

    code = "id_reused"


class NotFound(GitctxError, LookupError):
    """What was named isn't there."""

    code = "not_found"
    exit_code = 3


class StoreNotFound(NotFound):
    """No store at that place."""

    code = "store_not_found"


class NotAStore(StoreNotFound):
    """There is something at that place, but no gitctx store."""

    code = "not_a_store"


class EntryNotFound(NotFound):
    """No entry at that key."""

    code = "entry_not_found"


class RevisionNotFound(NotFound):
    """No such revision in this store."""

    code = "revision_not_found"


class CheckpointNotFound(NotFound):
    """No checkpoint of that name."""

    code = "checkpoint_not_found"


class SessionNotFound(NotFound):
    """No session of that id."""

    code = "session_not_found"


class ClaimNotFound(NotFound):
    """No claim of that name."""

    code = "claim_not_found"


class RemoteNotFound(NotFound):
    """The store has no remote of that name."""

    code = "remote_not_found"


class ConflictNotFound(NotFound):
    """There is no open conflict of that id, or about that key."""

    code = "conflict_not_found"


class WriteRejected(GitctxError):
    """Nothing was written and nothing will be."""

    code = "write_rejected"
    exit_code = 4
    retryable = True


class Conflict(WriteRejected):
    """The store holds something else than the caller expected."""

    code = "conflict"
    retryable = False


class PreconditionFailed(Conflict):
    """`if_match`, `if_absent` or `expected_head` doesn't hold."""

    code = "precondition_failed"


class MergeConflict(Conflict):
    """A key changed on both sides since the base, and the strategy doesn't settle it.

    `base`, `ours` and `theirs` are blob ids (etags), or None where the key is absent on that side.
    """

    code = "merge_conflict"

    def __init__(
        self, message: str, *, key: str, base: str | None, ours: str | None, theirs: str | None, hint: str = ""
    ) -> None:
        details = {"key": key, "base": base, "ours": ours, "theirs": theirs}
        super().__init__(message, hint=hint, details=details)

    @property
    def key(self) -> str:
        """The key in conflict."""
        return str(self.details["key"])

    @property
    def base(self) -> str | None:
        """Etag at the base."""
        return self.details["base"]  # type: ignore[no-any-return]

    @property
    def ours(self) -> str | None:
        """Etag that the caller wanted to write."""
        return self.details["ours"]  # type: ignore[no-any-return]

    @property
    def theirs(self) -> str | None:
        """Etag at the head."""
        return self.details["theirs"]  # type: ignore[no-any-return]


class ClaimHeld(Conflict):
    """Another session holds the claim; `details` says who and whether they live."""

    code = "claim_held"
    retryable = True


class AlreadyExists(Conflict):
    """There is one of that name already."""

    code = "already_exists"


class RetriesExhausted(WriteRejected, RuntimeError):
    """The retry policy is spent; the write surely didn't and won't happen."""

    code = "retries_exhausted"
    exit_code = 6


class LockTimeout(WriteRejected, TimeoutError):
    """Something else held the branch's lock file until the deadline."""

    code = "lock_timeout"
    exit_code = 6


class Withdrawn(WriteRejected):
    """The caller took the call back before it began: it was cancelled, or its context was closed."""

    code = "withdrawn"


class WaitTimeout(GitctxError, TimeoutError):
    """What was waited for didn't come true in time."""

    code = "wait_timeout"
    exit_code = 6
    retryable = True


class OutcomeUnknown(GitctxError):
    """The write may or may not have happened: repeat it with the same `id`, and it happens once."""

    code = "outcome_unknown"
    exit_code = 6
    changed: Changed = "unknown"
    retryable = True

    def __init__(self, message: str, *, id: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or f"repeat the call with --id {id}", details={"id": id})

    @property
    def id(self) -> str:
        """The write's id."""
        return str(self.details["id"])


class SessionError(GitctxError):
    """The session can't do that."""

    code = "session_error"
    exit_code = 4


class SessionEnded(SessionError):
    """The session has ended."""

    code = "session_ended"


class LeaseLost(SessionError):
    """The session's lease was taken away from this process."""

    code = "lease_lost"


class SessionTaken(SessionError):
    """Another session has recovered this one."""

    code = "session_taken"


class SessionNotDead(SessionError):
    """The session lives, or nothing proves that it doesn't: it isn't recovered. `details` hold the evidence."""

    code = "session_not_dead"


class ClaimLost(SessionError):
    """The session doesn't hold the claim (any more)."""

    code = "claim_lost"


class RemoteError(GitctxError):
    """A remote failed."""

    code = "remote_error"
    exit_code = 8
    retryable = True


class RemoteUnreachable(RemoteError):
    """The remote doesn't answer."""

    code = "remote_unreachable"


class RemoteRejected(RemoteError):
    """The remote refused the update."""

    code = "remote_rejected"


class RemoteAuthFailed(RemoteError):
    """The remote doesn't accept the credentials."""

    code = "remote_auth_failed"
    retryable = False


class StoresApart(RemoteError):
    """The remote holds a store that began apart from this one."""

    code = "stores_apart"
    retryable = False


class StorageError(GitctxError, OSError):
    """The machine failed: disk, permissions, file handles, git."""

    code = "storage_error"
    exit_code = 9
    retryable = True


class ObjectMissing(StorageError):
    """An object that history needs isn't in the store."""

    code = "object_missing"
    retryable = False


class DiskFull(StorageError):
    """There is no room (or a quota or file size limit is reached)."""

    code = "disk_full"


class GitFailed(StorageError):
    """A git command failed or ran out of time."""

    code = "git_failed"


class StoreNotOwned(StorageError):
    """The store belongs to another user, and git's ownership check refuses it."""

    code = "store_not_owned"
    retryable = False


class StoreReadOnly(StorageError):
    """This process may read the store but not write to it."""

    code = "store_read_only"
    retryable = False


class CorruptStore(GitctxError):
    """What is on disk contradicts itself."""

    code = "corrupt_store"
    exit_code = 7


class FormatUnsupported(CorruptStore):
    """The store, or the repository that it is, has a format that this gitctx doesn't read."""

    code = "format_unsupported"


class BrokenHistory(CorruptStore):
    """The head, or something that it needs, can't be read."""

    code = "broken_history"


class RecoveryImpossible(CorruptStore):
    """No candidate for recovery holds together; `details["tried"]` lists them."""

    code = "recovery_impossible"


class MissingExtra(GitctxError, ImportError):
    """An optional part isn't installed; the message names the install line."""

    code = "missing_extra"
