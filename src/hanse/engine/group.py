"""Grouping by opened tags: which rows of which table belong to one (unknown) person. Local.

Reveals: what the opened tags reveal (see `gate`): for each pattern of tables, how many groups there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine.shares import U64, Ring
from hanse.errors import Foul

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Groups sorted by pattern. ``index[t, g]`` is group g's row in table t, or -1.

    ``patterns`` maps a bit mask of tables to the half-open range of its groups.
    """

    index: Index
    patterns: dict[int, tuple[int, int]]

    @property
    def count(self) -> int:
        return int(self.index.shape[1])


def group(tags: list[U64], keep: Callable[[int], bool] = lambda _mask: True) -> Groups:
    """Group rows of several tables by equal tags; only patterns for which ``keep(mask)`` holds.

    Tags within one table are distinct (a cipher permutes and ids were checked to be unique); a repeated
    tag is a `Foul`.
    """
    tables = len(tags)
    sizes = [t.size for t in tags]
    total = sum(sizes)
    every = np.concatenate(tags) if tags else np.empty(0, np.uint64)
    order = np.argsort(every)
    ordered = every[order]
    new = np.empty(total, bool)
    new[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, total))
    if lengths.size and lengths.max(initial=0) > tables:
        raise Foul("group.repeated", "a tag occurs twice in one table")
    offsets = np.cumsum([0, *sizes])
    index = np.full((tables, starts.size), -1, np.int64)
    masks = np.zeros(starts.size, np.int64)
    for place in range(int(lengths.max(initial=0))):
        has = np.flatnonzero(lengths > place)
        row = order[starts[has] + place]
        table = np.searchsorted(offsets, row, side="right") - 1
        if (index[table, has] >= 0).any():
            raise Foul("group.repeated", "a tag occurs twice in one table")
        index[table, has] = row - offsets[table]
        masks[has] |= np.int64(1) << table
    present = [int(m) for m in np.unique(masks) if keep(int(m))]
    columns, patterns, start = [], {}, 0
    for mask in present:
        members = np.flatnonzero(masks == mask)
        columns.append(index[:, members])
        patterns[mask] = (start, start + members.size)
        start += members.size
    joined = np.concatenate(columns, axis=1) if columns else np.empty((tables, 0), np.int64)
    return Groups(joined, patterns)


def pattern_counts(tags: list[U64]) -> dict[int, int]:
    """How many groups each pattern has."""
    groups = group(tags)
    return {mask: stop - start for mask, (start, stop) in groups.patterns.items()}


def segment_sums(x: Ring, starts: Index) -> Ring:
    """Sums of consecutive elements from each start to the next (local; the boundaries are public)."""
    if x.size == 0 or starts.size == 0:
        empty = np.zeros(starts.size, np.uint64)
        return Ring(empty, empty)
    return Ring(np.add.reduceat(x.left, starts), np.add.reduceat(x.right, starts))
