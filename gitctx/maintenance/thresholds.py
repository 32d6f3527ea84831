"""When each step of maintenance is due. Every number is here, and in `docs/technical/maintenance.md`."""

from __future__ import annotations

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

FRESH_PACKS = 128
"""So many packs that maintenance hasn't settled: more than the merging of small packs leaves (3 levels of 31)."""
FRESH_OBJECTS = 40_000
"""About 10,000 writes that have no deltas yet, ..."""
FRESH_BYTES = 128 << 20
"""... or fewer in wide folders."""
SLICE_BYTES = 64 << 20
"""So much of what is fresh is given deltas at once (a second or two); at least one pack."""
LOOSE_OBJECTS = 1024
"""Plain pushes leave loose objects. They are counted in one of their 256 folders."""
LOOSE_REFS = 256
"""So many checkpoints that are files of their own."""
PACK_FACTOR = 2
"""A settled pack has at least so many times the objects of all smaller ones together: then there are few."""
MERGE_SLICE_BYTES = 512 << 20
"""By itself no more than this is merged at once."""
REFLOG_BYTES = 64 << 10
"""A reflog smaller than this isn't worth the while, unless --full asks for it."""
GRAPH_WRITES = 2_000
"""So many writes may be missing in the commit-graph: git compares their trees one by one."""
REFLOGS_EVERY_S = DAY_S
RECLAIM_EVERY_S = 7 * DAY_S
"""How often unreachable objects are looked for: it goes over the whole history."""
RECLAIM_BYTES = 256 << 20
"""By itself only up to this size of all packs; a larger store is gone over when it has grown by half, or by --full."""
LONG_KEPT_S = 90 * DAY_S
"""What a recovery put aside is reported from this age on."""
WINDOW = 30
"""So many candidates for a delta are tried: 10, as git has it, gives a tenth more bytes in half the time."""
CRUFT_SINCE = (2, 37)
"""The first git that keeps unreachable objects in a pack of their own, with a time for each."""
EXCLUDE_REFS_SINCE = (2, 42)
"""The first git that can leave branches unpacked: they are read by one look at their file."""
