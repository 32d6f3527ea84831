"""Random work on a real store, held step by step against a dictionary that does the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import AlreadyExists, EntryNotFound, GitctxError, InvalidKey, PreconditionFailed
from gitctx.format.objects import blob_id
from gitctx.store import Store
from gitctx.store.edits import Append, Edit, Move, Put, Remove
from gitctx.store.verify import verify
from gitctx.values import Written
from gitctx_testkit.counts import examples
from gitctx_testkit.git import git

Content = Mapping[str, bytes]
Expected = Content | type[GitctxError]

ACTORS = st.sampled_from(["planner", "coder-1"])
KEYS = st.sampled_from(["a", "b", "d/x", "d/y", "d/e/z", "d/e", "a/x", "ü/ß"])
FOLDERS = st.sampled_from(["a/", "d/", "d/e/", "new/", "ü/"])
VALUES = st.sampled_from([b"", b"1", b"two\n", b"\xff\x00", "ü".encode(), b"x" * 5000])
LINES = st.sampled_from([b"", b"line", b"line\n", b"two\nlines"])
GUARDS = st.sampled_from(["none", "none", "none", "match", "other", "absent", "head", "old head"])
OTHER = blob_id(b"what nobody wrote")
WIDE = tuple(f"wide/{number:03}" for number in range(270))
EDITS = st.one_of(
    st.builds(Put, KEYS, VALUES),
    st.builds(Remove, KEYS, st.none(), st.booleans()),
    st.builds(Append, KEYS, LINES),
    st.builds(Move, KEYS, KEYS, st.booleans()),
    st.builds(Move, FOLDERS, FOLDERS, st.booleans()),
)


# -- what should happen -----------------------------------------------------------------------------------------------


def clashes(content: Content) -> bool:
    """Whether a key is an entry and a folder."""
    return any(other.startswith(key + "/") for key in content for other in content)


def expected_of(content: Content, edits: Sequence[Edit]) -> Expected:
    """What edits make of a content, or the error that they raise."""
    for edit in edits:
        after = _after(content, edit)
        if isinstance(after, type):
            return after
        content = after
    return InvalidKey if clashes(content) else content


def _after(content: Content, edit: Edit) -> Expected:
    match edit:
        case Put(key, value):
            return {**content, key: value}
        case Remove(key, _, missing_ok):
            if key not in content:
                return content if missing_ok else EntryNotFound
            return {other: value for other, value in content.items() if other != key}
        case Append(key, line):
            before = content.get(key, b"")
            joint = b"\n" if before and not before.endswith(b"\n") else b""
            return {**content, key: before + joint + line.removesuffix(b"\n") + b"\n"}
        case Move(source, target, overwrite):
            return _moved(content, source, target, overwrite)
    raise AssertionError(edit)


def _moved(content: Content, source: str, target: str, overwrite: bool) -> Expected:
    pairs = {source: target} if source in content else {}
    if source.endswith("/"):
        pairs = {key: target + key.removeprefix(source) for key in content if key.startswith(source)}
    if not pairs:
        return EntryNotFound
    staying = {key: value for key, value in content.items() if key not in pairs or not source.endswith("/")}
    if not overwrite and any(new in staying for new in pairs.values()):
        return AlreadyExists
    rest = {key: value for key, value in content.items() if key not in pairs}
    return {**rest, **{new: content[old] for old, new in pairs.items()}}


def differences(before: Content, after: Content) -> list[tuple[str, str | None, str | None]]:
    sides = [(key, _etag(before, key), _etag(after, key)) for key in sorted({*before, *after})]
    return [side for side in sides if side[1] != side[2]]


def _etag(content: Content, key: str) -> str | None:
    return blob_id(content[key]) if key in content else None


# -- what happens -----------------------------------------------------------------------------------------------------


class StoreOracle(RuleBasedStateMachine):
    """Two actors, now and then another git client, and the dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="oracle-"))
        self.path = self.folder / "store.git"

    @initialize()
    def create(self) -> None:
        Store.create(self.path)
        self.content: Content = {}
        self.marks: dict[str, Content] = {}
        self.reopen()
        self.revisions: list[str] = [self.reader.head]
        self.contents: dict[str, Content] = {self.reader.head: {}}
        self.commits = 1
        self.steps = 0

    @rule()
    def reopen(self) -> None:
        store = Store.open(self.path, Config(durability="relaxed"))
        self.actors = {actor: Context(store, actor=actor) for actor in ("planner", "coder-1")}
        self.seen: dict[str, dict[str, str | None]] = {actor: {} for actor in self.actors}
        self.reader = Context(Store.open(self.path), actor="reader")

    def _write(self, actor: str, expected: Expected, act: Callable[[Context], Written]) -> Written | None:
        """Do it, and see that what is expected happens: an error, nothing, or one commit."""
        if isinstance(expected, type):
            with pytest.raises(expected) as caught:
                act(self.actors[actor])
            assert caught.value.changed == "no"
            return None
        written = act(self.actors[actor])
        assert written.changed == (expected != self.content)
        assert written.head == written.revision
        assert {(entry.key, entry.etag) for entry in written.entries} <= {
            *((key, blob_id(value)) for key, value in expected.items()),
            *((entry.key, None) for entry in written.entries if entry.key not in expected),
        }
        self.seen[actor].update((entry.key, entry.etag) for entry in written.entries)
        if written.changed:
            self._moved_to(written.revision, expected)
        else:
            assert written.revision == self.revisions[-1]
        return written

    def _moved_to(self, revision: str, content: Content) -> None:
        self.commits += 1
        self.content = content
        self.contents[revision] = content
        self.revisions.append(revision)

    def _superseded(self, actor: str, key: str, ours: str | None) -> tuple[str, ...]:
        """The etag that a change without precondition supersedes: what is there, if it isn't what the actor saw."""
        theirs, seen = _etag(self.content, key), self.seen[actor]
        return (theirs,) if theirs is not None and key in seen and seen[key] != theirs and ours != theirs else ()

    @rule(actor=ACTORS, key=KEYS, value=VALUES, guard=GUARDS)
    def put(self, actor: str, key: str, value: bytes, guard: str) -> None:
        expected = expected_of(self.content, [Put(key, value)])
        more: dict[str, str | bool | None] = {}
        match guard:
            case "match":
                more["if_match"] = _etag(self.content, key)
            case "other":
                more["if_match"], expected = OTHER, PreconditionFailed
            case "absent":
                more["if_absent"] = True
                expected = PreconditionFailed if key in self.content else expected
            case "head":
                more["expected_head"] = self.revisions[-1]
            case "old head":
                more["expected_head"] = self.revisions[0]
                expected = expected if len(self.revisions) == 1 else PreconditionFailed
        superseded = self._superseded(actor, key, blob_id(value))
        if guard == "absent" or more.get("if_match") is not None:
            superseded = ()
        written = self._write(actor, expected, lambda ctx: ctx.put(key, value, **more))  # type: ignore[arg-type]
        assert written is None or written.superseded == (superseded if written.changed else ())

    @rule(actor=ACTORS, key=KEYS, missing_ok=st.booleans(), right=st.sampled_from([None, True, False]))
    def remove(self, actor: str, key: str, missing_ok: bool, right: bool | None) -> None:
        expected = expected_of(self.content, [Remove(key, None, missing_ok)])
        etag = None if right is None else (_etag(self.content, key) if right else OTHER)
        if etag == OTHER:
            expected = PreconditionFailed
        superseded = self._superseded(actor, key, None) if etag is None else ()
        written = self._write(actor, expected, lambda ctx: ctx.remove(key, missing_ok=missing_ok, if_match=etag))
        assert written is None or written.superseded == superseded

    @rule(actor=ACTORS, key=KEYS, line=LINES)
    def append(self, actor: str, key: str, line: bytes) -> None:
        self._write(actor, expected_of(self.content, [Append(key, line)]), lambda ctx: ctx.append(key, line))

    @rule(actor=ACTORS, key=KEYS, addition=st.sampled_from([b"", b"+", None]))
    def update(self, actor: str, key: str, addition: bytes | None) -> None:
        edit = Remove(key, None, True) if addition is None else Put(key, self.content.get(key, b"") + addition)
        self._write(
            actor,
            expected_of(self.content, [edit]),
            lambda ctx: ctx.update(
                key, lambda value: None if addition is None else (value or b"") + addition, form="bytes"
            ),
        )

    @rule(actor=ACTORS, source=KEYS, to=KEYS, overwrite=st.booleans())
    def move(self, actor: str, source: str, to: str, overwrite: bool) -> None:
        expected = expected_of(self.content, [Move(source, to, overwrite)])
        self._write(actor, expected, lambda ctx: ctx.move(source, to, overwrite=overwrite))

    @rule(actor=ACTORS, source=FOLDERS, to=FOLDERS, overwrite=st.booleans())
    def move_folder(self, actor: str, source: str, to: str, overwrite: bool) -> None:
        expected = expected_of(self.content, [Move(source, to, overwrite)])
        self._write(actor, expected, lambda ctx: ctx.move(source, to, overwrite=overwrite))

    @rule(actor=ACTORS, edits=st.lists(EDITS, max_size=5))
    def batch(self, actor: str, edits: list[Edit]) -> None:
        self._write(actor, expected_of(self.content, edits), lambda ctx: ctx.apply(edits))

    @rule(actor=ACTORS, wide=st.booleans())
    def widen_or_empty_a_folder(self, actor: str, wide: bool) -> None:
        edits: list[Edit] = [Put(key, b"1") if wide else Remove(key, None, True) for key in WIDE]
        self._write(actor, expected_of(self.content, edits), lambda ctx: ctx.apply(edits))

    @rule(actor=ACTORS, key=KEYS)
    def look(self, actor: str, key: str) -> None:
        if key in self.content:
            assert self.actors[actor].get(key).value == self.content[key]
        else:
            with pytest.raises(EntryNotFound):
                self.actors[actor].get(key)
        self.seen[actor][key] = _etag(self.content, key)

    @rule(actor=ACTORS)
    def checkpoint(self, actor: str) -> None:
        name = f"mark-{len(self.marks)}"
        made = self.actors[actor].checkpoints.create(name)
        assert made.revision == self.revisions[-1]
        self.marks[name] = self.content

    @precondition(lambda self: self.marks)
    @rule(actor=ACTORS, data=st.data(), only=st.one_of(st.just(""), FOLDERS))
    def restore(self, actor: str, data: st.DataObject, only: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.marks)))
        mark, folder = self.marks[name], only.rstrip("/")

        def inside(key: str) -> bool:
            return not folder or key == folder or key.startswith(folder + "/")

        restored = {key: value for key, value in self.content.items() if not inside(key)}
        restored |= {key: value for key, value in mark.items() if inside(key)}
        expected: Expected = InvalidKey if clashes(restored) else restored
        if folder and not any(inside(key) for key in (*self.content, *mark)):
            expected = EntryNotFound
        self._write(actor, expected, lambda ctx: ctx.checkpoints.restore(name, only=only))

    @precondition(lambda self: len(self.revisions) > 1)
    @rule(actor=ACTORS)
    def undo(self, actor: str) -> None:
        parent = git(self.path, "rev-parse", "context^1")
        self._write(actor, self.contents[parent], lambda ctx: ctx.undo("head"))

    @rule(key=KEYS, text=st.sampled_from(["by hand", None]))
    def commit_by_another_git(self, key: str, text: str | None) -> None:
        edit = Put(key, text.encode()) if text is not None else Remove(key, None, True)
        expected = expected_of(self.content, [edit])
        if isinstance(expected, type):
            return
        change = f"M 100644 inline {key}\ndata {len(text)}\n{text}" if text is not None else f"D {key}"
        stream = (
            "commit refs/heads/context\ncommitter somebody <somebody@example.com> now\ndata 7\nby hand\n"
            f"from {self.revisions[-1]}\n{change}\n"
        )
        git(self.path, "fast-import", "--quiet", "--date-format=now", stdin=stream)
        self._moved_to(git(self.path, "rev-parse", "context"), expected)

    @precondition(lambda self: len(self.revisions) > 1)
    @rule(actor=ACTORS, key=KEYS, value=VALUES, unaided=st.booleans())
    def throw_the_last_write_off_and_write(self, actor: str, key: str, value: bytes, unaided: bool) -> None:
        """The write brings it back first, whether or not it can be done itself."""
        before = self.content
        git(self.path, "update-ref", "refs/heads/context", "context^1")
        if unaided:
            shutil.rmtree(self.path / "gitctx", ignore_errors=True)
        expected = expected_of(before, [Put(key, value)])
        act = self.actors[actor].put
        if isinstance(expected, type):
            with pytest.raises(expected):
                act(key, value)
            self._moved_to(git(self.path, "rev-parse", "context"), before)
            return
        written = act(key, value)
        self.seen[actor][key] = blob_id(value)
        self._moved_to(git(self.path, "rev-parse", "context~1" if written.changed else "context"), before)
        if written.changed:
            self._moved_to(written.revision, expected)

    @invariant()
    def the_store_holds_what_the_dictionary_holds(self) -> None:
        if not hasattr(self, "commits"):
            return
        self.steps += 1
        assert self.reader.head == self.revisions[-1]
        listed = [(info.key, info.etag, info.size) for info in self.reader.list()]
        assert listed == [(key, blob_id(value), len(value)) for key, value in sorted(self.content.items())]
        assert int(git(self.path, "rev-list", "--count", "context")) == self.commits

    @invariant()
    def the_past_stays_what_it_was(self) -> None:
        if not hasattr(self, "commits"):
            return
        revision = self.revisions[self.steps * 7 % len(self.revisions)]
        then = self.contents[revision]
        assert [info.key for info in self.reader.list(at=revision)] == sorted(then)
        for key in list(then)[:3]:
            assert self.reader.get(key, at=revision).value == then[key]
        for before in (revision, self.revisions[-2:][0]):
            changes = self.reader.diff(before)
            assert [(change.key, change.before, change.after) for change in changes] == differences(
                self.contents[before], self.content
            )
        for name in list(self.marks)[-1:]:
            assert {key: self.reader.get(key, at=name).value for key in self.marks[name]} == self.marks[name]

    def teardown(self) -> None:
        try:
            if self.path.exists():
                assert verify(Store.open(self.path), full=True).problems == ()
                blobs = [line.split()[2] for line in git(self.path, "ls-tree", "-r", "context").splitlines()]
                assert sorted(blobs) == sorted(blob_id(value) for value in self.content.values())
        finally:
            shutil.rmtree(self.folder)


@pytest.mark.hypothesis
def test_random_work_on_a_store_is_what_a_dictionary_would_make_of_it() -> None:
    run_state_machine_as_test(
        StoreOracle,
        settings=settings(
            max_examples=examples(8),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
