"""Boosting of a place's level and traits over what map, operator and payments know of the place.

Rows are places, aligned openly. Columns are held by feature holders, labels by the owners of counters, several of
them: a level of a tree is chosen on sums of gradients per group of bins that are first added per owner and then, by
`Federation.sum`, over owners. All owners so grow the same trees without any of them showing a label or a histogram
of its own. Who adds the gradients of one owner over the bins of one holder is a `Columns`: `Open` in the clear,
where owner and columns are in one place. Between organisations the sums would be under lattice encryption.

Crosses between owners: per node, column and group of bins of at least `LEAST` places one sum of clipped residuals.
Crosses to holders: which places are in which node; from them, how many places are in which bin of unnamed columns,
and which places each chosen split sends right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Flags = NDArray[np.bool_]
LEAST = 20  # places to a leaf, and to a group of bins whose sum anybody reads
BINS = 9


@dataclass(frozen=True)
class TreeSettings:
    """How to boost, the same at all parties."""

    trees: int = 100
    depth: int = 3
    rate: float = 0.08
    l2: float = 1.0
    column_share: float = 0.12
    row_share: float = 0.75
    clip: float = 0.3  # residuals of the level teach no more than this many deviations
    clip_traits: float = 1.0


@dataclass(frozen=True, eq=False)
class Binned:
    """Columns of all places as bin numbers: ``codes`` uint8 [places, columns], ``holder`` [columns] of each."""

    codes: U8
    holder: I64


def binned(columns: Sequence[F64]) -> Binned:
    """One entry of ``columns`` a holder, float64 [places, its columns]; missing values are a bin of their own."""
    codes, holder = [], []
    for number, table in enumerate(columns):
        for column in np.asarray(table, np.float64).T:
            code = bin_column(column)
            if code is not None:
                codes.append(code)
                holder.append(number)
    places = len(columns[0]) if columns else 0
    stacked = np.stack(codes, axis=1) if codes else np.zeros((places, 0), np.uint8)
    return Binned(np.ascontiguousarray(stacked), np.array(holder, np.int64))


def bin_column(column: F64) -> U8 | None:
    """Bins of about equal size, 0 for missing; None for a column that says nothing."""
    known = np.isfinite(column)
    if known.sum() < 2:
        return None
    edges = np.unique(np.quantile(column[known], np.linspace(0, 1, BINS)[1:-1]))
    code = np.where(known, 1 + np.searchsorted(edges, column, side="right"), 0)
    return code.astype(np.uint8) if np.unique(code).size > 1 else None


class Columns(Protocol):
    """All holders' columns, as one owner can use them."""

    width: int  # how many columns

    def begin(self, gradients: F64) -> None:
        """A tree starts: ``gradients`` [places] of this owner's places, 0 elsewhere."""
        ...

    def counts(self, nodes: I64, count: int, columns: I64) -> I64:
        """[count, columns, bins] places; ``nodes`` [places] is each place's node, -1 for none."""
        ...

    def sums(self, nodes: I64, ends: Flags, columns: I64) -> F64:
        """[count, columns, bins] sums of gradients up to each bin that ends a group (``ends``), 0 at others."""
        ...

    def right(self, column: int, last: int) -> Flags:
        """[places]: whose bin of the column is beyond ``last``."""
        ...


class Open:
    """Columns in the clear, for one process and for what is public."""

    def __init__(self, codes: U8) -> None:
        self.width = codes.shape[1]
        self._codes = codes
        self._gradients: F64 = np.zeros(0)

    def begin(self, gradients: F64) -> None:
        """See `Columns`."""
        self._gradients = gradients

    def counts(self, nodes: I64, count: int, columns: I64) -> I64:
        """See `Columns`."""
        return np.rint(add_up(self._codes, nodes, np.ones(len(nodes)), columns, count)).astype(
            np.int64
        )

    def sums(self, nodes: I64, ends: Flags, columns: I64) -> F64:
        """See `Columns`."""
        up_to = add_up(self._codes, nodes, self._gradients, columns, len(ends)).cumsum(axis=2)
        return np.where(ends, up_to, 0.0)

    def right(self, column: int, last: int) -> Flags:
        """See `Columns`."""
        return np.asarray(self._codes[:, column] > last)


@numba.njit(cache=True)
def _add(codes: U8, nodes: I64, values: F64, columns: I64, out: F64) -> None:
    for row in range(codes.shape[0]):
        node = nodes[row]
        if node < 0:
            continue
        value = values[row]
        for j in range(columns.size):
            out[node, j, codes[row, columns[j]]] += value


def add_up(codes: U8, nodes: I64, values: F64, columns: I64, count: int) -> F64:
    """[count, columns, bins] sums of ``values`` [places]."""
    out = np.zeros((count, columns.size, BINS + 1))
    _add(codes, nodes, values, columns, out)
    return out


def group_ends(counts: I64) -> Flags:
    """Bins that end a group of at least `LEAST` places and leave as many beyond: [count, columns, bins]."""
    whole = counts.sum(axis=2)
    ends = np.zeros(counts.shape, np.bool_)
    since, before = np.zeros_like(whole), np.zeros_like(whole)
    for position in range(counts.shape[2]):
        since, before = since + counts[..., position], before + counts[..., position]
        here = (since >= LEAST) & (whole - before >= LEAST)
        ends[..., position] = here
        since = np.where(here, 0, since)
    return ends


@dataclass(eq=False)
class Grown:
    """What boosting tells of all places: ``told`` [places], in units of the label."""

    told: F64


def boost(
    federation: Federation, columns: Columns, label: F64, rows: Flags, settings: TreeSettings, name: str, seed: int
) -> Grown:  # fmt: skip
    """Trees for ``label`` [places] on the places ``rows`` of all owners, and what they tell of every place.

    ``rows`` (bool) marks own places and ``label`` counts there alone; other owners mark theirs.
    """
    mine = np.where(rows, np.nan_to_num(label), 0.0)
    count, total, squares = federation.sum(
        f"{name}.start", np.array([float(rows.sum()), mine.sum(), (mine**2).sum()])
    )
    start = total / max(count, 1.0)
    if count < 2 * LEAST or columns.width == 0:
        return Grown(np.full(mine.size, start))
    unit = float(np.sqrt(max(squares / count - start**2, 1e-12)))
    aim = np.where(rows, (mine - start) / unit, 0.0)
    score = np.zeros(aim.size)
    everybody = federation.sum(f"{name}.rows", rows.astype(np.float64)) > 0.5
    chance = np.random.default_rng(seed)  # which rows and columns a tree sees is public
    seen = max(1, round(columns.width * settings.column_share))
    for number in range(settings.trees):
        sampled = everybody & (chance.random(aim.size) < settings.row_share)
        chosen = np.sort(chance.permutation(columns.width)[:seen])
        slope = np.where(rows & sampled, np.clip(aim - score, -settings.clip, settings.clip), 0.0)
        columns.begin(slope)
        score += _tree(federation, columns, slope, sampled, chosen, settings, f"{name}.{number}")
    return Grown(start + unit * score)


def _tree(
    federation: Federation, columns: Columns, slope: F64, sampled: Flags, chosen: I64, settings: TreeSettings,
    name: str,
) -> F64:  # fmt: skip
    """[places] values of one tree's leaves."""
    leaf = np.zeros(
        slope.size, np.int64
    )  # of every place, also of those the tree does not learn from
    grows = np.array([True])
    for level in range(settings.depth):
        if not grows.any():
            break
        number = np.where(grows, np.cumsum(grows) - 1, -1)
        nodes = np.where(sampled, number[leaf], -1)
        counts = columns.counts(nodes, int(grows.sum()), chosen)
        ends = group_ends(counts)
        if not ends.any():
            break
        sums = np.zeros(ends.shape)
        sums[ends] = federation.sum(f"{name}.{level}", columns.sums(nodes, ends, chosen)[ends])
        within = sampled & (nodes >= 0)
        whole = np.bincount(nodes[within], slope[within], minlength=int(grows.sum()))
        totals = federation.sum(f"{name}.{level}.totals", whole.astype(np.float64))
        leaf, grows = _split(
            columns, leaf, grows, best(sums, counts, ends, totals, settings.l2), chosen
        )
    size = grows.size
    slopes = np.bincount(leaf[sampled], slope[sampled], minlength=size).astype(np.float64)
    gradient = federation.sum(f"{name}.leaves", slopes)
    places = np.bincount(leaf[sampled], minlength=size)
    value = settings.rate * gradient / (places + settings.l2)
    return np.asarray(value[leaf])


def _split(
    columns: Columns, leaf: I64, grows: Flags, splits: list[tuple[int, int]], chosen: I64
) -> tuple[I64, Flags]:
    """Leaves of every place after the splits of this level's growing nodes, and which of them may grow on."""
    leaf, flags = leaf.copy(), np.zeros(grows.size, np.bool_).tolist()
    for node, (column, last) in zip(np.nonzero(grows)[0], splits, strict=True):
        if column < 0:
            continue
        beyond = (leaf == node) & columns.right(int(chosen[column]), last)
        leaf[beyond] = len(flags)
        flags[node] = True
        flags.append(True)
    return leaf, np.array(flags)


def best(sums: F64, counts: I64, ends: Flags, totals: F64, l2: float) -> list[tuple[int, int]]:
    """Per node the (column, last bin to the left) that saves most loss, (-1, 0) if none does."""
    left = counts.cumsum(axis=2)
    whole = counts.sum(axis=2)[..., None]
    total = totals[:, None, None]
    gain = (
        sums**2 / (left + l2) + (total - sums) ** 2 / (whole - left + l2) - total**2 / (whole + l2)
    )
    gain = np.where(ends, gain, -np.inf).reshape(len(sums), -1)
    out = []
    for row in gain:
        at = int(row.argmax())
        good = row[at] > 1e-9
        out.append((at // sums.shape[2], at % sums.shape[2]) if good else (-1, 0))
    return out
