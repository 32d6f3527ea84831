"""The proof notices whatever can go wrong in a store, by plain git alone. Each test doctors a sound one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gitctx.config import Config
from gitctx.context import Context
from gitctx.store import Store
from gitctx_cli.demo.evidence import Acknowledgement, Check, Expected
from gitctx_cli.demo.plan import CHECKPOINT, SUMMARY, add_to_summary, finding_key, part_of
from gitctx_cli.demo.proof import prove
from gitctx_testkit.git import clean_environment, git, make_loose

LIVING, KILLED = "elm", "alder"
PIECES = {"survey-1": ("a.py", "b.py"), "survey-2": ("lib/c.py",)}


@dataclass
class Ran:
    """The store, and what its agents were told."""

    store: Path
    expected: Expected

    def wrong(self) -> dict[str, tuple[str, ...]]:
        """What the proof finds wrong, by check."""
        return {check.name: check.faults for check in self.prove() if not check.ok}

    def prove(self) -> list[Check]:
        return list(prove(self.store, self.expected))

    def commit(self, message: str, author: str, change: Callable[[dict[str, str]], None]) -> None:
        """A commit by plain git on the context; `change` edits what is at which path (as blob ids)."""
        listed = git(self.store, "ls-tree", "-r", "context").splitlines()
        paths = {line.partition("\t")[2]: line.split()[2] for line in listed}
        change(paths)
        index = {"GIT_INDEX_FILE": str(self.store / "doctor.index"), "GIT_AUTHOR_NAME": author}
        lines = "".join(f"100644 {blob}\t{path}\n" for path, blob in paths.items())
        self.git(index, "read-tree", "--empty")
        self.git(index, "update-index", "--index-info", stdin=lines)
        tree = self.git(index, "write-tree")
        commit = self.git(index, "commit-tree", tree, "-p", "context", "-m", message)
        git(self.store, "update-ref", "refs/heads/context", commit)

    def put(self, message: str, author: str, path: str, value: str) -> None:
        """A commit by plain git that puts a value at a path."""
        blob = git(self.store, "hash-object", "-w", "--stdin", stdin=value)
        self.commit(message, author, lambda paths: paths.update({path: blob}))

    def told(self, actor: str, id: str) -> None:
        """One more write that was acknowledged."""
        writes = {**self.expected.acknowledged, actor: (*self.expected.acknowledged[actor], Acknowledgement(id, id))}
        self.expected = replace(self.expected, acknowledged=writes)

    def git(self, more: dict[str, str], *words: str, stdin: str | None = None) -> str:
        environment = clean_environment(**more)
        command = ["git", f"--git-dir={self.store}", *words]
        done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture
def ran(sound: Ran, tmp_path: Path) -> Ran:
    """A copy that a test may doctor."""
    return Ran(Path(shutil.copytree(sound.store, tmp_path / "ran.git")), sound.expected)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Two agents survey three files; one dies over its piece, and the other takes it over."""
    project = tmp_path_factory.mktemp("project")
    git(project, "init", "-q")
    (project / "README").write_text("hello\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    store = Store.create(tmp_path_factory.mktemp("sound") / "store.git", Config(durability="relaxed"))
    acknowledged: dict[str, list[Acknowledgement]] = {}
    contexts = {}
    for actor in (KILLED, LIVING):
        session = Context(store, actor=actor).sessions.start(actor=actor, agent="test", pid=os.getpid(), hold=False)
        contexts[actor] = Context(store, actor=actor, session=session.id)

    def write(actor: str, what: str, id: str | None = None) -> None:
        acknowledged.setdefault(actor, []).append(Acknowledgement(id or "", what))

    def claim(actor: str, piece: str) -> None:
        id = f"claim-{actor}-{piece}"
        contexts[actor].claims.claim(piece, ttl_s=60, id=id)
        write(actor, f"claim {piece}", id)

    def survey(actor: str, piece: str, path: str) -> None:
        finding = {"path": path, "by": actor, "language": "Python", "lines": 5, "todo": [], "imports": []}
        written = contexts[actor].put(finding_key(path.encode()), finding, message=part_of(piece), claim=piece)
        write(actor, f"put {path}", written.id)

    def finish(actor: str, piece: str) -> None:
        ctx = contexts[actor]
        findings = [ctx.get(finding_key(path.encode())).json() for path in PIECES[piece]]
        written = ctx.update(SUMMARY, lambda value: add_to_summary(value, piece, findings), claim=piece)
        write(actor, "update", written.id)
        write(actor, "release", ctx.claims.release(piece).id)

    claim(KILLED, "survey-1")
    survey(KILLED, "survey-1", "a.py")
    claim(LIVING, "survey-2")
    survey(LIVING, "survey-2", "lib/c.py")
    finish(LIVING, "survey-2")
    contexts[LIVING].sessions.end(contexts[KILLED].session or "", graceful=False)
    claim(LIVING, "survey-1")
    survey(LIVING, "survey-1", "b.py")
    finish(LIVING, "survey-1")
    contexts[LIVING].checkpoints.create(CHECKPOINT, message="3 findings")
    pieces = {finding_key(path.encode()): piece for piece, paths in PIECES.items() for path in paths}
    expected = Expected(
        acknowledged={actor: tuple(writes) for actor, writes in acknowledged.items()},
        killed=frozenset({KILLED}),
        pieces=pieces,
        checkpoint=CHECKPOINT,
        git_dir=project / ".git",
        head=git(project, "rev-parse", "HEAD"),
        left_out=1 - len(pieces),
    )
    return Ran(store.path, expected)


def test_a_sound_store_passes_every_check(ran: Ran) -> None:
    checks = ran.prove()
    assert ran.wrong() == {}
    assert len({check.name for check in checks}) == len(checks) == 10


def test_the_commands_it_prints_can_be_pasted_and_say_what_it_says(ran: Ran) -> None:
    numbers = {}
    for check in ran.prove():
        command = check.shown_command(str(ran.expected.git_dir if check.of_project else ran.store))
        done = subprocess.run(
            ["bash", "-c", command], env=clean_environment(), capture_output=True, text=True, check=True
        )
        numbers[check.name] = done.stdout.strip()
        assert done.stderr == ""
    writes = len(ran.expected.writes)
    assert numbers["files"] == "1"
    assert numbers["writes"] == numbers["ids"] == str(writes + 1)
    assert numbers["findings"] == "3"
    assert numbers["objects"] == ""
    assert json.loads(numbers["sums"])["files"] == 3


def test_a_lost_commit_is_named(ran: Ran) -> None:
    git(ran.store, "update-ref", "refs/heads/context", "context~1")
    wrong = ran.wrong()
    lost = ran.expected.acknowledged[LIVING][-1]
    assert wrong["ids"] == (f"lost: release (id {lost.id}) was acknowledged to {LIVING} and isn't in history",)
    assert {"writes", "who", "claims"} <= set(wrong)


def test_a_commit_lost_from_the_middle_is_named(ran: Ran) -> None:
    """The tree is as it was, and one more commit makes up for the count."""
    tree, parent = git(ran.store, "rev-parse", "context^{tree}"), git(ran.store, "rev-parse", "context~2")
    message = git(ran.store, "log", "-1", "--format=%B", "context")
    for text in ("anything", message):
        words = ("commit-tree", tree, "-p", parent, "-m", text)
        parent = ran.git({"GIT_AUTHOR_NAME": LIVING}, *words)
    git(ran.store, "update-ref", "refs/heads/context", parent)
    wrong = ran.wrong()
    assert "writes" not in wrong
    assert len(wrong["ids"]) == 1
    assert wrong["ids"][0].startswith("lost: update (id ")


def test_a_write_that_happened_twice_is_named(ran: Ran) -> None:
    twice = ran.expected.acknowledged[LIVING][0].id
    ran.put(f"again\n\nGitctx-Id: {twice}", LIVING, "note", "x")
    wrong = ran.wrong()
    assert wrong["ids"] == (f"the id {twice} is in 2 commits (claim survey-2)",)
    assert {"writes", "who"} <= set(wrong)


def test_a_commit_that_nobody_was_told_of_is_counted(ran: Ran) -> None:
    ran.put("unheard of\n\nGitctx-Id: stranger", "somebody", "note", "x")
    wrong = ran.wrong()
    assert "2 ids that nobody was told of" in wrong["ids"][0]
    assert wrong["who"] == ("somebody has 1 commits, and 0 writes were acknowledged to it",)


def test_an_id_told_to_two_agents_is_named(ran: Ran) -> None:
    ran.told(KILLED, ran.expected.acknowledged[LIVING][0].id)
    assert "was told to two agents" in ran.wrong()["ids"][0]


def test_a_claim_taken_from_a_living_agent_is_named(ran: Ran) -> None:
    ran.put("claim survey-9", LIVING, ".gitctx/claims/survey-9", "{}")
    ran.put("claim survey-9", "birch", ".gitctx/claims/survey-9", "{ }")
    ran.commit("release survey-9", "birch", lambda paths: paths.pop(".gitctx/claims/survey-9"))
    (fault,) = ran.wrong()["claims"]
    assert "birch: claim survey-9" in fault
    assert f"{LIVING} held survey-9 at that time, so it was held twice" in fault


def test_a_takeover_is_a_fault_if_the_holder_was_not_killed(ran: Ran) -> None:
    ran.expected = replace(ran.expected, killed=frozenset())
    (fault,) = ran.wrong()["claims"]
    assert f"{KILLED} held survey-1 at that time, so it was held twice" in fault


def test_a_claim_released_by_another_and_one_never_released_are_named(ran: Ran) -> None:
    ran.put("claim survey-8", LIVING, ".gitctx/claims/survey-8", "{}")
    ran.commit("release survey-8", "birch", lambda paths: paths.pop(".gitctx/claims/survey-8"))
    ran.put("claim survey-9", LIVING, ".gitctx/claims/survey-9", "{}")
    released, left = ran.wrong()["claims"]
    assert f"{LIVING} held survey-8 at that time" in released
    assert left == f"survey-9 is still held by {LIVING}"


def test_a_finding_written_without_its_claim_or_twice_is_named(ran: Ran) -> None:
    ran.put("put finding/a.py.json", LIVING, "finding/a.py.json", "{}")
    wrong = ran.wrong()
    assert "written without holding survey-1" in wrong["claims"][0]
    assert wrong["once"] == ("written 2 times: finding/a.py.json",)


def test_a_missing_finding_and_one_too_many_are_named(ran: Ran) -> None:
    def change(paths: dict[str, str]) -> None:
        paths["finding/other.json"] = paths.pop("finding/b.py.json")

    ran.commit("put", LIVING, change)
    assert ran.wrong()["findings"] == (
        "no finding at finding/b.py.json",
        "a finding of nothing in the plan at finding/other.json",
    )


def test_a_folder_that_was_split_into_sub_trees_is_no_second_survey(ran: Ran) -> None:
    def split(paths: dict[str, str]) -> None:
        paths["finding/~7f/~00/a.py.json"] = paths.pop("finding/a.py.json")

    ran.commit("put", LIVING, split)
    assert not {"claims", "once", "findings"} & set(ran.wrong())


def test_a_lost_update_of_the_shared_summary_is_noticed(ran: Ran) -> None:
    summary = json.loads(git(ran.store, "show", f"context:{SUMMARY}"))
    ran.put("update", LIVING, SUMMARY, json.dumps({**summary, "files": 2, "lines": 10}))
    assert [fault.split(":")[0] for fault in ran.wrong()["sums"]] == [
        "the summary counts 2 files of 3",
        "the summary counts 10 lines, the findings 15",
    ]


def test_a_missing_summary_a_missing_checkpoint_and_another_project_are_noticed(ran: Ran) -> None:
    ran.commit("remove", LIVING, lambda paths: paths.pop(SUMMARY))
    git(ran.store, "tag", "-d", CHECKPOINT)
    ran.expected = replace(ran.expected, left_out=5)
    wrong = ran.wrong()
    assert "failed" in wrong["sums"][0]
    assert wrong["checkpoint"] == (f"the checkpoint '{CHECKPOINT}' isn't the only tag",)
    assert wrong["files"] == ("the project tracks 1 files, and the demo knew of 8",)


def test_a_damaged_object_is_noticed(ran: Ran) -> None:
    make_loose(ran.store)
    blob = git(ran.store, "rev-parse", "context:finding/a.py.json")
    place = ran.store / "objects" / blob[:2] / blob[2:]
    place.chmod(0o644)
    place.write_bytes(b"")
    assert "fsck" in ran.wrong()["objects"][0]


def test_of_many_faults_the_first_few_are_told(ran: Ran) -> None:
    for number in range(12):
        ran.told(KILLED, f"lost-{number}")
    faults = ran.wrong()["ids"]
    assert len(faults) == 6
    assert faults[-1] == "and 7 more"
