"""What a holder of tables (map, operator, payments) makes of them at home: columns per place.

A table says numbers about areas or about places; areas have a centre. Of every measure the place gets, all as
logarithms: its own area's number, sums over areas around it at three widths, what is left when stations nearby take
their part (a catchment), and of all these the share in the table's largest measure: a share of evenings or of
Sundays says more about a rhythm than the number does. The columns stay with the holder; trees see them as bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
WIDTHS = (0.75, 1.5, 3.0)  # of kernels, in median distances between neighbouring areas
CATCHMENTS = (0.6, 1.2)
_COMPONENTS = 6


@dataclass(frozen=True, eq=False)
class Areas:
    """Areas with their centres [areas, 2] in km, and the area of each place (-1 for none)."""

    centre: F64
    of_place: I64

    @property
    def step(self) -> float:
        """Median distance of an area to its nearest neighbour, km."""
        if len(self.centre) < 2:
            return 1.0
        distance = distances(self.centre, self.centre)
        np.fill_diagonal(distance, np.inf)
        return max(float(np.median(distance.min(axis=1))), 1e-3)


def distances(left: F64, right: F64) -> F64:
    """Euclidean [left, right]."""
    return np.asarray(np.sqrt(((left[:, None] - right[None]) ** 2).sum(axis=2)))


def columns_of(table: F64, areas: Areas, position: F64) -> F64:
    """[places, columns] from ``table`` [areas, measures]; missing numbers count as nothing around, and stay
    missing at home."""
    if table.shape[1] == 0:
        return np.zeros((len(position), 0))
    positive = np.maximum(np.nan_to_num(table), 0.0)
    largest = int(positive.sum(axis=0).argmax())
    home = areas.of_place >= 0
    own = np.where(home[:, None], table[np.maximum(areas.of_place, 0)], np.nan)
    with np.errstate(invalid="ignore"):
        parts = [np.log1p(np.maximum(own, 0.0))]
    shares = [_shares(parts[0], largest)]
    distance, step = distances(position, areas.centre), areas.step
    for width in WIDTHS:
        kernel = np.exp(-0.5 * (distance / (width * step)) ** 2)
        parts.append(np.log(kernel @ positive + 1.0))
        shares.append(_shares(parts[-1], largest))
        parts.append(np.log(kernel.sum(axis=1, keepdims=True) + 1e-3))
    for width in CATCHMENTS:
        pull = np.exp(-distance / (width * step))
        taken = pull.sum(axis=0) + np.exp(-1.5 / width)
        parts.append(np.log((pull / taken) @ positive + 1.0))
    return np.concatenate([*parts, *shares, *(components(s) for s in shares[1:2])], axis=1)


def _shares(logs: F64, largest: int) -> F64:
    others = [c for c in range(logs.shape[1]) if c != largest]
    return np.asarray(logs[:, others] - logs[:, largest : largest + 1])


def components(table: F64, count: int = _COMPONENTS) -> F64:
    """[places, at most ``count``] principal components of standardised columns, each cut at three deviations."""
    filled = np.where(np.isfinite(table), table, np.nanmean(np.where(np.isfinite(table), table, np.nan), axis=0)
                      if np.isfinite(table).any() else 0.0)  # fmt: skip
    spread = filled.std(axis=0)
    kept = filled[:, spread > 1e-9]
    if kept.shape[1] < 2:
        return np.zeros((len(table), 0))
    scaled = np.clip((kept - kept.mean(axis=0)) / kept.std(axis=0), -3, 3)
    left, size, _ = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, :count] * size[:count])
