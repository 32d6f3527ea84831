"""Any key, value and message within the rules survives real git, its strict checks and a server that makes them."""

from __future__ import annotations

import json
import subprocess
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gitctx.errors import InvalidInput, InvalidName
from gitctx.format import layout, messages
from gitctx.format.documents import format_time, parse_time, to_canonical_json
from gitctx.format.keys import check_actor, check_checkpoint_name, check_message, key_fault
from gitctx.format.objects import Object, make_object
from gitctx.format.packs import make_pack
from gitctx_testkit.counts import examples
from gitctx_testkit.git import clean_environment, git
from gitctx_testkit.trees import MemoryTrees

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRAILERS = [(messages.OP, "put"), (messages.ID, "REAL")]
SCISSORS = "# ------------------------ >8 ------------------------"
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])

AWKWARD = st.sampled_from(
    [
        *(".git", ".GIT", "git~1", "GITMOD~1", ".gitmodules", "..", ".", "~", "~00", "-", "a.", "a ", " ", ".gitctx"),
        *("\u200c", ".g\u200cit", "\\", "e\u0301", "\u00e9", "\ufb01", "\U0001f600", "\x7f", "\x00", "con", "a:b", '"'),
        *(".lock", "HEAD", "@{0}", "x" * 255, "x" * 256, "\u65e5" * 85, "\u65e5" * 86, "\u0130", "\u212a"),
    ]
)
SEGMENTS = st.one_of(
    AWKWARD,
    st.text(min_size=1, max_size=12),
    st.text("abAB.~- gitGIT12\u200c\u00e9", min_size=1, max_size=8),
    st.tuples(AWKWARD, st.text(max_size=2)).map("".join),
)
ANY_KEYS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
KEYS = ANY_KEYS.filter(lambda key: key_fault(key) is None)
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(["", "\n", "\n\n", "Gitctx-Id: FORGED\n", "---\n", SCISSORS + "\n", "# c\n", " x\n", "a: b\n"]),
    ),
    max_size=8,
).map("".join)


def writable(text: str) -> bool:
    try:
        check_message(text)
    except InvalidName:
        return False
    return True


MESSAGES = TEXTS.filter(writable).map(check_message)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that checks what is pushed to it."""
    folder = tmp_path_factory.mktemp("server")
    git(folder, "init", "-q", "--bare")
    git(folder, "config", "receive.fsckObjects", "true")
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    git(folder, "init", "-q", "--bare")
    return folder


def take_in(folder: Path, objects: list[Object]) -> None:
    """Let git check and keep a pack of ours."""
    pack, _ = make_pack(objects)
    done = subprocess.run(
        ["git", "index-pack", "--stdin", "--strict"],
        cwd=folder,
        env=clean_environment(),
        input=pack,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def without_clashes(keys: list[str]) -> list[str]:
    folders = {"/".join(key.split("/")[:depth]) for key in keys for depth in range(1, key.count("/") + 1)}
    return [key for key in keys if key not in folders]


@settings(QUICK, max_examples=examples(6))
@given(st.lists(KEYS, min_size=10, max_size=60, unique=True), MESSAGES)
def test_keys_that_are_allowed_come_back_from_git_and_pass_every_check(
    server: Path, local: Path, keys: list[str], message: str
) -> None:
    keys = without_clashes(keys)
    blobs = {key: make_object("blob", key.encode()) for key in keys}
    trees = MemoryTrees()
    root = layout.apply(trees, trees.build({}), {key: blob.oid for key, blob in blobs.items()})
    who = messages.actor_identity("coder-1", AT)
    text = messages.build_message(f"put {keys[0]}" if keys else "put", message, TRAILERS)
    raw = messages.encode_commit(tree=root, parents=[], author=who, committer=who, message=text)
    commit = make_object("commit", raw)
    take_in(local, [*(make_object("tree", data) for data in trees.raw.values()), *blobs.values(), commit])
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", commit.oid], cwd=local, env=clean_environment(), capture_output=True, check=True
    ).stdout.decode()
    rows = dict(row.split("\t", 1)[::-1] for row in listed.split("\0") if row)
    assert rows == {key: f"100644 blob {blob.oid}" for key, blob in blobs.items()}
    git(local, "fsck", "--strict", "--no-dangling", commit.oid)
    git(local, "push", "-q", str(server), f"+{commit.oid}:refs/heads/context")


@given(ANY_KEYS)
def test_the_rules_know_only_yes_and_no(key: str) -> None:
    fault = key_fault(key)
    assert fault is None or fault
    if fault is None:
        assert unicodedata.normalize("NFC", key) == key
        assert len(key.encode()) <= 512
        assert all(0 < len(segment.encode()) <= 255 for segment in key.split("/"))
        folded = [segment.casefold() for segment in key.split("/")]
        assert not {"..", ".", ".git", "git~1"} & set(folded)


@settings(QUICK, max_examples=examples(25))
@given(st.lists(st.text(min_size=1, max_size=12) | st.text("a.-/@{~lock", min_size=1, max_size=8), max_size=30))
def test_checkpoint_names_that_are_allowed_are_allowed_by_git(local: Path, names: list[str]) -> None:
    for name in names:
        try:
            check_checkpoint_name(name)
        except InvalidName:
            continue
        git(local, "check-ref-format", f"refs/tags/{name}")


@given(MESSAGES)
def test_a_message_comes_back_and_forges_nothing(message: str) -> None:
    who = messages.actor_identity("coder-1", AT)
    text = messages.build_message("put x", message, TRAILERS)
    raw = messages.encode_commit(tree="1" * 40, parents=["2" * 40], author=who, committer=who, message=text)
    read = messages.decode_commit(raw)
    assert dict(read.trailers) == {name: (value,) for name, value in TRAILERS}
    assert read.subject == "put x"
    assert read.message == "\n".join(
        " " + line if line.endswith(SCISSORS) and not line[0].isspace() else line for line in message.split("\n")
    )


@settings(QUICK, max_examples=examples(15))
@given(st.lists(MESSAGES, min_size=5, max_size=20))
def test_git_reads_the_trailers_that_we_wrote_whatever_the_messages(local: Path, texts: list[str]) -> None:
    who = messages.actor_identity("coder-1", AT)
    tree = make_object("tree", b"")
    commits: list[Object] = []
    for text in texts:
        message = messages.build_message("put x", text, [(messages.OP, "put"), (messages.ID, f"id-{len(commits)}")])
        parents = [commits[-1].oid] if commits else []
        raw = messages.encode_commit(tree=tree.oid, parents=parents, author=who, committer=who, message=message)
        commits.append(make_object("commit", raw))
    take_in(local, [tree, *commits])
    shown = git(
        local, "log", "--reverse", "--format=%(trailers:key=Gitctx-Id,valueonly,separator=%x2C)", commits[-1].oid
    )
    assert shown.splitlines() == [f"id-{number}" for number in range(len(texts))]


@given(st.text(min_size=1, max_size=64))
def test_an_actor_that_is_allowed_comes_back_as_it_was(actor: str) -> None:
    try:
        check_actor(actor)
    except InvalidName:
        assume(False)
    who = messages.actor_identity(actor, AT)
    raw = messages.encode_commit(tree="1" * 40, parents=[], author=who, committer=who, message="m\n")
    assert messages.decode_commit(raw).author == who


@given(JSON)
def test_canonical_json_comes_back_and_is_a_fixed_point(value: Any) -> None:
    try:
        data = to_canonical_json(value)
    except InvalidInput:
        assert any(0xD800 <= ord(character) < 0xE000 for character in json.dumps(value, ensure_ascii=False))
        return
    assert data.endswith(b"\n")
    assert json.loads(data) == value
    assert to_canonical_json(json.loads(data)) == data


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers()), st.randoms())
def test_equal_values_are_equal_bytes_in_whatever_order_they_were_made(value: dict[str, int], rng: Any) -> None:
    items = list(value.items())
    rng.shuffle(items)
    assert to_canonical_json(dict(items)) == to_canonical_json(value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_come_back_to_the_millisecond(at: datetime) -> None:
    assert parse_time(format_time(at)) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_a_commit_do_more_than_refuse(data: bytes) -> None:
    for prefix in (b"", b"tree 1\nauthor a <b> 1 +0000\ncommitter a <b> 1 +0000\n"):
        try:
            messages.decode_commit(prefix + data)
        except ValueError:
            continue
