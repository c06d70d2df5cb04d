"""An operator's cells to places: each place is a non-negative mix of the cells around it, never of fewer than five.

Without anything to learn from, a cell counts for a place by how near it is (and by how much of its own area it
tells: a coarse cell of a kilometre says less about a shop than one of 200 metres). With counts of the place's
own, over some days, the weights are fitted to them, held towards those of nearness, and not let go below a floor
for the nearest five: so a place's number is never that of one or two cells, whose people could be named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.places.feeds.feed import Feed, Floats
from hanse.places.home import kernels
from hanse.places.home.stays import metres

LEAST = 5
_FLOOR = 0.02  # of the sum of a place's weights, for each of the nearest five
_SWEEPS = 400


@dataclass(frozen=True, eq=False)
class CellWeights:
    """``cell`` int64 and ``weight`` float64, both [places, nearest]; weights are at least 0 and sum to about one.

    ``fitted`` [places] tells which places' weights were learnt.
    """

    cell: NDArray[np.int64] = field(repr=False)
    weight: Floats = field(repr=False)
    fitted: NDArray[np.bool_] = field(repr=False)

    def applied(self, cells: Floats) -> Floats:
        """Values of cells [cells, days] as values of places [places, days].

        Cells that are not known are left out and the others count for more, as long as ``LEAST`` are known.
        """
        out = np.full((self.cell.shape[0], cells.shape[1]), np.nan)
        for first in range(
            0, out.shape[0], 1024
        ):  # a slice at a time: the cells of all places at once are large
            rows = slice(first, first + 1024)
            values = cells[self.cell[rows]]
            known = np.isfinite(values)
            weight = self.weight[rows][:, :, None]
            mass = (weight * known).sum(axis=1)
            mixed = (weight * np.where(known, values, 0.0)).sum(axis=1)
            enough = (known.sum(axis=1) >= LEAST) & (mass > 0)
            whole = self.weight[rows].sum(axis=1)[:, None]
            out[rows] = np.where(enough, mixed * whole / np.where(mass > 0, mass, 1.0), np.nan)
        return out


def nearness(
    lat: Floats, lon: Floats, cell_lat: Floats, cell_lon: Floats, size: Floats | float, *,
    nearest: int = 8,
) -> CellWeights:  # fmt: skip
    """Weights by distance; ``size`` are the cells' side lengths in metres, for all or each [cells].

    Raises `Fault` ``cells.few`` if there are fewer than five cells.
    """
    if cell_lat.size < LEAST or nearest < LEAST:
        raise Fault(
            "cells.few",
            f"{min(cell_lat.size, nearest)} cells are too few: a place is a mix of at least {LEAST}",
            remedy="give all cells of the area, and keep at least five of them a place",
            where="cells",
        )
    middle = float(np.median(cell_lat))
    x, y = metres(lat, lon, middle)
    cell_x, cell_y = metres(cell_lat, cell_lon, middle)
    side = np.broadcast_to(np.asarray(size, np.float64), cell_x.shape)
    keep = min(nearest, cell_x.size)
    cell = np.empty((x.size, keep), np.int64)
    weight = np.empty((x.size, keep))
    for first in range(0, x.size, 256):
        rows = slice(first, first + 256)
        far = np.hypot(x[rows, None] - cell_x[None], y[rows, None] - cell_y[None])
        # Nearness in units of the cell's own size: a coarse cell reaches further and tells less.
        reach = far / side[None]
        near = np.argpartition(reach, keep - 1, axis=1)[:, :keep]
        order = np.take_along_axis(reach, near, axis=1).argsort(axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1)
        close = np.take_along_axis(reach, near, axis=1)
        share = np.exp(-0.5 * close**2) / side[near] + 1e-9
        cell[rows] = near
        weight[rows] = share / share.sum(axis=1, keepdims=True)
    return CellWeights(cell, _floored(weight), np.zeros(x.size, np.bool_))


def fitted(
    start: CellWeights, cells: Feed, counts: Feed, as_of: Any, dates: Any, *, hold: float = 0.3,
    least_days: int = 14,
) -> CellWeights:  # fmt: skip
    """Weights fitted to ``counts`` of the places, of which at least ``least_days`` are known at ``as_of``.

    Shapes are fitted, not levels: cells and counts are divided by their own means, so weights stay a mix.
    ``hold`` is how strongly they keep to ``start``, as a share of the cells' own variation.
    """
    x, y = cells.known(as_of, dates), counts.known(as_of, dates)
    both = np.isfinite(y)
    chosen = np.flatnonzero(both.sum(axis=1) >= least_days)
    weight = start.weight.copy()
    done = start.fitted.copy()
    if not chosen.size:
        return start
    level = np.nanmean(np.where(np.isfinite(x), x, np.nan), axis=1, keepdims=True)
    shape = np.where(np.isfinite(x), x / np.where(level > 0, level, 1.0), 1.0)
    near = shape[start.cell[chosen]]  # [places, nearest, days]
    known = both[chosen][:, None, :]
    mine = np.where(both[chosen], y[chosen], 0.0)
    mean = mine.sum(axis=1, keepdims=True) / both[chosen].sum(axis=1, keepdims=True)
    target = np.where(both[chosen], mine / np.where(mean > 0, mean, 1.0), 0.0)
    near = np.where(known, near, 0.0)
    gram = np.einsum("pkd,pld->pkl", near, near)
    right = np.einsum("pkd,pd->pk", near, target)
    held = hold * np.trace(gram, axis1=1, axis2=2)[:, None] / gram.shape[1]
    gram[:, np.arange(gram.shape[1]), np.arange(gram.shape[1])] += held
    right += held * start.weight[chosen]
    low = np.zeros_like(right)
    low[:, :LEAST] = _FLOOR
    best = np.maximum(start.weight[chosen], low)
    kernels.bounded_least_squares(
        np.ascontiguousarray(gram), np.ascontiguousarray(right), low, best, _SWEEPS
    )
    weight[chosen] = _floored(best / best.sum(axis=1, keepdims=True))
    done[chosen] = True
    return CellWeights(start.cell, weight, done)


def _floored(weight: Floats) -> Floats:
    """Weights of which the nearest five are at least the floor, summing to one."""
    raised = weight.copy()
    raised[:, :LEAST] = np.maximum(raised[:, :LEAST], _FLOOR)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
