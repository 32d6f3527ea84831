"""Random work on machines that exchange and rotate: in the end all have the same, and every write is accounted for."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gitctx.errors import RevisionNotFound, WriteRejected
from gitctx.store import Store
from gitctx.store.verify import verify
from gitctx.values import Written
from gitctx_testkit.clones import Clones, Machine
from gitctx_testkit.counts import examples
from gitctx_testkit.git import git

PHASES = (Phase.generate,)
MACHINES = st.integers(0, 2)
KEYS = st.sampled_from(["a", "b", "d/x", "d/y", "e"])


class Rotating(RuleBasedStateMachine):
    """Three machines. What was written last by the common clock is what is there in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clones = Clones(self.folder / "clones")
        self.acknowledged: dict[str, str] = {}
        self.newest: dict[str, str | None] = {}

    @initialize()
    def begin(self) -> None:
        one = self.clones.begin("one")
        for number in range(4):
            self.note(one.ctx.put(f"early/{number}", "x"), f"early/{number}", "x")
        one.exchange()
        self.clones.join("two")
        self.clones.join("three")

    def machine(self, number: int) -> Machine:
        return self.clones.machines[number % len(self.clones.machines)]

    def note(self, written: Written, key: str, value: str | None) -> None:
        if written.changed:
            self.acknowledged[str(written.id)] = str(written.revision)
            self.newest[key] = value

    @rule(who=MACHINES, key=KEYS)
    def put(self, who: int, key: str) -> None:
        value = f"value {len(self.acknowledged)}\n"
        with suppress(WriteRejected):
            self.note(self.machine(who).ctx.put(key, value), key, value)

    @rule(who=MACHINES, key=KEYS)
    def remove(self, who: int, key: str) -> None:
        """Once all know of it: else somebody's older value may be new to the others."""
        self.clones.settle()
        with suppress(WriteRejected):
            self.note(self.machine(who).ctx.remove(key, missing_ok=True), key, None)

    @rule(who=MACHINES)
    def append(self, who: int) -> None:
        ctx = self.machine(who).ctx
        written = ctx.append("lines", f"line {len(self.acknowledged)}")
        self.acknowledged[str(written.id)] = str(written.revision)

    @rule(who=MACHINES, keep=st.integers(1, 6))
    def rotate(self, who: int, keep: int) -> None:
        machine = self.machine(who)
        before = git(machine.path, "rev-parse", "context^{tree}")
        machine.ctx.rotation.apply(keep=keep)
        assert git(machine.path, "rev-parse", "context^{tree}") == before

    @rule(who=MACHINES)
    def undo(self, who: int) -> None:
        machine = self.machine(who)
        before = git(machine.path, "rev-parse", "context^{tree}")
        with suppress(RevisionNotFound):
            machine.ctx.rotation.undo()
        assert git(machine.path, "rev-parse", "context^{tree}") == before

    @rule(who=MACHINES)
    def exchange(self, who: int) -> None:
        machine = self.machine(who)
        before = machine.content()
        report = machine.exchange()
        assert report.complete
        if not report.branch("context").received:
            assert machine.content() == before

    @rule(who=MACHINES)
    def repeat(self, who: int) -> None:
        """An id that was honoured here is honoured as long as grace lasts, rotated or not."""
        machine = self.machine(who)
        first = machine.ctx.put(f"own/{machine.name}", "same", id=f"own-{machine.name}")
        again = machine.ctx.put(f"own/{machine.name}", "same", id=f"own-{machine.name}")
        assert again.changed == first.changed
        assert machine.ctx.get(f"own/{machine.name}").text() == "same"
        self.acknowledged[f"own-{machine.name}"] = str(first.revision)

    def teardown(self) -> None:
        try:
            if self.clones.machines:
                self.look()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def look(self) -> None:
        machines = self.clones.machines
        self.clones.settle()
        content = machines[0].content()
        assert all(machine.content() == content for machine in machines)
        lines = content.pop("lines", "").splitlines()
        assert len(lines) == len(set(lines))
        content = {key: value for key, value in content.items() if not key.startswith("own/")}
        assert content == {key: value for key, value in self.newest.items() if value is not None}
        for machine in machines:
            assert verify(Store.open(machine.path), full=True).problems == ()
        self.look_at_ids(machines)

    def look_at_ids(self, machines: list[Machine]) -> None:
        """Each is in the history that all share, or in an old head that some machine keeps; none stands there twice."""
        shared = git(
            machines[0].path,
            "log",
            "--format=%H %(trailers:key=Gitctx-Revision,valueonly,separator=%x2C) "
            "%(trailers:key=Gitctx-Id,valueonly,separator=%x2C)",
            "context",
        )
        rows = [line.split(" ") for line in shared.splitlines()]
        ids = Counter({id: len({original or oid for oid, original, each in rows if each == id}) for _, _, id in rows})
        assert [id for id in self.acknowledged if ids[id] > 1] == []
        kept = {
            id
            for machine in machines
            for id in git(
                machine.path,
                "log",
                "--format=%(trailers:key=Gitctx-Id,valueonly,separator=%x2C)",
                "--glob=refs/gitctx/rotated/*/context",
                "context",
            ).splitlines()
        }
        assert [id for id in self.acknowledged if id not in kept] == []


def test_random_work_and_rotations_on_machines_that_exchange_end_with_the_same_everywhere() -> None:
    run_state_machine_as_test(
        Rotating,
        settings=settings(
            max_examples=examples(4),
            stateful_step_count=30,
            deadline=None,
            phases=PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )
