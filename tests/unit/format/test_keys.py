"""Keys: what plain git, fsck or another file system could trip over never gets in, and who is refused learns why."""

from __future__ import annotations

import unicodedata

import pytest

from gitctx.errors import InvalidKey
from gitctx.format.keys import check_key, check_prefix, folds_to_dotgit, key_fault

DOTGIT = [
    *(".git", ".GIT", ".gIt", ".git.", ".git ", ".git::$INDEX_ALLOCATION", ".gitmodules", ".GitAttributes"),
    *(".gitignore", ".git\u200c", ".g\u200cit", "\u200d.git", ".gi\u202at", ".g\u206ai\ufefft", "\u206f.GIT\u200f"),
    *("git~1", "GIT~1", "GIT~2", "gitmod~1", "GITMOD~4", "gi7eba~1", "GI7D29~9", "gitatt~1"),
]

CONTROL = [chr(code) for code in (*range(0x20), 0x7F, 0x80, 0x9F, 0xAD, 0x200B, 0x2028, 0x202E, 0xE000, 0xFFFE)]

REFUSED = {
    "empty": "",
    "slash alone": "/",
    "leading slash": "/plan",
    "trailing slash": "plan/",
    "empty segment": "plan//auth",
    "dot": "./plan",
    "dot inside": "plan/./auth",
    "parent": "../plan",
    "parent inside": "plan/../../etc/passwd",
    "backslash": "plan\\auth",
    "backslash to the parent": "..\\..\\etc",
    "tilde": "~00/plan",
    "tilde of a home": "plan/~root",
    "option": "-rf",
    "option inside": "plan/--output=x",
    "trailing dot": "plan./auth",
    "three dots": "plan/...",
    "trailing space": "plan/auth ",
    "space alone": " ",
    "decomposed": unicodedata.normalize("NFD", "caf\u00e9"),
    "singleton": "\u212b",
    "wide space": "a\u00a0b",
    "lone high surrogate": "a\ud800",
    "lone low surrogate": "plan/\udcff/x",
    "reserved": ".gitctx/settings.toml",
    "reserved itself": ".gitctx",
    "reserved in another case": ".GITCTX/settings.toml",
    "reserved inside": "plan/.gitctx/settings.toml",
}

ALLOWED = [
    *(
        "plan/auth.md",
        "a",
        ".a",
        "a~1",
        "a-",
        "..a",
        "...a",
        "a..b",
        "a b",
        " a",
        "git",
        "git/x",
    ),
    *("x.git", "a:b", "a*?<>|\"'", "HEAD", "refs/heads/main", "con", "NUL.txt", "a@{1}", "$(rm)", "%2e%2e"),
    *("\u00e9", "\u65e5\u672c\u8a9e/\u30ad\u30fc", "\U0001f600", "\u0438/\u0439", "\u05d0", "\ufb01", "Stra\u00dfe"),
]


@pytest.mark.parametrize("key", REFUSED.values(), ids=REFUSED.keys())
def test_a_key_that_bites_is_refused_with_a_hint(key: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key(key)
    assert caught.value.hint
    assert caught.value.changed == "no"
    str(caught.value).encode("utf-8")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", DOTGIT, ids=ascii)
@pytest.mark.parametrize("place", ["{}", "plan/{}", "{}/config", "plan/{}/hooks/x"])
def test_no_key_can_be_taken_for_dotgit_on_any_file_system(name: str, place: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key(place.format(name))
    assert caught.value.hint
    assert folds_to_dotgit(name)


@pytest.mark.parametrize("character", CONTROL, ids=lambda character: f"{ord(character):04X}")
def test_a_character_that_nobody_sees_is_refused_and_named(character: str) -> None:
    for key in (character, f"a{character}b", f"plan/{character}/x"):
        with pytest.raises(InvalidKey, match=f"U\\+{ord(character):04X}"):
            check_key(key)


@pytest.mark.parametrize("key", ALLOWED, ids=ascii)
def test_the_rules_refuse_no_more_than_they_need_to(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u65e5", "\U0001f600"], ids=ascii)
def test_lengths_are_counted_in_bytes_up_to_the_very_last(letter: str) -> None:
    size = len(letter.encode())
    segment = letter * (255 // size) + "x" * (255 % size)
    assert check_key(segment) == segment
    assert "255 bytes" in str(key_fault(segment + "x"))
    key = f"{segment}/{segment}/x"
    assert len(key.encode()) == 513
    assert "512" in str(key_fault(key))
    full = f"{segment}/{'y' * 254}/z"
    assert len(full.encode()) == 512
    assert check_key(full) == full


def test_a_key_that_is_no_text_is_refused_rather_than_crashed_on() -> None:
    for key in (None, 5, b"plan", ["plan"]):
        with pytest.raises(InvalidKey):
            check_key(key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (unicodedata.normalize("NFD", "caf\u00e9"), "normalise"),
        (".gitctx/claims/x", "gitctx claim"),
        ("a\\b", "plan/auth.md"),
        ("/a", "plan/auth.md"),
        ("a" * 256, "shorter"),
        ("a/" * 256 + "b", "shorter"),
    ],
    ids=ascii,
)
def test_the_hint_fits_the_fault(key: str, word: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key(key)
    assert word in caught.value.hint


@pytest.mark.parametrize("key", ["NFC.", "bytes ", "a slash.", "-512 are allowed"])
def test_words_in_the_key_itself_choose_no_hint(key: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key(key)
    assert caught.value.hint == "use printable names joined by slashes, like plan/auth.md"


def test_only_gitctx_itself_gets_below_its_folder_and_by_the_same_rules() -> None:
    assert check_key(".gitctx/settings.toml", reserved=True) == ".gitctx/settings.toml"
    for key in (".gitctx", ".gitctx/.git", ".gitctx/../x", "a/.gitctx", ".gitctx/.gitctx/x"):
        with pytest.raises(InvalidKey):
            check_key(key, reserved=True)


def test_a_long_refused_key_floods_no_screen() -> None:
    with pytest.raises(InvalidKey) as caught:
        check_key("\x1b[31m" * 5000)
    assert len(str(caught.value)) < 250
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "prefix"), [("", ""), ("/", ""), ("plan", "plan/"), ("plan/", "plan/"), (".gitctx", ".gitctx/")]
)
def test_a_prefix_ends_in_one_slash_however_it_is_given(given: str, prefix: str) -> None:
    assert check_prefix(given) == prefix


@pytest.mark.parametrize("prefix", ["//", "plan//", "/plan", "..", "../", "plan/../x", ".git/", "~00/"])
def test_a_prefix_keeps_the_rules_of_keys(prefix: str) -> None:
    with pytest.raises(InvalidKey):
        check_prefix(prefix)


def test_a_prefix_for_writing_stays_out_of_the_reserved_folder() -> None:
    with pytest.raises(InvalidKey):
        check_prefix(".gitctx/claims", reserved=False)
