"""Quantile bins over the rows of several parties with the same columns: no party's histogram is seen by another.

1. home    each party counts its own rows in public cells of each column (`bins.grid`)
2. sum     the counts are shared with the seats, which add them up
3. out     noise that no seat knows, then to all parties how many rows lie at or above each cell, where enough do
4. edges   every party reads the same quantiles from that, and bins its rows at home

Reveals: to all parties, counts of all parties' rows together, (epsilon, 2**-38)-private per person; to seats
nothing. A party may send any counts: that moves the edges and lifts sums over the threshold, but the noise stays.
Assumes: semi-honest seats, honest majority; at least three parties, else a sum tells one the other's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Ring
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums
from hanse.gate.record import Record
from hanse.gate.release import lock_counts, read_locked, send_locked
from hanse.learn.features.bins import GRID, Bins, bins_from_counts, cell_counts, check_bins, grid
from hanse.learn.linear.keys import receive_elements, send_elements
from hanse.wire import Channel

LEAST_PARTIES = 3


@dataclass(frozen=True)
class PooledPlan:
    """Columns by name with their public bounds, and the parties in order; the same at all roles."""

    parties: tuple[str, ...]
    columns: tuple[tuple[str, float, float], ...]
    bins: int = 10
    epsilon: float = 1.0
    k: int = 20
    noise: bool = True

    def check(self) -> None:
        """`Refusal` unless the plan makes sense."""
        check_bins(self.bins)
        if len(self.parties) < LEAST_PARTIES or len(set(self.parties)) != len(self.parties):
            raise Refusal("learn.parties", f"sums are over {LEAST_PARTIES} parties or more, each of another name",
                          remedy="find another party with such rows")  # fmt: skip
        if not self.columns:
            raise Refusal(
                "learn.columns", "there is no column to bin", remedy="name one with its bounds"
            )
        for _, lowest, highest in self.columns:
            grid(lowest, highest)
        self.release().checked(rehearsal=not self.noise)

    def release(self) -> ReleasePlan:
        """Outputs [columns * GRID]: rows at or above each cell."""
        count = len(self.columns)
        one = Sums.lists([range(first, GRID) for first in range(GRID)], GRID)
        blocks = tuple(Block(GRID, 1 / count) for _ in range(count))
        return ReleasePlan(Sums.stacked([one] * count), self.epsilon, self.k, self.noise, blocks)


def run_seat(s: Session, record: Record, plan: PooledPlan) -> None:
    """A seat's part; parties have roles 3, 4, ... in the plan's order."""
    plan.check()
    total: Ring | None = None
    for number, name in enumerate(plan.parties):
        own = receive_elements(s, SEATS + number, name, "cells", (len(plan.columns) * GRID,))
        total = own if total is None else total + own
    if total is None:  # a plan that was checked has parties
        return
    locked = lock_counts(s, record, total, plan.release(), [], plan.parties, "pooled")
    send_locked(s.channel, locked, [SEATS + number for number in range(len(plan.parties))])


def run_party(
    channel: Channel,
    plan: PooledPlan,
    number: int,
    columns: Sequence[NDArray[np.float64]],
    entropy: Entropy,
) -> list[Bins]:
    """A party's part: the bins of each column of the plan, the same at every party."""
    grids = [grid(lowest, highest) for _, lowest, highest in plan.columns]
    cells = [cell_counts(values, edges) for values, edges in zip(columns, grids, strict=True)]
    send_elements(channel, plan.parties[number], "cells", np.concatenate(cells), entropy)
    opened = read_locked(channel, plan.release(), [])
    above = opened.values.reshape(len(grids), GRID).astype(np.float64)
    return [
        bins_from_counts(name, edges, seen, plan.bins)
        for (name, _, _), edges, seen in zip(plan.columns, grids, above, strict=True)
    ]
