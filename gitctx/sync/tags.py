"""Checkpoints between machines: which are received, sent, deleted, and what becomes of two of one name.

A checkpoint never moves on a remote. So of two that got one name on two machines the one that reached the remote first
keeps it there; the other one gets a suffix, and both are everywhere in the end. One that was deleted here is deleted on
the remote too, if it still is the one that was deleted; one that was deleted on the remote stays here, and isn't sent
again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gitctx.errors import GitctxError
from gitctx.format import messages
from gitctx.format.keys import MAX_CHECKPOINT_BYTES
from gitctx.format.objects import make_object
from gitctx.repository import RefLocked, RefMoved, SwapUnsettled
from gitctx.repository.network import Push
from gitctx.store import Store
from gitctx.store.host import hostname
from gitctx.sync.agreed import Agreed
from gitctx.values import CheckpointsExchanged

TAGS = "refs/tags/"
FASTER = "somebody was faster, again and again"
_SUFFIX_DIGITS = 8


@dataclass
class Tags:
    """The checkpoints of one exchange; collects what became of them."""

    store: Store
    remote: str
    namespace: str
    agreed: Agreed
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

    def settle(self, there: Mapping[str, str], *, remote_is_anew: bool) -> list[Push]:
        """Take in what the remote has (`there`, by name), and say what to push.

        `remote_is_anew`: it was set back or made anew, so that what it hasn't got wasn't deleted by anybody.
        """
        self.refused = {name: reason for name, reason in self.refused.items() if reason != FASTER}
        local, agreed = self._local(), self.agreed.below("tags/")
        pushes: list[Push] = []
        for name, theirs in there.items():
            ours = local.get(name)
            if name in self.refused:
                continue
            if ours is None and agreed.get(name) == theirs:
                self.deleted[name] = None
                pushes.append(Push(None, self._ref(name), theirs))
            elif ours is None:
                self._receive(name, theirs, local)
            elif ours != theirs:
                local.update(self._make_way(name, ours, theirs))
            else:
                self._agree(name, ours)
        for name in agreed.keys() - there.keys():
            if remote_is_anew or local.get(name) != agreed[name]:
                self.agreed.forget(f"tags/{name}")
        for name, ours in local.items():
            if name in there or name in self.refused:
                continue
            if self.agreed.get(f"tags/{name}") is not None:
                self.gone[name] = None
            elif other := _in_the_way(name, there):
                self.refused[name] = f"the remote has a checkpoint {other}, and git can't have both"
            else:
                pushes.append(Push(ours, self._ref(name), None))
        return pushes

    def pushed(self, push: Push, refusal: str | None) -> None:
        """What the remote said to a push."""
        name = push.ref.removeprefix(f"{self.namespace}tags/")
        if refusal is not None:
            self.deleted.pop(name, None)
            self.refused[name] = refusal
        elif push.oid is None:
            self.agreed.forget(f"tags/{name}")
        else:
            self._agree(name, push.oid)
            self.sent[name] = None

    def _agree(self, name: str, oid: str) -> None:
        self.agreed.set(f"tags/{name}", oid)

    def _ref(self, name: str) -> str:
        return f"{self.namespace}tags/{name}"

    def _local(self) -> dict[str, str]:
        names = self.store.repository.ref_names(TAGS)
        found = {name.removeprefix(TAGS): self.store.repository.read_ref(name) for name in names}
        return {name: oid for name, oid in found.items() if oid is not None}

    def _receive(self, name: str, theirs: str, local: Mapping[str, str]) -> None:
        if other := _in_the_way(name, local):
            self.refused[name] = f"there is a checkpoint {other} here, and git can't have both"
        elif self._set(name, theirs, None):
            self._agree(name, theirs)
            self.received[name] = None

    def _make_way(self, name: str, ours: str, theirs: str) -> dict[str, str]:
        """Give ours a name with a suffix, and its name to theirs. The checkpoints as they are then."""
        repository = self.store.repository
        tag = repository.read_tag(ours)
        other = _with_suffix(name, ours[:_SUFFIX_DIGITS])
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
        self._agree(name, theirs)
        self.renamed[name] = other
        self.received[name] = None
        return {name: theirs, other: moved}

    def _set(self, name: str, oid: str, expected: str | None) -> bool:
        """Move a ref, if it holds what is expected; a failure is told, and nothing else is held up by it."""
        config, repository = self.store.config, self.store.repository
        host = messages.host_identity(hostname(), config.clock())
        try:
            repository.publish(
                [],
                TAGS + name,
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


def _in_the_way(name: str, others: Collection[str]) -> str | None:
    """One of the other names that is a folder of this one, or has this one as a folder."""
    segments = name.split("/")
    above = ("/".join(segments[:count]) for count in range(1, len(segments)))
    found = next((each for each in above if each in others), None)
    return found or next((each for each in others if each.startswith(name + "/")), None)


def _with_suffix(name: str, suffix: str) -> str:
    """The name with a suffix, cut where that would be too long for a checkpoint."""
    cut = name.encode("utf-8")[: MAX_CHECKPOINT_BYTES - len(suffix) - 1].decode("utf-8", "ignore")
    return f"{cut.rstrip('./')}-{suffix}"
