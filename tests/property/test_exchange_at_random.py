"""Random work on machines that exchange through one remote: in the end all have the same, and nothing is lost."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from gitctx.errors import ClaimHeld, EntryNotFound, InvalidKey, WriteRejected
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx.values import Written
from gitctx_testkit.audit import assert_written_once
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.counts import examples
from gitctx_testkit.git import git

MACHINES = st.integers(0, 2)
KEYS = st.sampled_from(["a", "a/x", "b", "d/x", "d/x/y", "e/lines", "e/n"])
VALUES = st.sampled_from(["", "1\n2\n3\n4\n", "one\n2\n3\n4\n", "1\n2\n3\nfour\n", '{\n  "n": 1\n}\n', "x"])
NAMES = st.sampled_from(["c", "c1", "deep/c"])
SETTINGS = (("strategies.d/", "fail"), ("strategies.e/", "merge"))


class Exchanging(RuleBasedStateMachine):
    """Three machines; the third joins late."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clones = Clones(self.folder / "clones")
        self.acknowledged: list[str] = []
        self.checkpoints: dict[str, str] = {}
        self.deleted: set[str] = set()

    @initialize()
    def begin(self) -> None:
        one = self.clones.begin("one")
        for name, value in SETTINGS:
            one.ctx.configure(name, value)
        one.exchange()
        self.clones.join("two")

    def machine(self, number: int) -> Machine:
        return self.clones.machines[number % len(self.clones.machines)]

    def note(self, written: Written) -> None:
        if written.changed:
            self.acknowledged.append(written.id)

    @rule(who=MACHINES, key=KEYS, value=VALUES)
    def put(self, who: int, key: str, value: str) -> None:
        with suppress(InvalidKey, WriteRejected):
            self.note(self.machine(who).ctx.put(key, value))

    @rule(who=MACHINES, key=KEYS)
    def remove(self, who: int, key: str) -> None:
        with suppress(WriteRejected):
            self.note(self.machine(who).ctx.remove(key, missing_ok=True))

    @rule(who=MACHINES, source=KEYS, to=KEYS)
    def move(self, who: int, source: str, to: str) -> None:
        with suppress(InvalidKey, EntryNotFound, WriteRejected):
            self.note(self.machine(who).ctx.move(source, to, overwrite=True))

    @rule(who=MACHINES, key=st.sampled_from(["e/lines", "b"]))
    def append(self, who: int, key: str) -> None:
        self.note(self.machine(who).ctx.append(key, f"line {len(self.acknowledged)}"))

    @rule(who=MACHINES)
    def claim(self, who: int) -> None:
        try:
            self.machine(who).ctx.claims.claim("work")
        except ClaimHeld:
            self.machine(who).ctx.claims.release("work", force=True)

    @rule(who=MACHINES, name=NAMES)
    def checkpoint(self, who: int, name: str) -> None:
        machine = self.machine(who)
        if name not in machine.checkpoints():
            message = f"number {len(self.checkpoints)}"
            machine.ctx.checkpoints.create(name, message=message)
            self.checkpoints[message] = name

    @rule(who=MACHINES, name=NAMES)
    def delete_checkpoint(self, who: int, name: str) -> None:
        machine = self.machine(who)
        if name in machine.checkpoints():
            self.deleted.add(machine.ctx.checkpoints.delete(name).message)

    @rule(who=MACHINES, how=st.sampled_from(["keep", "take", "put"]))
    def resolve(self, who: int, how: str) -> None:
        conflicts = self.machine(who).ctx.sync.conflicts
        for each in conflicts.list()[:1]:
            with suppress(InvalidKey, WriteRejected):
                if how == "put":
                    self.note(conflicts.put(each.id, "settled"))
                else:
                    self.note((conflicts.keep if how == "keep" else conflicts.take)(each.id))

    @rule(who=MACHINES)
    def exchange(self, who: int) -> None:
        machine = self.machine(who)
        before = machine.content()
        report = machine.exchange()
        assert report.complete
        if not report.branch("context").received:
            assert machine.content() == before

    @precondition(lambda self: len(self.clones.machines) == 2)
    @rule()
    def join(self) -> None:
        self.clones.join("three")

    @rule(back=st.integers(1, 4), branch=st.sampled_from(["context", "context", "sessions"]))
    def force_the_remote_back(self, back: int, branch: str) -> None:
        hub = self.clones.hub
        old = hub.git("rev-list", "--first-parent", f"--skip={back}", "-1", f"refs/heads/{branch}")
        if old:
            hub.git("update-ref", f"refs/heads/{branch}", old)

    @rule()
    def lose_the_tags_of_the_remote(self) -> None:
        """As if somebody had deleted them there: they stay here."""
        for ref in self.clones.hub.git("for-each-ref", "--format=%(refname)", "refs/tags").splitlines()[:1]:
            self.clones.hub.git("update-ref", "-d", ref)

    def teardown(self) -> None:
        try:
            if self.clones.machines:
                self.look()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def look(self) -> None:
        machines = self.clones.machines
        self.clones.settle()
        assert not any(machine.exchange().changed for machine in machines)
        held = {frozenset(machine.content().items()) for machine in machines}
        assert len(held) == 1
        for machine in machines:
            assert verify(Store.open(machine.path), full=True).problems == ()
            assert_written_once(machine.path, self.acknowledged)
            assert {each.key for each in machine.ctx.sync.conflicts.list()} <= {"d/x", "d/x/y"}
        for message in self.checkpoints.keys() - self.deleted:
            found = [machine for machine in machines if message in _messages(machine)]
            assert found, message
        by_name: dict[str, set[str]] = {}
        for machine in machines:
            for name, oid in machine.checkpoints().items():
                by_name.setdefault(name, set()).add(oid)
        hub = git(self.clones.hub.path, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags").splitlines()
        assert [name for name in hub if len(by_name.get(name, ())) != 1] == []


def _messages(machine: Machine) -> set[str]:
    return {each.message for each in machine.ctx.checkpoints.list()}


def test_random_work_on_machines_that_exchange_ends_with_the_same_everywhere_and_nothing_lost() -> None:
    run_state_machine_as_test(
        Exchanging,
        settings=settings(
            max_examples=examples(4),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
