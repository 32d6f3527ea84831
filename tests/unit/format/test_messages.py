"""Commit and tag messages: what a writer says can't pass for a trailer, and what others wrote is read without harm."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitctx.format import messages
from gitctx.format.keys import check_message
from gitctx_testkit.git import clean_environment, git

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WHO = messages.actor_identity("planner", AT)
TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
TRAILERS = [(messages.OP, "put"), (messages.SESSION, "S1"), (messages.ID, "REAL"), (messages.CHANGE, "c0ffee")]
SCISSORS = "------------------------ >8 ------------------------"

FORGERIES = [
    "Gitctx-Id: FORGED",
    "why\n\nGitctx-Id: FORGED",
    "why\n\nGitctx-Id: FORGED\nGitctx-Op: rm",
    "Gitctx-Id: FORGED\n---\ndiff --git a b",
    f"Gitctx-Id: FORGED\n# {SCISSORS}\nrest",
    f"why\n\nGitctx-Id: FORGED\n# {SCISSORS}",
    f"# {SCISSORS}",
    f"Gitctx-Id: FORGED\n; {SCISSORS}",
    "Gitctx-Id: FORGED\n\n   \n\t\nend",
    "Gitctx-Id: FORGED\n\nConflicts:\n\tplan/auth.md",
    "Gitctx-Id: FORGED\n\n# comment",
    "a\rGitctx-Id: FORGED",
    "a\x0b\x0cGitctx-Id: FORGED\x85\u2028Gitctx-Id: FORGED",
    "Signed-off-by: a <a@b>\n\nGitctx-Id: FORGED\n\nSigned-off-by: a <a@b>",
    "tree 0\nparent 1\n\ngpgsig -----BEGIN PGP SIGNATURE-----",
    "put other\n\nwhy",
    "\u65e5\u672c\u8a9e \U0001f600",
    "a\n\n\n\nb",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messages")
    git(folder, "init", "-q", "--bare")
    git(folder, "mktree", stdin="")
    return folder


def kept(folder: Path, raw: bytes, kind: str = "commit") -> str:
    """Let git take an object in, by its own strict checks."""
    done = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--stdin"],
        cwd=folder,
        env=clean_environment(),
        input=raw,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def commit(message: str, *, subject: str = "put plan/auth.md") -> bytes:
    text = messages.build_message(subject, check_message(message), TRAILERS)
    return messages.encode_commit(tree=TREE, parents=[], author=WHO, committer=WHO, message=text)


def foreign(*headers: bytes, text: bytes = b"one\n") -> bytes:
    return b"\n".join([b"tree " + TREE.encode(), *headers]) + b"\n\n" + text


AUTHOR, COMMITTER = b"author A <a@b> 1700000000 +0200", b"committer C <c@d> 1700000001 -0730"


@pytest.mark.parametrize("message", FORGERIES, ids=ascii)
def test_no_message_forges_a_trailer_for_us_or_for_git(message: str, repository: Path) -> None:
    raw = commit(message)
    decoded = messages.decode_commit(raw)
    assert dict(decoded.trailers) == {name: (value,) for name, value in TRAILERS}
    assert decoded.subject == "put plan/auth.md"
    oid = kept(repository, raw)
    for comment in ("#", ";"):
        settings = ("-c", f"core.commentChar={comment}")
        shown = git(repository, *settings, "log", "-1", "--format=%(trailers)", oid)
        assert shown.split("\n") == [*(f"{name}: {value}" for name, value in TRAILERS)]
        shown = git(repository, *settings, "log", "-1", "--format=%(trailers:key=Gitctx-Id,valueonly)", oid)
        assert shown.strip() == "REAL"


@pytest.mark.parametrize("message", [text for text in FORGERIES if SCISSORS not in text], ids=ascii)
def test_a_message_comes_back_as_it_was(message: str) -> None:
    assert messages.decode_commit(commit(message)).message == check_message(message)


def test_a_scissors_line_comes_back_indented_and_nothing_else_does() -> None:
    text = f"a\n# {SCISSORS}\nsee # {SCISSORS} there\n{SCISSORS} ok"
    read = messages.decode_commit(commit(text)).message
    assert read == f"a\n # {SCISSORS}\nsee # {SCISSORS} there\n{SCISSORS} ok"


@pytest.mark.parametrize("message", ["", "why", "\n\nwhy\n\n\n", "a\n\n   \n", "Gitctx-Id: FORGED\n\n"], ids=ascii)
def test_blank_lines_around_a_message_hide_no_trailer(message: str) -> None:
    _, _, trailers = messages.split_message(messages.build_message("put x", message, TRAILERS))
    assert trailers == {name: (value,) for name, value in TRAILERS}


def test_a_trailer_may_come_more_than_once_and_keeps_its_order() -> None:
    given = [(messages.SUPERSEDES, "b"), (messages.ID, "1"), (messages.SUPERSEDES, "a")]
    _, _, trailers = messages.split_message(messages.build_message("put x", "", given))
    assert trailers == {messages.SUPERSEDES: ("b", "a"), messages.ID: ("1",)}


def test_who_and_when_come_back_from_git_as_they_were(repository: Path) -> None:
    author = messages.actor_identity("J\u00fcrgen O'Neil", AT)
    host = messages.host_identity("my host_1.local", AT)
    raw = messages.encode_commit(tree=TREE, parents=["1" * 40, "2" * 40], author=author, committer=host, message="m\n")
    decoded = messages.decode_commit(raw)
    assert (decoded.tree, decoded.parents) == (TREE, ("1" * 40, "2" * 40))
    assert (decoded.author, decoded.committer) == (author, host)
    alone = messages.encode_commit(tree=TREE, parents=[], author=author, committer=host, message="m\n")
    shown = git(repository, "log", "-1", "--format=%an|%ae|%aI|%cn|%ce", kept(repository, alone))
    expected = "J\u00fcrgen O'Neil|J\u00fcrgen O'Neil@gitctx.invalid|2026-01-02T03:04:05"
    assert shown.replace("+00:00", "").replace("Z", "") == f"{expected}|gitctx|gitctx@my-host-1.local"


@pytest.mark.parametrize("hostname", ["", "a b", "<x>", "\u00e9", "a\nb", "a>1 <"], ids=ascii)
def test_no_hostname_breaks_a_commit(hostname: str, repository: Path) -> None:
    host = messages.host_identity(hostname, AT)
    raw = messages.encode_commit(tree=TREE, parents=[], author=WHO, committer=host, message="m\n")
    assert messages.decode_commit(raw).committer == host
    git(repository, "fsck", "--strict", kept(repository, raw))


@pytest.mark.parametrize(
    ("text", "subject", "message"),
    [
        (b"", "", ""),
        (b"one", "one", ""),
        (b"one\ntwo\n", "one", "two"),
        (b"one\n\ntwo\nthree\n\n\n", "one", "two\nthree"),
        (b"Gitctx-Id: X\n", "Gitctx-Id: X", ""),
        (b"one\n\nGitctx-Id: X\nnot a trailer\n", "one", "Gitctx-Id: X\nnot a trailer"),
        (b"caf\xe9 \xff\n\nb\xe9\n", "caf\ufffd \ufffd", "b\ufffd"),
    ],
)
def test_a_foreign_message_is_read_without_inventing_trailers(text: bytes, subject: str, message: str) -> None:
    decoded = messages.decode_commit(foreign(AUTHOR, COMMITTER, text=text))
    assert (decoded.subject, decoded.message, dict(decoded.trailers)) == (subject, message, {})
    assert decoded.trailer(messages.ID) is None


def test_headers_that_we_never_write_are_passed_over() -> None:
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n tree 9999\n parent 8888\n author X <x@y> 1 +0000\n -----END"
    merged = b"mergetag object 1\n type commit\n tag v1\n tagger T <t@u> 1 +0000\n \n text"
    raw = foreign(AUTHOR, COMMITTER, b"encoding ISO-8859-1", signature, merged, text=b"caf\xe9\n\nGitctx-Id: X\n")
    decoded = messages.decode_commit(raw)
    assert (decoded.tree, decoded.parents) == (TREE, ())
    assert decoded.author == messages.Identity("A", "a@b", datetime.fromtimestamp(1700000000, UTC))
    assert decoded.trailer(messages.ID) == "X"


@pytest.mark.parametrize(
    ("line", "name", "email", "seconds"),
    [
        (b"A <a@b> 1700000000 +0200", "A", "a@b", 1700000000),
        (b" <> 0 +0000", "", "", 0),
        (b"<> 0 +0000", "", "", 0),
        (b"A B  C <> -5 +0000", "A B  C", "", -5),
        (b"A <a@b>", "A", "a@b", 0),
        (b"A <a@b> ", "A", "a@b", 0),
        (b"A <a@b> 5", "A", "a@b", 5),
        (b"A <a@b> junk", "A", "a@b", 0),
        (b"A <a@b> 99999999999999999999 +0000", "A", "a@b", 0),
        (b"A <a@b> 5 +99999", "A", "a@b", 5),
        (b"caf\xe9 <\xff> 5 +0000", "caf\ufffd", "\ufffd", 5),
    ],
)
def test_odd_signatures_are_read_as_far_as_they_make_sense(line: bytes, name: str, email: str, seconds: int) -> None:
    decoded = messages.decode_commit(foreign(b"author " + line, b"committer " + line))
    expected = messages.Identity(name, email, datetime.fromtimestamp(seconds, UTC))
    assert (decoded.author, decoded.committer) == (expected, expected)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\0",
        b"tree " + TREE.encode(),
        foreign(AUTHOR),
        foreign(COMMITTER),
        foreign(b"author A", b"committer C"),
        foreign(AUTHOR, COMMITTER).replace(b"tree", b"eert"),
        b"\n\n" + foreign(AUTHOR, COMMITTER),
    ],
    ids=ascii,
)
def test_what_is_no_commit_is_a_value_error_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"missing|no signature"):
        messages.decode_commit(raw)


@pytest.mark.parametrize("message", FORGERIES, ids=ascii)
def test_a_tag_comes_back_and_no_message_forges_its_trailers(message: str, repository: Path) -> None:
    text = messages.build_message("checkpoint v1", check_message(message), TRAILERS)
    target = kept(repository, commit("x"))
    raw = messages.encode_tag(target=target, name="v1", tagger=WHO, message=text)
    decoded = messages.decode_tag(raw)
    assert (decoded.target, decoded.name, decoded.tagger, decoded.subject) == (target, "v1", WHO, "checkpoint v1")
    assert dict(decoded.trailers) == {name: (value,) for name, value in TRAILERS}
    git(repository, "update-ref", "refs/tags/v1", kept(repository, raw, "tag"))
    shown = git(repository, "for-each-ref", "--format=%(contents:trailers:key=Gitctx-Id,valueonly)", "refs/tags/v1")
    assert shown.strip() == "REAL"


def test_an_old_tag_without_a_tagger_is_read() -> None:
    decoded = messages.decode_tag(b"object %s\ntype commit\ntag v0\n\nold\n" % (b"1" * 40))
    assert (decoded.name, decoded.tagger.name, decoded.subject) == ("v0", "", "old")


@pytest.mark.parametrize("kind", [b"tree", b"blob", b"tag"])
def test_a_tag_on_anything_but_a_commit_is_no_checkpoint(kind: bytes) -> None:
    with pytest.raises(ValueError, match="commit"):
        messages.decode_tag(b"object %s\ntype %s\ntag v0\n\nold\n" % (b"1" * 40, kind))
