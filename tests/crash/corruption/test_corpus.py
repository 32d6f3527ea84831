"""Each kind of damage: what the scan tells, what the recovery gives back, and that the store is sound then."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from gitctx.context import Context
from gitctx.recovery import Recovery, nearby
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx.values import Missed, RecoveryScan
from gitctx_testkit.audit import ids_in_history
from gitctx_testkit.corruption_base import RELAXED, Base, content_of
from gitctx_testkit.corruption_cases import CASES, Case
from gitctx_testkit.damage import contents
from gitctx_testkit.git import clean_environment, git

Copy = Callable[[], Path]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_can_be_read_comes_back_and_the_report_says_exactly_what_cant(base: Base, copy: Copy, case: Case) -> None:
    store = copy()
    case.damage(store)
    before = contents(store)
    scan = Recovery(store, RELAXED).scan()
    assert contents(store) == before, "a scan changes nothing"
    assert_report(base, case, scan)
    done = Recovery(store, RELAXED, actor="medic").apply()
    assert done.changed
    assert (done.scan.best, done.scan.lost, done.scan.stale) == (scan.best, scan.lost, scan.stale)
    assert content_of(store) == {
        key: value for key, value in {**base.content, **case.changed}.items() if value is not None
    }
    assert_sound_and_writable(store)
    assert_recorded(store, done.id, done.revision)
    kept = [id for id in base.ids if not id.startswith("id-") or id.removeprefix("id-") not in case.gone]
    found = ids_in_history(store)
    assert [id for id in kept if id.startswith("id-") and found.count(id) != 1] == []


def assert_report(base: Base, case: Case, scan: RecoveryScan) -> None:
    assert not scan.healthy
    assert {finding.code for finding in scan.damage} == case.codes
    assert (base.name_of(scan.best), scan.source) == (case.best, case.source)

    def named(missed: Iterable[Missed]) -> set[tuple[str | None, str | None]]:
        return {
            (each.branch, None) if each.branch.startswith("refs/") else (base.name_of(each.revision), each.key)
            for each in missed
        }

    assert named(scan.lost) == case.lost
    assert named(scan.stale) == case.stale
    assert named(scan.resurrected) == case.resurrected


def assert_sound_and_writable(store: Path) -> None:
    check = subprocess.run(
        ["git", "--git-dir", str(store), "fsck", "--full", "--strict", "--no-dangling"],
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert (check.returncode, check.stdout) == (0, "")
    assert "error" not in check.stderr
    again = Recovery(store, RELAXED).scan(full=True)
    assert again.damage == ()
    assert again.healthy
    assert verify(Store.open(store), full=True).problems == ()
    Context(Store.open(store, RELAXED), actor="coder-1").put("after.md", "the recovery")
    assert git(store, "show", "context:after.md") == "the recovery"


def assert_recorded(store: Path, id: str, revision: str | None) -> None:
    """The recovery is one commit, with its source and the old head; the latter is kept."""
    assert revision is not None
    text = git(store, "log", "-1", "--format=%an%n%B", revision)
    assert text.startswith("medic\nrecover context\n")
    for trailer in ("Gitctx-Op: recover", f"Gitctx-Id: {id}", "Gitctx-Source: ", "Gitctx-Old-Head: "):
        assert trailer in text
    assert git(store, "cat-file", "-t", f"refs/gitctx/rescue/{id}/context") == "commit"


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


OF_OBJECTS = [case for case in CASES if {"history", "object", "pack"} & case.codes and "stale_lock" not in case.codes]


@pytest.mark.parametrize("case", OF_OBJECTS, ids=lambda case: case.name)
def test_a_look_at_the_newest_revisions_alone_finds_the_same(
    base: Base, copy: Copy, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where history is long, all but the newest revisions are left to git: the answer has to be the same."""
    monkeypatch.setattr(nearby, "_WINDOW", 2)
    store = copy()
    case.damage(store)
    assert_report(base, case, Recovery(store, RELAXED).scan())
    assert_report(base, case, Recovery(store, RELAXED).scan(full=True))
