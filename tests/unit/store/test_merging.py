"""Merging two heads: each rule by an example of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from gitctx.format import layout
from gitctx.format.conflicts import about_key, waiting_key
from gitctx.format.keys import CLAIMS_PREFIX, MAX_KEY_BYTES, SETTINGS_KEY, key_fault
from gitctx.format.objects import blob_id
from gitctx.format.strategies import Settled, Sides, Unsettled
from gitctx.store.merging import FIRST_PUBLISHED, OWN_FUNCTION, Merge, Merged, Side, aside
from gitctx.store.origins import Origin
from gitctx.values.sync import KeyMoved
from gitctx_testkit.trees import MemoryStore

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LOCAL, PUBLISHED = "1" * 40, "2" * 40
Content = Mapping[str, str]


class Case:
    """A merge of contents that are texts. What is local was written at `local_at`, what is published 10 s after the
    beginning.
    """

    def __init__(self, base: Content | None, local: Content, published: Content, *, local_at: int = 20) -> None:
        self.store = MemoryStore()
        self.base = self._root(base) if base is not None else None
        self.local = self._side(local, local_at, "local", LOCAL)
        self.published = self._side(published, 10, "published", PUBLISHED)

    def merge(self, strategy: object = None, *, swapped: bool = False) -> Merged:
        sides = (self.published, self.local) if swapped else (self.local, self.published)
        return Merge(self.store, self.base, *sides, strategy=strategy).run()  # type: ignore[arg-type]

    def content(self, merged: Merged) -> dict[str, str]:
        return {key: value.decode() for key, value in self.store.content(merged.root).items()}

    def _root(self, content: Content) -> str:
        return self.store.root({key: value.encode() for key, value in content.items()})

    def _side(self, content: Content, at: int, id: str, revision: str) -> Side:
        def find(keys: Iterable[str]) -> dict[str, Origin]:
            return {key: Origin(BEGIN + timedelta(seconds=at), id, revision, "actor", None) for key in keys}

        return Side(self._root(content), find)


def test_what_one_side_changed_is_taken_over() -> None:
    case = Case({"a": "0", "b": "0", "c": "0"}, {"a": "1", "b": "0", "c": "0", "new": "1"}, {"a": "0", "c": "2"})
    merged = case.merge()
    assert case.content(merged) == {"a": "1", "c": "2", "new": "1"}
    assert (merged.settled, merged.moved, merged.opened, merged.blobs) == ([], [], [], [])


@pytest.mark.parametrize(("local_at", "stands", "gone"), [(20, "mine", "theirs"), (5, "theirs", "mine")])
def test_the_later_write_stands_and_the_earlier_is_named(local_at: int, stands: str, gone: str) -> None:
    case = Case({"a": "0"}, {"a": "mine"}, {"a": "theirs"}, local_at=local_at)
    merged = case.merge()
    assert case.content(merged) == {"a": stands}
    assert merged.superseded == [blob_id(gone.encode())]
    kept = LOCAL if stands == "mine" else PUBLISHED
    assert [(each.key, each.kept) for each in merged.settled] == [("a", kept)]


def test_writes_of_one_second_and_one_id_settle_alike_on_both_machines() -> None:
    """Ids that callers choose may be the same on two machines."""
    case = Case({"a": "0"}, {"a": "mine"}, {"a": "theirs"}, local_at=10)
    for name, side in (("local", case.local), ("published", case.published)):
        found = {key: each._replace(id="job-1") for key, each in side.origins(["a"]).items()}
        setattr(case, name, side._replace(origins=lambda keys, found=found: {key: found[key] for key in keys}))
    assert case.content(case.merge()) == case.content(case.merge(swapped=True))


def test_a_later_removal_stands_and_an_earlier_one_gives_way() -> None:
    case = Case({"a": "0"}, {}, {"a": "theirs"})
    assert case.content(case.merge()) == {}
    assert case.merge().superseded == [blob_id(b"theirs")]
    case = Case({"a": "0"}, {}, {"a": "theirs"}, local_at=5)
    assert case.content(case.merge()) == {"a": "theirs"}
    assert case.merge().superseded == []


@pytest.mark.parametrize("swapped", [False, True])
def test_settings_that_one_side_changed_say_how_the_other_keys_are_settled(swapped: bool) -> None:
    settings = '[strategies]\n"plan/" = "merge"\n'
    case = Case(
        {"plan/a": "1\n2\n3\n"},
        {"plan/a": "one\n2\n3\n"},
        {"plan/a": "1\n2\nthree\n", SETTINGS_KEY: settings},
    )
    merged = case.merge(swapped=swapped)
    assert case.content(merged)["plan/a"] == "one\n2\nthree\n"
    assert [each.strategy for each in merged.settled] == ["merge"]
    assert merged.superseded == []


def test_of_settings_that_both_changed_the_later_hold() -> None:
    merge, fail = ('[strategies]\n"a" = "merge"\n', '[strategies]\n"a" = "fail"\n')
    case = Case(
        {"a": "1\n2\n3\n"}, {"a": "one\n2\n3\n", SETTINGS_KEY: merge}, {"a": "1\n2\nthree\n", SETTINGS_KEY: fail}
    )
    merged = case.merge()
    assert case.content(merged) == {"a": "one\n2\nthree\n", SETTINGS_KEY: merge}
    assert merged.superseded == [blob_id(fail.encode())]


def test_a_merged_value_over_the_limit_falls_back_to_the_later_one() -> None:
    limit = "[limits]\nmax_value_bytes = 10\n"
    base = {"a": "1\n2\n3\n", SETTINGS_KEY: limit}
    case = Case(base, base | {"a": "one\n2\n3\n"}, base | {"a": "1\n2\nthree\n"})
    merged = case.merge("merge")
    assert case.content(merged)["a"] == "one\n2\n3\n"
    assert merged.superseded == [blob_id(b"1\n2\nthree\n")]


def test_what_fail_leaves_open_stands_as_it_was_earlier_and_the_later_waits() -> None:
    case = Case({"a": "0"}, {"a": "mine"}, {"a": "theirs"})
    merged = case.merge("fail")
    (conflict,) = merged.opened
    assert (conflict.standing.etag, conflict.waiting.etag) == (blob_id(b"theirs"), blob_id(b"mine"))
    assert (conflict.standing.revision, conflict.waiting.revision) == (PUBLISHED, LOCAL)
    content = case.content(merged)
    assert content["a"] == "theirs"
    assert content[waiting_key(conflict.id)] == "mine"
    assert content.keys() == {"a", waiting_key(conflict.id), about_key(conflict.id)}
    assert case.merge("fail", swapped=True).root == merged.root


def test_a_removal_that_waits_has_no_value() -> None:
    case = Case({"a": "0"}, {}, {"a": "theirs"})
    merged = case.merge("fail")
    assert merged.opened[0].waiting.etag is None
    assert case.content(merged).keys() == {"a", about_key(merged.opened[0].id)}


def test_a_strategy_of_ones_own_settles_and_may_leave_open() -> None:
    def both(sides: Sides) -> Settled | Unsettled:
        return (
            Settled((sides.theirs or b"") + (sides.ours or b""), superseded=False) if sides.key == "a" else Unsettled()
        )

    case = Case({"a": "0", "b": "0"}, {"a": "later", "b": "1"}, {"a": "earlier ", "b": "2"})
    merged = case.merge(both)
    assert case.content(merged)["a"] == "earlier later"
    assert [each.strategy for each in merged.settled] == [OWN_FUNCTION]
    assert [each.key for each in merged.opened] == ["b"]


def test_what_a_strategy_raises_gets_out() -> None:
    def broken(_: Sides) -> Settled | Unsettled:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Case({"a": "0"}, {"a": "1"}, {"a": "2"}).merge(broken)


@pytest.mark.parametrize("local_at", [5, 20])
def test_of_two_claims_the_published_one_stands_whenever_it_was_made(local_at: int) -> None:
    claim = f"{CLAIMS_PREFIX}c"
    case = Case({}, {claim: "mine"}, {claim: "theirs"}, local_at=local_at)
    merged = case.merge("fail")
    assert case.content(merged) == {claim: "theirs"}
    assert [(each.strategy, each.kept) for each in merged.settled] == [(FIRST_PUBLISHED, PUBLISHED)]
    assert merged.superseded == [blob_id(b"mine")]


@pytest.mark.parametrize(("mine", "theirs"), [("c", "c/d"), ("c/d", "c")])
def test_a_claim_in_the_way_of_a_published_one_is_dropped(mine: str, theirs: str) -> None:
    case = Case({}, {f"{CLAIMS_PREFIX}{mine}": "mine"}, {f"{CLAIMS_PREFIX}{theirs}": "theirs"})
    merged = case.merge()
    assert case.content(merged) == {f"{CLAIMS_PREFIX}{theirs}": "theirs"}
    assert merged.superseded == [blob_id(b"mine")]


# -- entries and folders of one name ----------------------------------------------------------------------------------


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("local_at", [5, 20])
@pytest.mark.parametrize("local_is_entry", [False, True])
def test_of_an_entry_and_a_folder_the_later_moves_aside(local_is_entry: bool, local_at: int, swapped: bool) -> None:
    entry, folder = {"a": "entry"}, {"a/b": "1", "a/c/d": "2"}
    local, published = (entry, folder) if local_is_entry else (folder, entry)
    case = Case({"z": "0"}, {"z": "0", **local}, {"z": "0", **published}, local_at=local_at)
    merged = case.merge(swapped=swapped)
    local_is_later = local_at == 20
    if local_is_entry == local_is_later:
        id = "local" if local_is_later else "published"
        assert case.content(merged) == {"z": "0", **folder, f"a.{id}": "entry"}
        assert merged.moved == [KeyMoved("a", f"a.{id}")]
    else:
        id = "local" if local_is_later else "published"
        assert case.content(merged) == {"z": "0", **entry, f"a.{id}/b": "1", f"a.{id}/c/d": "2"}
        assert {each.key for each in merged.moved} == {"a/b", "a/c/d"}
    assert merged.superseded == []


def test_a_folder_whose_keys_would_become_too_long_moves_to_names_that_can_be_read() -> None:
    """The id makes the names below longer: 512 bytes are the limit of a key."""
    full = "/".join(["a", "m" * 255, "n" * (MAX_KEY_BYTES - 258)])
    twin = full[:-1] + "o"
    case = Case({}, {full: "full", twin: "twin", "a/short": "short"}, {"a": "entry"})
    merged = case.merge()
    content = case.content(merged)
    assert sorted(content.values()) == ["entry", "full", "short", "twin"]
    assert [key for key in content if key_fault(key)] == []
    assert {content[each.moved_to] for each in merged.moved} == {"full", "twin", "short"}
    assert case.content(case.merge(swapped=True)) == content


def test_a_wide_folder_moves_aside_whole() -> None:
    wide = {f"a/{number:03}": str(number) for number in range(300)}
    case = Case({}, wide, {"a": "entry"})
    merged = case.merge()
    assert case.content(merged) == {
        "a": "entry",
        **{key.replace("a/", "a.local/", 1): value for key, value in wide.items()},
    }
    assert layout.normalise(case.store, merged.root) == merged.root


def test_a_name_that_is_taken_isnt_moved_onto() -> None:
    case = Case(
        {"a.local": "there", "a.local-2/x": "there, too"},
        {"a": "entry", "a.local": "there", "a.local-2/x": "there, too"},
        {"a/b": "1", "a.local": "there", "a.local-2/x": "there, too"},
    )
    merged = case.merge()
    assert merged.moved == [KeyMoved("a", "a.local-3")]
    assert case.content(merged)["a.local"] == "there"


def test_a_name_beside_a_key_keeps_to_the_limits() -> None:
    assert aside("plan/a", "ID") == "plan/a.ID"
    assert aside("a", "ID.") == "a.ID"
    for key in ("n" * 255, "ü" * 127, "f/" + "m" * 200 + "/" + "n" * 255, "dotty. ."):
        assert key_fault(aside(key, "01ARZ3NDEKTSV4RRFFQ69G5FAV")) is None
