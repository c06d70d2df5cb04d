"""Bins of a column: by quantiles at home, or over several parties' rows from their summed histograms.

Bin 0 is for missing values where there are any; a text column has a bin for each of its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.learn.features.reading import MISSING

Column = NDArray[np.float64]
MOST_BINS = 63
GRID = 256  # cells of a histogram that several parties sum


@dataclass(frozen=True)
class Bins:
    """``edges`` rise and part values: a value belongs right of all edges below it. Text has ``values`` instead."""

    name: str
    edges: Column
    values: tuple[str, ...] = ()
    missing: bool = False

    @property
    def count(self) -> int:
        return int(self.missing) + (len(self.values) or self.edges.size + 1)

    @property
    def code_bits(self) -> int:
        """Bits of a bin's number; at least one."""
        return max(1, (self.count - 1).bit_length())

    def codes(self, column: Column) -> NDArray[np.uint64]:
        """The bin of each value [rows]; a missing value without a bin of its own counts as the lowest."""
        gone = np.isnan(column)
        if self.values:
            found = np.where(gone, 0, column).astype(np.int64)
        else:
            found = np.searchsorted(self.edges, np.where(gone, -np.inf, column), side="left")
        found = np.where(gone, 0, found + int(self.missing))
        return np.asarray(found, np.uint64)

    def labels(self) -> tuple[str, ...]:
        """What each bin holds, in words."""
        told = [MISSING] if self.missing else []
        if self.values:
            return (*told, *self.values)
        if self.edges.size == 0:
            return (*told, "all")
        ends = [f"{edge:.4g}" for edge in self.edges]
        told.append(f"up to {ends[0]}")
        told += [f"{a} to {b}" for a, b in pairwise(ends)]
        return (*told, f"above {ends[-1]}")


def quantile_bins(name: str, column: Column, bins: int) -> Bins:
    """At most ``bins`` bins of about equal counts of values that are there, and one for missing ones."""
    check_bins(bins)
    gone = np.isnan(column)
    present = np.sort(column[~gone])
    distinct = np.unique(present)
    if distinct.size <= bins:
        edges = (distinct[:-1] + distinct[1:]) / 2
    else:
        places = (np.arange(1, bins) * present.size) // bins
        edges = np.unique(present[places - 1])
        edges = edges[edges < present[-1]]
    return Bins(name, np.asarray(edges, np.float64), (), bool(gone.any()))


def value_bins(name: str, values: tuple[str, ...]) -> Bins:
    """A bin for each value of a text column that was read as codes."""
    return Bins(name, np.zeros(0), values)


def check_bins(bins: int) -> None:
    """`Refusal` out of range."""
    if not 2 <= bins <= MOST_BINS:
        raise Refusal(
            "learn.bins", f"{bins} bins are out of range", remedy=f"choose 2 to {MOST_BINS}"
        )


# --- over several parties' rows ---------------------------------------------------------------------


def grid(lowest: float, highest: float) -> Column:
    """Public edges of `GRID` cells between public bounds [GRID + 1]; fine around 0 where the range is long.

    Cells are even on the scale of asinh(x / unit), ``unit`` a thousandth of the larger bound.
    """
    if not (np.isfinite(lowest) and np.isfinite(highest) and lowest < highest):
        raise Refusal("learn.bins", "a column's declared bounds are not two rising numbers",
                      remedy="declare a minimum and a maximum that all parties know")  # fmt: skip
    unit = max(abs(lowest), abs(highest)) / 1000
    ends = np.arcsinh(np.array([lowest, highest]) / unit)
    return np.asarray(np.sinh(np.linspace(ends[0], ends[1], GRID + 1)) * unit, np.float64)


def cell_counts(column: Column, edges: Column) -> NDArray[np.uint64]:
    """A party's own rows in each cell [GRID]; values outside the bounds belong to the outermost cells."""
    inside = np.clip(column[~np.isnan(column)], edges[0], edges[-1])
    return np.asarray(np.histogram(inside, edges)[0], np.uint64)


def bins_from_counts(name: str, edges: Column, above: Column, bins: int) -> Bins:
    """Quantile bins of all parties' rows from (noised) numbers of rows at or above each cell [GRID].

    Each edge is the end of a cell: at most one cell away from the exact quantile, and what noise moves.
    """
    check_bins(bins)
    whole = float(above[0])
    if whole <= 0:
        return Bins(name, np.zeros(0))
    below = whole - np.minimum.accumulate(np.append(above[1:], 0.0))  # rows in cells up to each
    places = [int(np.searchsorted(below, whole * part / bins)) for part in range(1, bins)]
    found = np.unique([edges[min(place, GRID - 1) + 1] for place in places])
    return Bins(name, found[found < edges[-1]])
