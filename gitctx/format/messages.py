"""Commit and tag messages: subject, the writer's message, trailers. And the raw commits and tags around them.

    put plan/auth.md

    agreed with coder-1

    Gitctx-Op: put
    Gitctx-Session: 01JD...
    Gitctx-Id: 01JD...
    Gitctx-Change: 5f0c...

Only the last paragraph holds trailers, and only gitctx writes it: what a writer's message says can't pass for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

FORMAT = 1
EMAIL_DOMAIN = "gitctx.invalid"

OP = "Gitctx-Op"
SESSION = "Gitctx-Session"
ID = "Gitctx-Id"
RETRIES = "Gitctx-Retries"
SUPERSEDES = "Gitctx-Supersedes"
CHANGE = "Gitctx-Change"
REVISION = "Gitctx-Revision"
FORMAT_TRAILER = "Gitctx-Format"
STORE = "Gitctx-Store"
EPOCH = "Gitctx-Epoch"
SQUASHED = "Gitctx-Squashed"
SQUASHED_BY = "Gitctx-Squashed-By"
SQUASHED_TIME = "Gitctx-Squashed-Time"

_TRAILER = re.compile(r"([A-Za-z0-9-]+): (.*)")
# Git looks for trailers above such a line, after any comment character. Source: git, wt-status.c, wt_status_locate_end.
_SCISSORS = re.compile(r"^(?=\S.*-{24} >8 -{24}$)", re.MULTILINE)


class Identity(NamedTuple):
    """Who and when, as a commit names them."""

    name: str
    email: str
    at: datetime


class Commit(NamedTuple):
    """A commit, decoded. `trailers` maps a name to its values in order."""

    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    subject: str
    message: str
    trailers: Mapping[str, tuple[str, ...]]

    def trailer(self, name: str) -> str | None:
        """The first value of a trailer; None without one."""
        values = self.trailers.get(name)
        return values[0] if values else None


class Tag(NamedTuple):
    """An annotated tag, decoded."""

    target: str
    name: str
    tagger: Identity
    subject: str
    message: str
    trailers: Mapping[str, tuple[str, ...]]


def actor_identity(actor: str, at: datetime) -> Identity:
    """The author of what an actor writes."""
    return Identity(actor, f"{actor}@{EMAIL_DOMAIN}", at)


def host_identity(hostname: str, at: datetime) -> Identity:
    """The committer: gitctx on this host."""
    return Identity("gitctx", f"gitctx@{_host_part(hostname)}", at)


@lru_cache(maxsize=16)
def _host_part(hostname: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", hostname) or "localhost"


def build_message(subject: str, message: str, trailers: Sequence[tuple[str, str]]) -> str:
    """Subject, message and trailers in one text. `message` may be empty; a scissors line in it is indented, because
    git would look for trailers above it.
    """
    parts = [subject]
    if message:
        parts.append(_SCISSORS.sub(" ", message) if ">8" in message else message)
    parts.append("\n".join(f"{name}: {value}" for name, value in trailers))
    return "\n\n".join(parts) + "\n"


def split_message(text: str) -> tuple[str, str, dict[str, tuple[str, ...]]]:
    """Subject, message and trailers of a text, whoever wrote it. Text without trailers of ours gives none."""
    paragraphs = text.rstrip("\n").split("\n\n")
    trailers: dict[str, tuple[str, ...]] = {}
    if len(paragraphs) > 1:
        matches = [_TRAILER.fullmatch(line) for line in paragraphs[-1].lstrip("\n").split("\n")]
        if all(matches):
            for match in matches:
                assert match is not None
                trailers[match[1]] = (*trailers.get(match[1], ()), match[2])
            paragraphs.pop()
    subject, _, rest = paragraphs[0].partition("\n")
    message = "\n\n".join(([rest] if rest else []) + paragraphs[1:]).strip("\n")
    return subject, message, trailers


def encode_commit(*, tree: str, parents: Sequence[str], author: Identity, committer: Identity, message: str) -> bytes:
    """The raw commit object."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {_signature(author)}", f"committer {_signature(committer)}", "", message]
    return "\n".join(lines).encode("utf-8")


def decode_commit(data: bytes) -> Commit:
    """A raw commit object, whoever wrote it. Raises ValueError if it isn't one."""
    headers, text = _headers(data)
    subject, message, trailers = split_message(text)
    return Commit(
        tree=headers["tree"][0],
        parents=tuple(headers.get("parent", ())),
        author=_parse_signature(headers["author"][0]),
        committer=_parse_signature(headers["committer"][0]),
        subject=subject,
        message=message,
        trailers=trailers,
    )


def rewritten(data: bytes, *, tree: str, parents: Sequence[str], original: str | None) -> bytes:
    """A raw commit with another tree and other parents; it says which one it stands for (`original` None: as it says
    already). A signature is left out, because it wouldn't hold any more.
    """
    head, _, text = data.partition(b"\n\n")
    kept: list[bytes] = []
    signed = False
    for line in head.split(b"\n"):
        signed = line.startswith((b"gpgsig", b"mergetag")) or (signed and line.startswith(b" "))
        if not signed and not line.startswith((b"tree ", b"parent ")):
            kept.append(line)
    lines = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents), *kept]
    if original is not None:
        _, _, trailers = split_message(text.decode("utf-8", "replace"))
        gap = b"\n" if trailers else b"\n\n"
        text = text.rstrip(b"\n") + gap + f"{REVISION}: {original}\n".encode()
    return b"\n".join(lines) + b"\n\n" + text


def encode_tag(*, target: str, name: str, tagger: Identity, message: str) -> bytes:
    """The raw annotated tag object on a commit."""
    return f"object {target}\ntype commit\ntag {name}\ntagger {_signature(tagger)}\n\n{message}".encode()


def decode_tag(data: bytes) -> Tag:
    """A raw annotated tag, whoever wrote it. Raises ValueError if it isn't one on a commit."""
    headers, text = _headers(data)
    if headers["type"][0] != "commit":
        raise ValueError("the tag doesn't point at a commit")
    subject, message, trailers = split_message(text)
    tagger = headers.get("tagger")
    return Tag(
        target=headers["object"][0],
        name=headers["tag"][0],
        tagger=_parse_signature(tagger[0]) if tagger else Identity("", "", datetime.fromtimestamp(0, UTC)),
        subject=subject,
        message=message,
        trailers=trailers,
    )


def _signature(identity: Identity) -> str:
    return f"{identity.name} <{identity.email}> {int(identity.at.timestamp())} +0000"


def _parse_signature(text: str) -> Identity:
    match = re.fullmatch(r"(.*?) ?<([^>]*)>(?: (-?\d+)(?: [+-]\d+)?)?.*", text)
    if match is None:
        raise ValueError(f"no signature: {text!r}")
    seconds = int(match[3] or 0)
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        at = datetime.fromtimestamp(0, UTC)
    return Identity(match[1], match[2], at)


def _headers(data: bytes) -> tuple[dict[str, list[str]], str]:
    head, separator, body = data.partition(b"\n\n")
    headers: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        name, space, value = line.partition(" ")
        if name and space:
            headers.setdefault(name, []).append(value)
    for needed in ("tree", "author", "committer") if "tree" in headers else ("object", "type", "tag"):
        if needed not in headers:
            raise ValueError(f"the header {needed!r} is missing")
    return headers, body.decode("utf-8", "replace") if separator else ""
