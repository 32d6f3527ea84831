"""What a caller asks of a branch: one write, as a plan to be made against the head it is built on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitctx.store.view import View
    from gitctx.values import Etag


@dataclass(frozen=True, slots=True)
class Planned:
    """What a write does to the head it was planned on: key -> bytes to put, or None to remove.

    `etags` puts bytes that the store holds already, by their id; `entries` are the keys to report, in order (all that
    are touched, if empty); `superseded` the etags that lost a conflict.
    """

    changes: Mapping[str, bytes | None] = field(default_factory=dict)
    etags: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[str, ...] = ()
    superseded: tuple[Etag, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One write to be made.

    `plan` is called with the head's content, anew after every lost race; it decides or raises (then nothing is
    written). `digest` tells two changes with one id apart. With `always`, a commit is made even if the content stays
    the same. `parcel` gives the plan as bytes that another program can make it from (see `Branch.unpack`); None if it
    can't be told in bytes. `weight` is about how many bytes of values it brings.
    """

    op: str
    subject: str
    actor: str
    plan: Callable[[View], Planned]
    message: str = ""
    session: str | None = None
    id: str | None = None
    digest: str = ""
    trailers: tuple[tuple[str, str], ...] = ()
    always: bool = False
    parcel: Callable[[], bytes] | None = None
    weight: int = 0
