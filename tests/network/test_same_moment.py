"""Several machines do the same thing at the same moment, and meet on a server: all of them learn the same outcome."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gitctx.context import Context
from gitctx.errors import ClaimHeld, ClaimLost, GitctxError
from gitctx.store import Store
from gitctx_testkit.processes import together
from gitctx_testkit.working_clones import Meeting, ssh_in_soak_only

MACHINES = 4


def everywhere(meeting: Meeting, do: Callable[[Context], str]) -> list[str]:
    """Have a process for each store do something at the same moment; what each returned."""
    for number in range(MACHINES):
        meeting.store(f"machine-{number}")

    def on(path: Path, number: int) -> Callable[[], str]:
        return lambda: do(Context(Store.open(path), actor=f"machine-{number}"))

    return together([on(path, number) for number, path in enumerate(meeting.clones)])


def again(meeting: Meeting) -> list[Context]:
    """Exchange twice each, one after the other: then all have seen all."""
    contexts = [Context(Store.open(path), actor="reader") for path in meeting.clones]
    for _ in range(2):
        for context in contexts:
            assert context.sync.exchange().complete
    assert meeting.agree()
    return contexts


@ssh_in_soak_only
def test_of_one_key_created_by_all_one_value_stands_everywhere_and_the_others_are_named(meeting: Meeting) -> None:
    def create(context: Context) -> str:
        written = context.put("plan/same", f"from {context.actor}", if_absent=True)
        context.sync.exchange()
        return str(written.id)

    ids = everywhere(meeting, create)
    contexts = again(meeting)
    meeting.assert_once(ids)
    values = {context.get("plan/same").text() for context in contexts}
    assert len(values) == 1
    etags = {
        meeting.hosted.git("rev-parse", f"{revision}:plan/same")
        for revision in meeting.hosted.git(
            "log", "--full-history", "--no-merges", "--format=%H", "context", "--", "plan/same"
        ).split()
    }
    assert len(etags) == MACHINES
    trailers = "%(trailers:key=Gitctx-Supersedes,valueonly)"
    superseded = set(meeting.hosted.git("log", f"--format={trailers}", "context").split())
    assert superseded >= etags - {contexts[0].get("plan/same").etag}


@ssh_in_soak_only
def test_of_one_checkpoint_name_all_stay_and_all_know_them_by_the_same_names(meeting: Meeting) -> None:
    def create(context: Context) -> str:
        context.put(f"plan/{context.actor}", "its own")
        made = context.checkpoints.create("release", message=context.actor)
        context.sync.exchange()
        return str(made.revision)

    revisions = everywhere(meeting, create)
    contexts = again(meeting)
    known = [{each.name: (each.revision, each.message) for each in context.checkpoints.list()} for context in contexts]
    assert all(each == known[0] for each in known)
    assert "release" in known[0]
    assert all(name.startswith("release") for name in known[0])
    assert {revision for revision, _ in known[0].values()} == set(revisions)
    assert {message for _, message in known[0].values()} == {f"machine-{number}" for number in range(MACHINES)}


@ssh_in_soak_only
def test_of_all_who_claim_one_piece_of_work_on_the_remote_exactly_one_gets_it(meeting: Meeting) -> None:
    def claim(context: Context) -> str:
        with context.sessions.start(actor=context.actor) as session:
            try:
                made = Context(context.store, actor=context.actor, session=session.id).sync.claim(
                    "refactor", ttl_s=600, message=context.actor
                )
            except (ClaimHeld, ClaimLost) as error:
                return f"not {error.code}"
            except GitctxError as error:
                return f"failed: {error.code} {error}"
            context.sync.exchange()
            return str(made.id)

    answers = everywhere(meeting, claim)
    winners = [answer for answer in answers if not answer.startswith(("not", "failed"))]
    assert len(winners) == 1, answers
    assert not [answer for answer in answers if answer.startswith("failed")], answers
    again(meeting)
    found = meeting.hosted.git("log", "--format=%an", "-1", "--diff-filter=A", "context", "--", ".gitctx/claims")
    assert found == f"machine-{answers.index(winners[0])}"
