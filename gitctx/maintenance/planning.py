"""Which steps are due, and which packs they take. Pure: from what was seen to what is to be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitctx.maintenance import thresholds as at
from gitctx.maintenance.look import Look
from gitctx.repository.repacking import PackFiles

STEPS = ("locks", "leftovers", "reflogs", "refs", "deltas", "merge", "unreachable", "commit_graph")
"""In this order. Whatever ends the grace of a ref goes before `reflogs`; `unreachable` then gives the room back."""


def due(seen: Look, *, full: bool, own: bool) -> Iterator[tuple[str, str]]:
    """The steps that are due, in order, each with why. `full`: those too that have something to do but could wait.

    `own`: nobody asked, so what takes long on a large store waits for somebody who does.
    """
    found = dict(_tidying(seen, full=full))
    found.update(_packing(seen, full=full, own=own))
    yield from ((name, found[name]) for name in STEPS if name in found)


def _tidying(seen: Look, *, full: bool) -> Iterator[tuple[str, str]]:
    if seen.locks:
        yield "locks", f"{len(seen.locks)} locks of killed programs"
    if seen.leftovers:
        yield "leftovers", f"{len(seen.leftovers)} files of killed programs"
    rested = seen.now_s - seen.stamps.get("reflogs", 0.0) >= at.REFLOGS_EVERY_S
    if seen.old_logs and (full or (rested and seen.log_bytes >= at.REFLOG_BYTES)):
        yield "reflogs", f"{len(seen.old_logs)} reflogs begin before the grace"
    if seen.loose_refs >= (1 if full else at.LOOSE_REFS):
        yield "refs", f"{seen.loose_refs} checkpoints are files of their own"


def _packing(seen: Look, *, full: bool, own: bool) -> Iterator[tuple[str, str]]:
    objects, size = sum(each.objects for each in seen.fresh), sum(each.size_bytes for each in seen.fresh)
    many = len(seen.fresh) >= at.FRESH_PACKS or objects >= at.FRESH_OBJECTS or size >= at.FRESH_BYTES
    loose = seen.loose_objects >= at.LOOSE_OBJECTS
    if many or loose or (full and (seen.fresh or seen.loose_objects)):
        why = f"{len(seen.fresh)} packs, {size >> 20} MiB, about {objects} objects without deltas of their own"
        yield "deltas", why + (f", about {seen.loose_objects} loose ones" if loose else "")
    reclaims = full or _reclaims(seen, own=own)
    together = merged(seen.settled, at.MERGE_SLICE_BYTES if own else None)
    if not reclaims and together:
        yield "merge", f"{len(together)} settled packs of like size"
    elif not reclaims and many and not own:
        yield "merge", "there will be more settled packs"
    if reclaims and (full or seen.packs):
        yield "unreachable", "asked for" if full else "a week is over"
    known = seen.stamps.get("graph_objects", 0.0)
    if not reclaims and sum(each.objects for each in seen.packs) - known >= 4 * at.GRAPH_WRITES:
        yield "commit_graph", "history has grown"


def _reclaims(seen: Look, *, own: bool) -> bool:
    if seen.now_s - seen.stamps.get("unreachable", seen.stamps["made"]) < at.RECLAIM_EVERY_S:
        return False
    size = sum(each.size_bytes for each in seen.packs)
    return not own or size <= at.RECLAIM_BYTES or size >= 1.5 * seen.stamps.get("bytes", 0.0)


def next_slice(fresh: Sequence[PackFiles]) -> list[PackFiles]:
    """The fresh packs that are given deltas at once: the oldest, as much as a slice takes, one at least."""
    chosen: list[PackFiles] = []
    room = at.SLICE_BYTES
    for each in sorted(fresh, key=lambda pack: pack.touched_at):
        if chosen and each.size_bytes > room:
            break
        chosen.append(each)
        room -= each.size_bytes
    return chosen


def merged(settled: Sequence[PackFiles], most_bytes: int | None) -> list[PackFiles]:
    """The settled packs that become one, so that each has at least twice the objects of all smaller ones together.

    A geometric progression, as `git repack --geometric` keeps it: an object is copied a few times in its life.
    """
    packs = sorted(settled, key=lambda pack: pack.objects)
    split = len(packs)
    while split > 1 and packs[split - 1].objects >= at.PACK_FACTOR * packs[split - 2].objects:
        split -= 1
    split = 0 if split == 1 else split
    total = sum(each.objects for each in packs[:split])
    while split and split < len(packs) and packs[split].objects < at.PACK_FACTOR * total:
        total += packs[split].objects
        split += 1
    chosen = packs[:split]
    while most_bytes is not None and len(chosen) > 1 and sum(each.size_bytes for each in chosen) > most_bytes:
        chosen.pop()
    return chosen if len(chosen) > 1 else []
