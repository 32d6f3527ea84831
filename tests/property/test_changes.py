"""What watchers are told adds up: applied to the content at any earlier revision it gives the content at the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitctx.format import layout, messages
from gitctx.format.layout import Tree
from gitctx.format.objects import Object, make_object
from gitctx.store import Store, View
from gitctx.store.changes import Changes
from gitctx.store.draft import Draft
from gitctx.values import Revision, WatchedChange
from gitctx_testkit.counts import examples

KEYS = ("a", "d/x", "d/y", "e/f/z")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
Content = Mapping[str, str]


class Planned(NamedTuple):
    """A commit of a random history: the earlier ones that are its parents, what it changes, how wrong its clock is."""

    parents: Sequence[int]
    changes: Mapping[str, int | None]
    skew_min: int


@st.composite
def histories(draw: st.DrawFn) -> Sequence[Planned]:
    """Lines with forks and merges, and now and then a commit that begins anew (as a rotation's base does)."""
    made: list[Planned] = []
    for number in range(draw(st.integers(2, 14))):
        count = min(number, draw(st.sampled_from((1, 1, 1, 1, 2, 2, 3, 0))))
        parents: list[int] = []
        if count:
            near = st.integers(max(0, number - 5), number - 1)
            parents = draw(st.lists(near, min_size=1, max_size=count, unique=True))
        values = st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), st.integers(0, 3)), max_size=3)
        made.append(Planned(parents, draw(values), draw(st.integers(-3, 3))))
    return made


class Built(NamedTuple):
    """A commit that was made: its revision, and its content as etags by key."""

    revision: Revision
    content: Content


def build(store: Store, history: Sequence[Planned]) -> list[Built]:
    draft = Draft(store.repository)
    made: list[Built] = []
    trees: list[str] = []
    objects: list[Object] = []
    for number, planned in enumerate(history):
        before = trees[planned.parents[0]] if planned.parents else draft.write_tree(Tree())
        blobs = {key: make_object("blob", b"%d" % value) for key, value in planned.changes.items() if value is not None}
        held = dict(View(draft, Revision(""), before).etags())
        edits = {
            key: blobs[key].oid if key in blobs else None for key in planned.changes if key in blobs or key in held
        }
        root = layout.apply(draft, before, edits)
        who = messages.actor_identity(f"actor-{number}", BEGIN + timedelta(minutes=number + planned.skew_min))
        text = messages.build_message(f"commit {number}", "", [(messages.SESSION, f"S{number}")])
        parents = [made[parent].revision for parent in planned.parents]
        data = messages.encode_commit(tree=root, parents=parents, author=who, committer=who, message=text)
        commit = make_object("commit", data)
        objects += [*blobs.values(), commit]
        trees.append(root)
        made.append(Built(Revision(commit.oid), dict(View(draft, Revision(""), root).etags())))
    trees_made = [item for _, item in draft.fresh.values()]
    store.repository.put_down(list({each.oid: each for each in [*objects, *trees_made]}.values()), durable=False)
    return made


def applied(content: Content, changes: Sequence[WatchedChange]) -> Content:
    after = dict(content)
    for change in changes:
        assert after.get(change.key) == change.before
        if change.etag is None:
            del after[change.key]
        else:
            after[change.key] = change.etag
    return after


@given(histories(), st.sampled_from((3, 1000)))
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_from_any_revision_to_any_other_give_its_content(
    store: Store, history: Sequence[Planned], most: int
) -> None:
    made = build(store, history)
    head = made[-1]
    changes = Changes(store.repository, most_revisions=most)
    for start in [None, *made]:
        content: Content = start.content if start is not None else {}
        for step in changes.between(start.revision if start is not None else None, head.revision):
            for number, change in enumerate(step.changes, start=1):
                assert change.revision == step.revision
                assert change.last_of_revision == (number == len(step.changes))
            content = applied(content, step.changes)
            again = next(built.content for built in made if built.revision == step.revision)
            assert content == again, "whoever stops here goes on from here"
        assert content == head.content
