"""Requests and acknowledgements as bytes: what goes in comes out, and rubbish is refused."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitctx.store import parcel
from gitctx.store.edits import Append, Edit, Move, Put, PutEtag, Remove, Update
from gitctx.store.pending import Pending
from gitctx.store.request import Planned, Request
from gitctx.store.view import View
from gitctx.values import EntryEtag, Etag, Revision, WriteId, Written

OIDS = st.text("0123456789abcdef", min_size=40, max_size=40)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
MAYBE_OIDS = st.none() | OIDS
EDITS: st.SearchStrategy[Edit] = st.one_of(
    st.builds(Put, TEXTS, st.binary(max_size=50), MAYBE_OIDS, st.booleans()),
    st.builds(PutEtag, TEXTS, OIDS),
    st.builds(Remove, TEXTS, MAYBE_OIDS, st.booleans()),
    st.builds(Move, TEXTS, TEXTS, st.booleans()),
    st.builds(Append, TEXTS, st.binary(max_size=50)),
)
REFUSED = (ValueError, TypeError, KeyError, struct.error)


@given(st.lists(EDITS, max_size=5), st.dictionaries(TEXTS, MAYBE_OIDS, max_size=3), st.none() | TEXTS, MAYBE_OIDS)
def test_a_plan_comes_out_as_it_went_in(
    edits: list[Edit], bases: dict[str, Etag | None], strategy: str | None, head: str | None
) -> None:
    assert parcel.is_portable(edits, strategy)
    data = parcel.pack_plan(edits, bases, strategy, head)
    assert parcel.unpack_plan(data) == (edits, bases, strategy, head)


def test_functions_do_not_travel() -> None:
    update = Update("k", lambda data: data)
    assert not parcel.is_portable([update], None)
    assert not parcel.is_portable([], lambda sides: sides.theirs)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="function"):
        parcel.pack_plan([update], {}, None, None)


def _plan_of(parcels: list[tuple[bytes, str | None]]) -> parcel.PlanMaker:
    def make(data: bytes, session: str | None):  # type: ignore[no-untyped-def]
        parcels.append((data, session))

        def plan(_: View) -> Planned:
            return Planned()

        return plan

    return make


@given(
    st.lists(
        st.tuples(TEXTS, TEXTS, st.none() | TEXTS, st.none() | OIDS, st.binary(max_size=60), st.booleans()), max_size=4
    ),
    st.booleans(),
)
def test_requests_come_out_as_they_went_in(
    rows: list[tuple[str, str, str | None, str | None, bytes, bool]], durable: bool
) -> None:
    pendings = []
    for subject, message, session, id, plan, always in rows:
        request = Request(
            op="put",
            subject=subject,
            actor="planner",
            plan=lambda _: Planned(),
            message=message,
            session=session,
            id=id,
            digest="d",
            trailers=(("Gitctx-X", "y"),),
            always=always,
            parcel=lambda plan=plan: plan,  # type: ignore[misc]
        )
        pendings.append(Pending(request, id or "made-up"))
    parcels: list[tuple[bytes, str | None]] = []
    found, is_durable = parcel.unpack_requests(parcel.pack_requests(pendings, durable=durable), _plan_of(parcels))
    assert is_durable is durable
    assert parcels == [(plan, session) for _, _, session, _, plan, _ in rows]
    for before, after in zip(pendings, found, strict=True):
        assert after.id == before.id
        for name in ("op", "subject", "actor", "message", "session", "id", "digest", "trailers", "always"):
            assert getattr(after.request, name) == getattr(before.request, name), name


WRITTEN = st.builds(
    Written,
    OIDS.map(Revision),
    OIDS.map(Revision),
    TEXTS.map(WriteId),
    st.booleans(),
    st.integers(0, 100),
    st.lists(OIDS.map(Etag), max_size=3).map(tuple),
    st.lists(st.builds(EntryEtag, TEXTS, st.none() | OIDS.map(Etag)), max_size=3).map(tuple),
)


@given(st.lists(st.none() | WRITTEN, max_size=4))
def test_acknowledgements_come_out_as_they_went_in(outcomes: list[Written | None]) -> None:
    assert parcel.unpack_outcomes(parcel.pack_outcomes(outcomes)) == outcomes


@given(st.binary(max_size=80))
def test_rubbish_is_refused_with_errors_that_are_caught(data: bytes) -> None:
    for unpack in (
        parcel.unpack_plan,
        parcel.unpack_outcomes,
        lambda data: parcel.unpack_requests(data, _plan_of([])),
    ):
        with pytest.raises(REFUSED):
            unpack(data)


def test_a_parcel_of_another_version_is_refused() -> None:
    header = json.dumps([parcel.VERSION + 1, True, []]).encode()
    with pytest.raises(ValueError, match="version"):
        parcel.unpack_requests(struct.pack(">I", len(header)) + header, _plan_of([]))
