"""Rows of hashed ids grouped by person: sorted, unique, without colliding hashes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Crowd:
    """People and the rows each has.

    `ids` ``uint64[people]``, strictly ascending; `order` ``int64[kept rows]`` lists the rows person by
    person; `starts` ``int64[people]`` is where each person begins in `order`; `rows` counts the rows
    that came in, `colliding` those dropped because two ids share one 64-bit hash.
    """

    ids: Longs = field(repr=False)
    order: Places = field(repr=False)
    starts: Places = field(repr=False)
    rows: int
    colliding: int

    def person_of_row(self) -> Places:
        """``int64[rows]``: the person's number, -1 for dropped rows."""
        person = np.full(self.rows, -1, np.int64)
        counts = np.diff(self.starts, append=len(self.order))
        person[self.order] = np.repeat(np.arange(len(self.ids)), counts)
        return person


def gather(ids: Longs, checks: Longs) -> Crowd:
    """Group rows by id. Rows with equal ids and unequal `checks` are different people whose hashes
    collide: none of them can be joined, so all their rows are dropped and counted.
    """
    order = np.argsort(ids)
    sorted_ids = ids[order]
    begins = np.ones(len(ids), np.bool_)
    np.not_equal(sorted_ids[1:], sorted_ids[:-1], out=begins[1:])
    colliding = 0
    if not begins.all():
        sorted_checks = checks[order]
        clash = ~begins
        clash[1:] &= sorted_checks[1:] != sorted_checks[:-1]
        if clash.any():
            person = np.cumsum(begins) - 1
            kept = ~np.isin(person, person[clash])
            colliding = int(len(ids) - kept.sum())
            order, sorted_ids, begins = order[kept], sorted_ids[kept], begins[kept]
    starts = np.flatnonzero(begins)
    return Crowd(sorted_ids[starts], order, starts, len(ids), colliding)
