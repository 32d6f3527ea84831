"""Checkpoints between machines: which are received, sent, deleted, and what becomes of two of one name.

A checkpoint never moves on a remote. So of two that got one name on two machines the one that reached the remote first
keeps it there; the other one gets a suffix, and both are everywhere in the end. One that was deleted here is deleted on
the remote too, if it still is the one that was deleted; one that was deleted on the remote stays here, and isn't sent
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitctx.errors import GitctxError
from gitctx.format import messages
from gitctx.format.objects import make_object
from gitctx.repository import RefLocked, RefMoved, SwapUnsettled
from gitctx.repository.network import Push
from gitctx.repository.remotes import tracking
from gitctx.store import Store
from gitctx.store.host import hostname
from gitctx.values import CheckpointsExchanged

TAGS = "refs/tags/"
_SUFFIX_DIGITS = 8


@dataclass
class Tags:
    """The checkpoints of one exchange; collects what became of them."""

    store: Store
    remote: str
    namespace: str
    received: dict[str, None] = field(default_factory=dict)
    sent: dict[str, None] = field(default_factory=dict)
    deleted: dict[str, None] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def report(self) -> CheckpointsExchanged:
        """What became of them."""
        return CheckpointsExchanged(
            tuple(self.received),
            tuple(self.sent),
            tuple(self.deleted),
            tuple(self.gone),
            tuple(self.renamed.items()),
            tuple(self.refused.items()),
        )

    def settle(self, before: Mapping[str, str], after: Mapping[str, str], *, remote_is_anew: bool) -> list[Push]:
        """Take in what the remote has, and say what to push. `before` and `after` are the remote's checkpoints as they
        were known, and as they are, by name.

        `remote_is_anew`: it was set back or made anew, so that what it hasn't got wasn't deleted by anybody.
        """
        local = self._local()
        pushes: list[Push] = []
        for name, theirs in after.items():
            ours = local.get(name)
            if ours is None and before.get(name) == theirs:
                self.deleted[name] = None
                pushes.append(Push(None, self._ref(name), theirs))
            elif ours is None:
                self._receive(name, theirs)
            elif ours != theirs:
                local.update(self._make_way(name, ours, theirs))
        gone = self._gone()
        for name, ours in local.items():
            if name in after or name in self.refused:
                continue
            if not remote_is_anew and (before.get(name) == ours or gone.get(name) == ours):
                self._leave_gone(name, ours)
            else:
                pushes.append(Push(ours, self._ref(name), None))
        return pushes

    def pushed(self, ref: str, refusal: str | None) -> None:
        """What the remote said to a push."""
        name = ref.removeprefix(f"{self.namespace}tags/")
        if refusal is None:
            if name not in self.deleted:
                self.sent[name] = None
        else:
            self.deleted.pop(name, None)
            self.refused[name] = refusal

    def _ref(self, name: str) -> str:
        return f"{self.namespace}tags/{name}"

    def _local(self) -> dict[str, str]:
        names = self.store.repository.ref_names(TAGS)
        found = {name.removeprefix(TAGS): self.store.repository.read_ref(name) for name in names}
        return {name: oid for name, oid in found.items() if oid is not None}

    def _receive(self, name: str, theirs: str) -> None:
        if self._set(name, theirs, None):
            self.received[name] = None

    def _make_way(self, name: str, ours: str, theirs: str) -> dict[str, str]:
        """Give ours a name with a suffix, and its name to theirs. The checkpoints as they are then."""
        repository = self.store.repository
        tag = repository.read_tag(ours)
        other = f"{name}-{ours[:_SUFFIX_DIGITS]}"
        if tag is None:
            moved = ours
        else:
            text = messages.build_message(
                tag.subject,
                tag.message,
                [(trailer, value) for trailer, values in tag.trailers.items() for value in values],
            )
            item = make_object(
                "tag", messages.encode_tag(target=tag.target, name=other, tagger=tag.tagger, message=text)
            )
            repository.put_down([item], durable=self.store.config.durability == "durable")
            moved = item.oid
        if repository.read_ref(TAGS + other) is None and not self._set(other, moved, None):
            return {}
        if not self._set(name, theirs, ours):
            return {}
        self.renamed[name] = other
        self.received[name] = None
        return {name: theirs, other: moved}

    def _set(self, name: str, oid: str, expected: str | None, *, ref: str | None = None) -> bool:
        """Move a ref, if it holds what is expected; a failure is told, and nothing else is held up by it."""
        config, repository = self.store.config, self.store.repository
        host = messages.host_identity(hostname(), config.clock())
        place = ref or TAGS + name
        try:
            if expected is None and place.startswith(TAGS):
                repository.refs.refuse_name_clash(place, repository.ref_names(TAGS))
            repository.publish(
                [],
                place,
                oid,
                expected=expected,
                who=f"{host.name} <{host.email}>",
                message=f"gitctx: sync with {self.remote}",
                at_s=int(config.clock().timestamp()),
                durable=config.durability == "durable",
            )
        except RefMoved:
            return False  # somebody is at it here: the next exchange sees what they made
        except (RefLocked, SwapUnsettled, OSError) as error:
            self.refused[name] = f"it couldn't be made here: {error}"
            return False
        except GitctxError as error:
            self.refused[name] = f"it couldn't be made here: {error.message}"
            return False
        return True

    # -- what was deleted on the remote -------------------------------------------------------------------------------

    def _leave_gone(self, name: str, ours: str) -> None:
        """Remember that it was deleted there, so that it isn't sent again."""
        self.gone[name] = None
        place = f"{self._gone_prefix}{name}"
        known = self.store.repository.read_ref(place)
        if known != ours:
            self._set(name, ours, known, ref=place)

    def _gone(self) -> dict[str, str | None]:
        prefix, repository = self._gone_prefix, self.store.repository
        return {name.removeprefix(prefix): repository.read_ref(name) for name in repository.ref_names(prefix)}

    @property
    def _gone_prefix(self) -> str:
        return f"{tracking(self.remote)}gone/"
