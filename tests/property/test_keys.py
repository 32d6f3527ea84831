"""Which keys are allowed, held against the rules written down a second time."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from gitctx.errors import InvalidKey
from gitctx.format.keys import check_key, check_prefix, folds_to_dotgit, key_fault

BITES = [
    "git~1",
    "GIT~1",
    ".git",
    ".GIT",
    ".gItmodules",
    "gitmod~1",
    "GI7EBA~1",
    "..",
    ".",
    "~00",
    "-x",
    "x.",
    "x ",
    " x",
]
CHARACTERS = st.sampled_from("aZ0.-~_ \\/:é字🙂\u0301\u00ad\u200c\u200d\ufeff\u202e\n\t\0\x7f\u00a0\u0130\u0131")
SEGMENTS = st.text(CHARACTERS, max_size=6) | st.sampled_from(BITES) | st.text(max_size=5)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)

IGNORED_BY_HFS = {0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF}


def allowed(key: str) -> bool:
    """The rules of docs/technical/format.md, once more and in other words."""
    try:
        if not 1 <= len(key.encode()) <= 512:
            return False
    except UnicodeEncodeError:
        return False
    segments = key.split("/")
    if segments[0] == ".gitctx":
        return False
    for segment in segments:
        if not segment or len(segment.encode()) > 255:
            return False
        if set(segment) <= {"."} and len(segment) < 3:
            return False
        if segment != unicodedata.normalize("NFC", segment):
            return False
        if any(unicodedata.category(each)[0] in "CZ" and each != " " for each in segment) or "\\" in segment:
            return False
        if segment.startswith(("~", "-")) or segment.endswith((".", " ")):
            return False
        plain = "".join(each for each in segment if ord(each) not in IGNORED_BY_HFS).casefold()
        if plain.startswith(".git"):
            return False
        head, tilde, tail = plain.partition("~")
        short = head.startswith("gi") and len(head) <= 8 and head.isascii() and head.isalnum()
        if tilde and short and tail[:1] in tuple("0123456789"):
            return False
    return True


@given(KEYS)
@example("a" * 255)
@example("a" * 256)
@example("/".join(["a" * 255, "b" * 255]) + "/c")
@example("é" * 256)
@example("a/" * 255 + "a")
@example("a/" * 256 + "a")
@example("con")
@example("😀.md")
@example("ends with two..")
@example("gitctx~1")
@example("gift~2.md")
def test_the_rules_for_keys_are_those_that_the_format_page_states(key: str) -> None:
    assert (key_fault(key) is None) == allowed(key), key_fault(key)


@given(KEYS)
def test_a_refused_key_says_why_in_printable_text_and_an_allowed_one_comes_back_as_it_is(key: str) -> None:
    try:
        assert check_key(key) == key
        assert check_prefix(key) == key + "/"
    except InvalidKey as error:
        assert key_fault(key) is not None
        for text in (error.message, error.hint, str(error.details)):
            assert text
            assert text.isprintable()
        assert error.changed == "no"  # noqa: PT017 - raising is one of two right answers


@given(st.text(max_size=12))
def test_anything_that_could_be_taken_for_gits_own_files_is_refused(text: str) -> None:
    for dangerous in (f".git{text}", f".GiT{text}", f".g\u200cit{text}"):
        assert folds_to_dotgit(dangerous)
        assert key_fault(f"plan/{dangerous}") is not None
