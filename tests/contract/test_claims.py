"""What a claim promises: one holder at a time, told by name, ended by release, time, or its holder's proved end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gitctx import failpoints
from gitctx.config import Config
from gitctx.context import Context
from gitctx.errors import (
    ClaimHeld,
    ClaimLost,
    ClaimNotFound,
    CorruptStore,
    EntryNotFound,
    IdReused,
    InvalidInput,
    InvalidName,
    RetriesExhausted,
    SessionEnded,
)
from gitctx.format.documents import to_canonical_json
from gitctx.sessions import Claims, Sessions
from gitctx.sessions.standing import Standing
from gitctx.store import Store, View
from gitctx.store.request import Planned, Request
from gitctx.store.verify import verify
from gitctx.values import Claim
from gitctx_testkit.git import git
from gitctx_testkit.machine import FakeMachine


class Time:
    """A clock and a stopwatch that only move when somebody sleeps, or a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)
        self.at: dict[float, Any] = {}
        self._began = self.now

    def config(self, **more: Any) -> Config:
        return Config(clock=lambda: self.now, monotonic=self.monotonic, sleep=self.sleep, **more)

    def monotonic(self) -> float:
        return (self.now - self._began).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let time pass, and do what was planned for it."""
        self.now += timedelta(seconds=seconds)
        for moment in [moment for moment in self.at if moment <= self.monotonic()]:
            self.at.pop(moment)()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def store(tmp_path: Path, time: Time) -> Iterator[Store]:
    made = Store.create(tmp_path / "store.git", time.config(durability="relaxed"))
    yield made
    assert verify(Store.open(made.path), full=True).problems == ()


@pytest.fixture
def sessions(store: Store, machine: FakeMachine) -> Sessions:
    return Sessions(store, machine)


@pytest.fixture
def planner(store: Store, sessions: Sessions) -> Claims:
    """Claims of a session of `planner` on the process 100."""
    session = sessions.start(actor="planner", hold=False, pid=100)
    return Claims(store, sessions, actor="planner", session=session.id)


@pytest.fixture
def coder(store: Store, sessions: Sessions, machine: FakeMachine) -> Claims:
    """Claims of a session of `coder` on the process 200."""
    machine.run(200, "coder")
    session = sessions.start(actor="coder", hold=False, pid=200)
    return Claims(store, sessions, actor="coder", session=session.id)


@pytest.fixture
def outsider(store: Store, sessions: Sessions) -> Claims:
    """Claims of `outsider`, without a session."""
    return Claims(store, sessions, actor="outsider", session=None)


def put_raw(store: Store, name: str, data: bytes) -> None:
    """Write a claim file as another program would."""
    key = f".gitctx/claims/{name}"
    store.context.write(Request("test", "test", "somebody", lambda view: Planned({key: data})))


def last_commit(store: Store) -> str:
    return git(store.path, "log", "-1", "--format=%an%n%B", "context")


# -- claiming ---------------------------------------------------------------------------------------------------------


def test_a_claim_is_an_entry_that_plain_git_shows_and_one_commit(store: Store, planner: Claims, time: Time) -> None:
    claim = planner.claim("refactor/auth", ttl_s=60, message="touching every file")
    shown = json.loads(git(store.path, "show", "context:.gitctx/claims/refactor/auth"))
    assert shown["session"] == claim.session
    assert shown["expires_at"] == "2026-11-03T10:01:00Z"
    assert shown["message"] == "touching every file"
    assert claim.holder_state == "alive"
    assert claim.expires_at == time.now + timedelta(seconds=60)
    body = last_commit(store)
    assert body.startswith("planner\nclaim refactor/auth\n\ntouching every file\n")
    assert f"Gitctx-Session: {claim.session}" in body
    assert planner.get("refactor/auth") == claim
    assert list(planner.list()) == [claim]


def test_a_held_claim_tells_who_holds_it_and_whether_they_live(store: Store, planner: Claims, coder: Claims) -> None:
    claim = planner.claim("job", ttl_s=60, message="nearly done")
    head = store.context.head()
    with pytest.raises(ClaimHeld) as caught:
        coder.claim("job")
    assert caught.value.details == {
        "name": "job",
        "id": claim.id,
        "session": claim.session,
        "actor": "planner",
        "holder_state": "alive",
        "expires_at": "2026-11-03T10:01:00Z",
        "message": "nearly done",
    }
    expected = f"'job' is claimed by planner (session {claim.session}, alive) until 2026-11-03T10:01:00Z: nearly done"
    assert str(caught.value) == expected
    assert "--wait" in caught.value.hint
    assert store.context.head() == head


def test_a_second_process_of_the_session_is_refused_too_and_told_of_renew(planner: Claims) -> None:
    planner.claim("job")
    with pytest.raises(ClaimHeld) as caught:
        planner.claim("job")
    assert "--renew" in caught.value.hint


def test_without_a_session_actor_and_time_decide(
    store: Store, sessions: Sessions, outsider: Claims, time: Time
) -> None:
    claim = outsider.claim("job", ttl_s=60)
    assert (claim.session, claim.holder_state) == (None, "none")
    other = Claims(store, sessions, actor="other", session=None)
    with pytest.raises(ClaimHeld, match="outside any session"):
        other.claim("job")
    with pytest.raises(ClaimHeld):
        outsider.claim("job")
    outsider.guard(store.context.view(), "job")
    with pytest.raises(ClaimHeld):
        other.guard(store.context.view(), "job")
    time.sleep(60)
    assert other.claim("job").actor == "other"


@pytest.mark.parametrize("ttl_s", [0, 0.5, -1, 30 * 24 * 3600 + 1, float("nan"), float("inf"), True])
def test_a_time_that_is_too_short_or_too_long_is_refused(store: Store, planner: Claims, ttl_s: float) -> None:
    head = store.context.head()
    for renew in (False, True):
        with pytest.raises(InvalidInput):
            planner.claim("job", ttl_s=ttl_s, renew=renew)
    assert store.context.head() == head


@pytest.mark.parametrize("wait_s", [-1, float("nan")])
def test_a_wait_that_cannot_be_is_refused(planner: Claims, wait_s: float) -> None:
    with pytest.raises(InvalidInput):
        planner.claim("job", wait_s=wait_s)


def test_the_usual_time_comes_from_the_settings_of_the_store(
    store: Store, planner: Claims, machine: FakeMachine
) -> None:
    assert planner.claim("one").expires_at - planner.get("one").claimed_at == timedelta(minutes=30)
    Context(store, actor="planner", machine=machine).configure("claims.ttl_s", 5)
    assert planner.claim("two").expires_at - planner.get("two").claimed_at == timedelta(seconds=5)


@pytest.mark.parametrize("name", ["", "a//b", "../x", ".git", "x" * 600, "a\nb", "-x", "~00"])
def test_a_name_that_is_no_key_is_refused(planner: Claims, name: str) -> None:
    for call in (planner.claim, planner.release, planner.get):
        with pytest.raises(InvalidName):
            call(name)


def test_a_name_that_is_a_folder_of_another_one_is_refused_by_name(planner: Claims) -> None:
    planner.claim("area")
    with pytest.raises(InvalidName, match="area/part"):
        planner.claim("area/part")


def test_a_session_that_has_ended_claims_nothing(store: Store, sessions: Sessions, planner: Claims) -> None:
    holder = planner.claim("one").session
    assert holder is not None
    sessions.end(holder)
    head = store.context.head()
    for call in (
        lambda: planner.claim("two"),
        lambda: planner.claim("one", renew=True),
        lambda: planner.release("one"),
    ):
        with pytest.raises(SessionEnded):
            call()
    assert store.context.head() == head


# -- how a claim ends -------------------------------------------------------------------------------------------------


def test_a_claim_is_free_when_its_time_is_up_and_not_before(planner: Claims, coder: Claims, time: Time) -> None:
    planner.claim("job", ttl_s=60)
    time.sleep(59.9)
    with pytest.raises(ClaimHeld):
        coder.claim("job")
    time.sleep(0.1)
    assert planner.get("job").holder_state == "expired"
    assert coder.claim("job").actor == "coder"


@pytest.mark.parametrize("fate", ["killed", "number reused", "rebooted", "ended"])
def test_the_claim_of_a_session_that_is_gone_is_taken_over_and_the_commit_says_so(
    store: Store, sessions: Sessions, machine: FakeMachine, planner: Claims, coder: Claims, fate: str
) -> None:
    before = planner.claim("job", ttl_s=86400)
    etag = store.context.view().etag(".gitctx/claims/job")
    assert before.session is not None
    taker = coder
    if fate == "killed":
        machine.kill(100)
    elif fate == "number reused":
        machine.run(100, "vim", started_at="7000")
    elif fate == "rebooted":
        machine.reboot()
        machine.run(300)
        fresh = sessions.start(actor="fresh", pid=300, hold=False, recover=False)
        taker = Claims(store, sessions, actor="fresh", session=fresh.id)
    else:
        sessions.end(before.session)
    state = "ended" if fate == "ended" else "dead"
    assert planner.get("job").holder_state == state
    after = taker.claim("job", message="going on")
    assert after.id != before.id
    body = last_commit(store)
    assert f"going on\n\nTaken over from planner (session {before.session}, {state}).\n" in body
    assert f"Gitctx-Supersedes: {etag}" in body


@pytest.mark.parametrize("place", ["other host", "other space", "unknown session"])
def test_the_claim_of_a_silent_session_holds_until_its_time_is_up(
    store: Store, machine: FakeMachine, planner: Claims, time: Time, place: str
) -> None:
    claim = planner.claim("job", ttl_s=60)
    elsewhere = FakeMachine(host="b") if place == "other host" else FakeMachine(space="pid:[2]")
    if place == "unknown session":
        key = f"{claim.session}.json"
        store.sessions.write(Request("test", "test", "somebody", lambda view: Planned({key: None})))
    taker = Claims(store, Sessions(store, elsewhere), actor="taker", session=None)
    with pytest.raises(ClaimHeld) as caught:
        taker.claim("job")
    assert caught.value.details["holder_state"] == "silent"
    assert "--force" in caught.value.hint
    time.sleep(60)
    assert taker.claim("job").actor == "taker"


def test_a_release_frees_it_for_others(store: Store, planner: Claims, coder: Claims) -> None:
    planner.claim("job")
    written = planner.release("job", message="done")
    assert (written.changed, written.etag) == (True, None)
    assert last_commit(store).startswith("planner\nrelease job\n\ndone\n")
    with pytest.raises(ClaimNotFound):
        planner.release("job")
    with pytest.raises(ClaimNotFound):
        planner.get("job")
    coder.claim("job")


def test_another_ones_claim_is_only_released_by_force_which_the_commit_tells(
    store: Store, planner: Claims, coder: Claims
) -> None:
    claim = planner.claim("job")
    with pytest.raises(ClaimHeld):
        coder.release("job")
    coder.release("job", force=True, message="he went home")
    body = last_commit(store)
    assert f"he went home\n\nThe claim was held by planner (session {claim.session}, alive).\n" in body
    assert "Gitctx-Supersedes: " in body
    with pytest.raises(ClaimLost):
        planner.claim("job", renew=True)


def test_what_holds_nothing_any_more_may_be_released_by_anybody(
    machine: FakeMachine, planner: Claims, coder: Claims
) -> None:
    planner.claim("job")
    machine.kill(100)
    coder.release("job")
    assert coder.list() == []


def test_a_claim_that_cannot_be_read_stands_in_the_way_until_it_is_released_by_force(
    store: Store, planner: Claims
) -> None:
    put_raw(store, "job", b"{")
    planner.claim("other")
    for call in (
        lambda: planner.claim("job"),
        lambda: planner.release("job"),
        lambda: planner.get("job"),
        lambda: planner.guard(store.context.view(), "job"),
    ):
        with pytest.raises(CorruptStore) as caught:
            call()
        assert "release job --force" in caught.value.hint
    assert [(claim.name, claim.actor) for claim in planner.list()] == [("job", ""), ("other", "planner")]
    planner.release("job", force=True)
    planner.claim("job")


# -- renewing ---------------------------------------------------------------------------------------------------------


def test_renewing_extends_the_same_claim_and_keeps_what_it_does_not_know(
    store: Store, planner: Claims, time: Time
) -> None:
    claim = planner.claim("job", ttl_s=60, message="first")
    key = ".gitctx/claims/job"
    fields = json.loads(store.context.view().value(key) or b"")
    put_raw(store, "job", to_canonical_json({**fields, "mood": "good"}))
    time.sleep(50)
    renewed = planner.claim("job", ttl_s=60, renew=True)
    assert (renewed.id, renewed.message, renewed.claimed_at) == (claim.id, "first", claim.claimed_at)
    assert renewed.expires_at == time.now + timedelta(seconds=60)
    assert json.loads(store.context.view().value(key) or b"")["mood"] == "good"
    assert planner.claim("job", renew=True, message="second").message == "second"


def test_only_a_claim_that_is_still_held_is_renewed(
    planner: Claims, coder: Claims, time: Time, outsider: Claims
) -> None:
    with pytest.raises(ClaimLost, match="nothing to extend"):
        planner.claim("job", renew=True)
    planner.claim("job", ttl_s=60)
    for other in (coder, outsider):
        with pytest.raises(ClaimLost, match="held by planner"):
            other.claim("job", renew=True)
    time.sleep(60)
    with pytest.raises(ClaimLost):
        planner.claim("job", renew=True)


# -- ids --------------------------------------------------------------------------------------------------------------


def test_the_same_id_gives_the_same_claim_while_it_is_held(
    store: Store, planner: Claims, coder: Claims, time: Time
) -> None:
    claim = planner.claim("job", ttl_s=60, id="step-1")
    head = store.context.head()
    assert planner.claim("job", ttl_s=60, id="step-1") == claim
    assert store.context.head() == head
    for call in (
        lambda: planner.claim("job", ttl_s=61, id="step-1"),
        lambda: planner.claim("job", ttl_s=60, id="step-1", renew=True),
        lambda: planner.claim("other", ttl_s=60, id="step-1"),
        lambda: coder.claim("job", ttl_s=60, id="step-1"),
        lambda: planner.release("job", id="step-1"),
    ):
        with pytest.raises(IdReused):
            call()
    renewed = planner.claim("job", ttl_s=90, id="step-2", renew=True)
    time.sleep(10)
    assert planner.claim("job", ttl_s=90, id="step-2", renew=True) == renewed
    planner.release("job", id="step-3")
    assert planner.release("job", id="step-3").changed
    with pytest.raises(ClaimLost):
        planner.claim("job", ttl_s=60, id="step-1")
    planner.claim("job", ttl_s=60)
    with pytest.raises(ClaimLost):
        planner.claim("job", ttl_s=60, id="step-1")


def test_an_id_of_a_refused_claim_can_be_used_again(planner: Claims, coder: Claims) -> None:
    planner.claim("job")
    with pytest.raises(ClaimHeld):
        coder.claim("job", id="mine")
    planner.release("job")
    assert coder.claim("job", id="mine").actor == "coder"


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_ends_when_it_is_released(store: Store, planner: Claims, coder: Claims, time: Time) -> None:
    planner.claim("job", ttl_s=3600)
    time.at[4.0] = lambda: planner.release("job")
    assert coder.claim("job", wait_s=60).actor == "coder"
    assert time.monotonic() < 4.2


def test_waiting_ends_when_the_holder_dies_though_no_write_tells(
    machine: FakeMachine, planner: Claims, coder: Claims, time: Time
) -> None:
    planner.claim("job", ttl_s=3600)
    time.at[4.0] = lambda: machine.kill(100)
    assert coder.claim("job", wait_s=60).actor == "coder"
    assert time.monotonic() < 5.1


def test_waiting_ends_when_the_claim_runs_out(planner: Claims, coder: Claims, time: Time) -> None:
    planner.claim("job", ttl_s=4)
    assert coder.claim("job", wait_s=60).actor == "coder"
    assert 4 <= time.monotonic() < 5.1


def test_waiting_in_vain_tells_who_holds_it(planner: Claims, coder: Claims, time: Time) -> None:
    planner.claim("job", ttl_s=3600)
    with pytest.raises(ClaimHeld, match="planner"):
        coder.claim("job", wait_s=3)
    assert 3 <= time.monotonic() < 3.1


# -- writes under a claim ---------------------------------------------------------------------------------------------


def test_a_write_under_a_claim_needs_the_claim(
    store: Store, machine: FakeMachine, planner: Claims, coder: Claims, time: Time
) -> None:
    with_claim = Context(store, actor="planner", session=planner.claim("job", ttl_s=60).session, machine=machine)
    without = Context(store, actor="coder", session=coder.claim("mine").session, machine=machine)
    with_claim.put("a", "1", claim="job")
    refused: tuple[Callable[[], object], ...] = (
        lambda: without.put("a", "2", claim="job"),
        lambda: without.remove("a", claim="job"),
        lambda: without.append("a", "2", claim="job"),
    )
    for call in refused:
        with pytest.raises(ClaimHeld):
            call()
    with pytest.raises(ClaimLost, match="nobody holds it"):
        without.put("a", "2", claim="no-such")
    machine.kill(100)
    with pytest.raises(ClaimLost, match="left over from planner"):
        without.put("a", "2", claim="job")
    machine.run(100)
    time.sleep(60)
    with pytest.raises(ClaimLost, match="ran out"):
        with_claim.put("a", "2", claim="job")
    assert with_claim.get("a").text() == "1"


def test_a_claim_lost_while_the_write_is_under_way_stops_it(
    store: Store, sessions: Sessions, machine: FakeMachine, planner: Claims, time: Time
) -> None:
    ctx = Context(store, actor="planner", session=planner.claim("job").session, machine=machine)
    rival = Claims(
        Store.open(store.path, Config(queue_patience_s=0.01, clock=lambda: time.now)),
        sessions,
        actor="rival",
        session=None,
    )

    def overtake() -> None:
        failpoints.deactivate()
        rival.release("job", force=True)
        rival.claim("job")

    failpoints.activate("write.before_swap", overtake)
    try:
        with pytest.raises(ClaimHeld, match="rival"):
            ctx.put("a", "1", claim="job")
    finally:
        failpoints.deactivate()
    with pytest.raises(EntryNotFound):
        ctx.get("a")


def test_a_claim_decided_on_an_old_head_is_decided_anew(
    store: Store, sessions: Sessions, planner: Claims, time: Time
) -> None:
    rival = Claims(
        Store.open(store.path, Config(queue_patience_s=0.01, clock=lambda: time.now)),
        sessions,
        actor="rival",
        session=None,
    )

    def overtake() -> None:
        failpoints.deactivate()
        rival.claim("job")

    failpoints.activate("write.before_swap", overtake)
    try:
        with pytest.raises(ClaimHeld, match="rival"):
            planner.claim("job")
    finally:
        failpoints.deactivate()


def test_a_claim_that_never_stands_still_is_given_up(
    store: Store, planner: Claims, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, count = planner._writer.look, iter(range(1000))

    def look_and_be_overtaken(name: str, view: View | None = None) -> Standing:
        found = look(name, view)
        put_raw(store, name, f"not a claim {next(count)}".encode())
        time.sleep(1)
        return found

    monkeypatch.setattr(planner._writer, "look", look_and_be_overtaken)
    with pytest.raises(RetriesExhausted):
        planner.release("job", force=True, id="x")
    assert next(count) < 10
    monkeypatch.undo()
    planner.release("job", force=True)


# -- holding ----------------------------------------------------------------------------------------------------------


def test_a_claim_held_for_a_block_is_released_after_it(planner: Claims, coder: Claims) -> None:
    with planner.hold("job", ttl_s=60, message="why") as claim:
        assert planner.get("job") == claim
        with pytest.raises(ClaimHeld):
            coder.claim("job")
    assert planner.list() == []
    with pytest.raises(ZeroDivisionError), planner.hold("job"):
        raise ZeroDivisionError
    assert planner.list() == []


def hold_and(claims: Claims, *steps: Callable[[], object]) -> None:
    """Hold a claim for a block of several steps."""
    with claims.hold("job"):
        for step in steps:
            step()


def test_a_claim_lost_during_the_block_is_told_at_its_end(planner: Claims, coder: Claims) -> None:
    def lose() -> None:
        coder.release("job", force=True)

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ClaimLost, match="lost while it was held"):
        hold_and(planner, lose)
    with pytest.raises(ClaimLost):
        hold_and(planner, lose, lambda: coder.claim("job"))
    assert coder.get("job").actor == "coder"
    coder.release("job")
    with pytest.raises(ZeroDivisionError) as caught:
        hold_and(planner, lose, fail)
    assert "lost while it was held" in caught.value.__notes__[0]


def test_a_block_releases_no_later_claim_of_its_own_session(planner: Claims) -> None:
    later: list[Claim] = []
    with pytest.raises(ClaimLost):
        hold_and(planner, lambda: planner.release("job"), lambda: later.append(planner.claim("job")))
    assert planner.get("job") == later[0]
