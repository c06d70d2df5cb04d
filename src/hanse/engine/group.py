"""Grouping by opened tags: which rows of which table belong to one (unknown) person. Local.

Reveals: what the opened tags reveal (see `gate`): for each pattern of tables, how many groups there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine import kernels
from hanse.engine.shares import U64, Ring
from hanse.errors import Fault, Foul

Index = NDArray[np.int64]
MOST_TABLES = 6


@dataclass(frozen=True)
class Groups:
    """Groups sorted by pattern. ``index[t, g]`` is group g's row in table t, or -1.

    ``patterns`` maps a bit mask of tables to the half-open range of its groups.
    """

    index: Index
    patterns: dict[int, tuple[int, int]]
    sizes: dict[int, int]  # groups of every pattern, kept or not

    @property
    def count(self) -> int:
        return int(self.index.shape[1])


def group(tags: list[U64], keep: Callable[[int], bool] = lambda _mask: True) -> Groups:
    """Group rows of several tables by equal tags; only patterns for which ``keep(mask)`` holds.

    Tags within one table are distinct (a cipher permutes and ids were checked to be unique); a repeated
    tag is a `Foul`.
    """
    tables = len(tags)
    if not 1 <= tables <= MOST_TABLES:
        raise Fault("group.tables", f"grouping takes 1 to {MOST_TABLES} tables, not {tables}")
    ends = np.cumsum([0, *(t.size for t in tags)])
    orders = [np.argsort(t) for t in tags]
    ordered = np.concatenate([t[order] for t, order in zip(tags, orders, strict=True)])
    index = np.empty((tables, ordered.size), np.int64)
    masks = np.empty(ordered.size, np.uint8)
    count = kernels.merge_tags(ordered, np.concatenate(orders), ends, index, masks)
    if count < 0:
        raise Foul("group.repeated", "a tag occurs twice in one table")
    counts = np.bincount(masks[:count], minlength=1 << tables)
    starts = np.full(1 << tables, -1, np.int64)
    patterns, start = {}, 0
    for mask in np.flatnonzero(counts).tolist():
        if keep(mask):
            starts[mask] = start
            patterns[mask] = (start, start + int(counts[mask]))
            start += int(counts[mask])
    out = np.empty((tables, start), np.int64)
    kernels.sort_by_mask(index, masks[:count], starts, out)
    sizes = {mask: int(counts[mask]) for mask in np.flatnonzero(counts).tolist()}
    return Groups(out, patterns, sizes)


def segment_sums(x: Ring, starts: Index) -> Ring:
    """Sums of consecutive elements from each start to the next (local; the boundaries are public)."""
    if x.size == 0 or starts.size == 0:
        empty = np.zeros(starts.size, np.uint64)
        return Ring(empty, empty)
    return Ring(np.add.reduceat(x.left, starts), np.add.reduceat(x.right, starts))
