"""Keys and names: what is allowed, and why not what is not.

A key is a path of segments joined by `/`. The rules keep every key readable by plain git on every file system, and keep
`git fsck` and servers that check what is pushed (`receive.fsckObjects`) content.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from gitctx.errors import InvalidKey, InvalidName

MAX_KEY_BYTES = 512
MAX_CHECKPOINT_BYTES = 200
MAX_SEGMENT_BYTES = 255
MAX_ACTOR_CHARACTERS = 64
RESERVED = ".gitctx"
SETTINGS_KEY = ".gitctx/settings.toml"
CLAIMS_PREFIX = ".gitctx/claims/"

# Characters that HFS+ leaves out when it compares names. Source: git, utf8.c, next_hfs_char.
_HFS_IGNORED = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
# Short names that NTFS gives to .git, .gitmodules, .gitattributes, ... Source: git, path.c, is_ntfs_dot_generic.
_NTFS_SHORT = re.compile(r"gi[0-9a-z]{0,6}~[0-9]")


def folds_to_dotgit(segment: str) -> bool:
    """Whether a file system or git could take this segment for `.git` or one of git's own `.git...` files."""
    plain = segment.translate(_HFS_IGNORED).casefold()
    return plain.startswith(".git") or _NTFS_SHORT.match(plain) is not None


def segment_fault(segment: str) -> str | None:
    """What is wrong with one segment of a key, as the end of a sentence; None if nothing is."""
    if segment in ("", ".", ".."):
        return f"the segment {segment!r} isn't a name" if segment else "a segment is empty"
    if "\\" in segment:
        return "a backslash isn't allowed"
    if folds_to_dotgit(segment):
        return f"{segment!r} can be taken for git's own {segment.lower()!r} on some file system"
    if not segment.isprintable():
        bad = next(character for character in segment if not character.isprintable())
        return f"the character U+{ord(bad):04X} isn't printable"
    if not unicodedata.is_normalized("NFC", segment):
        return f"{segment!r} isn't in Unicode form NFC"
    if segment[0] in "~-":
        return f"the segment {segment!r} starts with {segment[0]!r}"
    if segment[-1] in ". ":
        return f"the segment {segment!r} ends in {'a dot' if segment[-1] == '.' else 'a space'}"
    if len(segment.encode("utf-8")) > MAX_SEGMENT_BYTES:
        return f"a segment is longer than {MAX_SEGMENT_BYTES} bytes"
    return None


def key_fault(key: str, *, reserved: bool = False) -> str | None:
    """What is wrong with a key; None if nothing is. `reserved` allows keys below `.gitctx/`."""
    if not isinstance(key, str):
        return f"a key is text, not {type(key).__name__}"
    if not key:
        return "a key can't be empty"
    if key.startswith("/") or key.endswith("/"):
        return "a key neither starts nor ends with a slash"
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        return "a lone surrogate isn't text"
    if size > MAX_KEY_BYTES:
        return f"it is {size} bytes long and {MAX_KEY_BYTES} are allowed"
    segments = key.split("/")
    if segments[0] == RESERVED:
        if not reserved:
            return f"{RESERVED}/ is gitctx's own"
        segments = segments[1:]
        if not segments:
            return f"{RESERVED} is a folder"
    for segment in segments:
        fault = segment_fault(segment)
        if fault is not None:
            return fault
    return None


@lru_cache(maxsize=2048)
def _known_fault(key: str, reserved: bool) -> str | None:
    return key_fault(key, reserved=reserved)


_HINTS = (
    ("Unicode form NFC", "normalise it first: unicodedata.normalize('NFC', key)"),
    ("gitctx's own", "settings are edited with `gitctx config`, claims made with `gitctx claim`"),
    ("a slash", "write it like plan/auth.md"),
    ("slash isn't allowed", "write it like plan/auth.md"),
    (f"{MAX_KEY_BYTES} are allowed", "use a shorter key; long titles belong into the value"),
    (f"{MAX_SEGMENT_BYTES} bytes", "use a shorter key; long titles belong into the value"),
)


def check_key(key: str, *, reserved: bool = False) -> str:
    """The key itself, if it may be used. Raises InvalidKey with what is wrong and what to do."""
    fault = _known_fault(key, reserved) if type(key) is str else key_fault(key, reserved=reserved)
    if fault is None:
        return key
    hint = next(
        (text for ending, text in _HINTS if fault.endswith(ending)),
        "use printable names joined by slashes, like plan/auth.md",
    )
    raise InvalidKey(f"the key {_shown(key)} is refused: {fault}", hint=hint, details={"key": _safe(key)})


def check_prefix(prefix: str, *, reserved: bool = True) -> str:
    """A prefix for listings, with one slash at its end ("" is the whole store). Raises InvalidKey like `check_key`."""
    if prefix in ("", "/"):
        return ""
    bare = prefix.removesuffix("/")
    if bare != RESERVED or not reserved:
        check_key(bare, reserved=reserved)
    return bare + "/"


def check_actor(actor: str) -> str:
    """The actor itself, if it may be used: 1 to 64 printable characters without `<` and `>`. Raises InvalidName."""
    fault = None
    if not isinstance(actor, str) or not 1 <= len(actor) <= MAX_ACTOR_CHARACTERS:
        fault = f"it has to be 1 to {MAX_ACTOR_CHARACTERS} characters long"
    elif not actor.isprintable() or "<" in actor or ">" in actor:
        fault = "it has to be printable, without < and >"
    elif actor != actor.strip(" .,:;\"'\\"):
        fault = "it can't start or end with a space or with one of . , : ; \" ' \\ (git strips those)"
    if fault is None:
        return actor
    raise InvalidName(f"the actor {_shown(actor)} is refused: {fault}", hint="use a name like planner or coder-1")


def check_claim_name(name: str) -> str:
    """The key of the claim of that name. Raises InvalidName."""
    fault = key_fault(CLAIMS_PREFIX + name, reserved=True) if isinstance(name, str) else "it has to be text"
    if fault is None:
        return CLAIMS_PREFIX + name
    raise InvalidName(f"the claim name {_shown(name)} is refused: {fault}", hint="use a name like refactor-auth")


_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)")


def check_checkpoint_name(name: str) -> str:
    """The name itself, if git allows it for a tag and it can't be taken for a revision. Raises InvalidName."""
    fault = None
    if not isinstance(name, str) or not name or len(name.encode("utf-8", "replace")) > MAX_CHECKPOINT_BYTES:
        fault = f"it has to be 1 to {MAX_CHECKPOINT_BYTES} bytes of text"
    elif not name.isprintable() or not unicodedata.is_normalized("NFC", name):
        fault = "it has to be printable text in Unicode form NFC"
    elif _REF_FORBIDDEN.search(name) or name[0] in "-./" or name[-1] in "./" or name == "@":
        fault = "git doesn't allow it for a tag"
    elif re.fullmatch(r"[0-9a-fA-F]{4,40}", name):
        fault = "it could be taken for a revision"
    elif name.casefold() in ("head", "context", "sessions") or name.startswith("refs/"):
        fault = "it could be taken for a branch"
    if fault is None:
        return name
    raise InvalidName(f"the checkpoint name {_shown(name)} is refused: {fault}", hint="use a name like before-refactor")


_WRITE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


def check_write_id(id: str) -> str:
    """The id itself, if it may be used: 1 to 64 letters, digits, `.`, `_`, `-`. Raises InvalidName."""
    if isinstance(id, str) and _WRITE_ID.fullmatch(id):
        return id
    raise InvalidName(
        f"the id {_shown(id)} is refused: it has to be 1 to 64 letters, digits, dots, dashes or underscores",
        hint="use a ULID, or a name that no other write has",
    )


def check_message(message: str) -> str:
    """The writer's message, without surrounding blank lines. Raises InvalidName for text that a commit can't hold."""
    try:
        message.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidName("the message holds a lone surrogate", hint="pass text that can be written as UTF-8") from None
    if "\0" in message:
        raise InvalidName("the message holds a NUL character", hint="leave it out")
    return message.replace("\r\n", "\n").strip()


def _safe(text: object) -> str:
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(text: object) -> str:
    shown = _safe(text)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return ascii(shown) if not shown.isprintable() else f"'{shown}'"
