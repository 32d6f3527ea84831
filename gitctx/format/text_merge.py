"""A three-way merge of texts by lines. Pure, the same whichever side is which, and bounded in what it costs.

Nothing is ever marked: where both sides changed the same lines, or lines next to each other, there is no merged text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MOST_STEPS = 500_000
"""Of comparing two texts: enough for 1,000 lines removed or added. What both share at head and tail is free."""

Lines = Sequence[bytes]


class Hunk(NamedTuple):
    """Lines `start` to `end` of the base (counted from 0, `end` excluded) became `lines`."""

    start: int
    end: int
    lines: tuple[bytes, ...]


def merge_lines(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """The base with the changes of both sides; None if they meet, or if comparing would take too long."""
    lines = base.split(b"\n")
    mine, others = _hunks(lines, ours.split(b"\n")), _hunks(lines, theirs.split(b"\n"))
    if mine is None or others is None:
        return None
    hunks = _together(mine, others)
    return None if hunks is None else b"\n".join(_applied(lines, hunks))


def _together(mine: Sequence[Hunk], others: Sequence[Hunk]) -> list[Hunk] | None:
    """Both sides' hunks in order, those that are the same once; None if two that differ overlap or touch."""
    hunks: list[Hunk] = []
    for hunk in sorted({*mine, *others}):
        if hunks and hunk.start <= hunks[-1].end:
            return None
        hunks.append(hunk)
    return hunks


def _applied(lines: Lines, hunks: Sequence[Hunk]) -> list[bytes]:
    result: list[bytes] = []
    position = 0
    for hunk in hunks:
        result += lines[position : hunk.start]
        result += hunk.lines
        position = hunk.end
    return result + list(lines[position:])


# -- comparing --------------------------------------------------------------------------------------------------------


def _hunks(before: Lines, after: Lines) -> list[Hunk] | None:
    """What turns one text into the other; None if finding out takes too many steps."""
    head = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        head += 1
    tail = 0
    for one, other in zip(reversed(before[head:]), reversed(after[head:]), strict=False):
        if one != other:
            break
        tail += 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    furthest = _search(old, new)
    if furthest is None:
        return None
    hunks: list[Hunk] = []
    start = end = new_start = new_end = 0
    for x, y, x_after, y_after in [*_path(furthest, len(old), len(new)), (-1, -1, -1, -1)]:
        if (x, y) != (end, new_end):
            if end > start or new_end > new_start:
                hunks.append(Hunk(head + start, head + end, tuple(new[new_start:new_end])))
            start, new_start = x, y
        end, new_end = x_after, y_after
    return hunks


def _search(old: Lines, new: Lines) -> list[list[int]] | None:
    """How far into `old` one comes with 0, 1, 2... lines removed or added, on each diagonal (lines removed less lines
    added), up to the fewest that reach both ends. The list for d begins at diagonal -d - 1.

    Source: Myers, "An O(ND) Difference Algorithm and Its Variations", 1986.
    """
    n, m = len(old), len(new)
    middle = n + m + 1
    reached = [-1] * (2 * middle + 1)
    reached[middle + 1] = 0
    furthest: list[list[int]] = []
    steps = 0
    for d in range(n + m + 1):
        low, high = -(d - 2 * max(0, d - m)), d - 2 * max(0, d - n)
        for k in range(low, high + 1, 2):
            down, right = reached[middle + k + 1], reached[middle + k - 1]
            x = down if k == -d or (k != d and right < down) else right + 1
            begun, y = x, x - k
            while x < n and y < m and old[x] == new[y]:
                x, y = x + 1, y + 1
            reached[middle + k] = x
            steps += 1 + x - begun
            if x >= n and y >= m:
                return furthest
        if steps > MOST_STEPS:
            return None
        furthest.append(reached[middle - d - 1 : middle + d + 2])
    return furthest


def _path(furthest: Sequence[list[int]], x: int, y: int) -> list[tuple[int, int, int, int]]:
    """The single removals and additions that lead to the ends, in order: where in both texts each begins and ends."""
    steps: list[tuple[int, int, int, int]] = []
    for d in range(len(furthest), 0, -1):
        reached, k = furthest[d - 1], x - y
        down, right = _at(reached, d - 1, k + 1), _at(reached, d - 1, k - 1)
        if k == -d or (k != d and right < down):
            x, y = down, down - k - 1
            steps.append((x, y, x, y + 1))
        else:
            x, y = right, right - k + 1
            steps.append((x, y, x + 1, y))
    return steps[::-1]


def _at(reached: list[int], d: int, k: int) -> int:
    return reached[k + d + 1] if -d - 1 <= k <= d + 1 else -1
