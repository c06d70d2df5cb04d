"""Boosting of a place's level and traits over what map, operator and payments know of the place.

Rows are places, aligned openly. Columns are held by feature holders, labels by the owners of counters, several of
them: a level of a tree is chosen on histograms (sum of gradients and rows per bin) that are first added per owner
and then, by `Federation.sum`, over owners. All owners so grow the same trees without any of them showing a label
or a histogram of its own. Who adds the gradients of one owner over the bins of one holder is a `Histograms`: in
the clear where owner and columns are in one place, under lattice encryption between organisations
(`hanse.places.crowd.hidden`).

Crosses between owners: per level, for each node, column and bin, one sum of clipped residuals and one count over
places, at least `LEAST` places to a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
LEAST = 20  # places to a leaf
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
    """Columns of all places as bin numbers: ``codes`` uint8 [places, columns], ``owner`` [columns] of each."""

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


class Histograms(Protocol):
    """Adds one owner's gradients over the bins of all holders' columns."""

    def begin(self, tree: str, gradients: F64) -> None:
        """A tree starts: ``gradients`` [places] of this owner's places, 0 elsewhere."""
        ...

    def add(self, nodes: I64, count: int, columns: I64) -> F64:
        """[count, columns, bins] sums of gradients; ``nodes`` [places] is each place's node, -1 for none."""
        ...


class Open:
    """Histograms in the clear, for one process and for an owner's public columns."""

    def __init__(self, codes: U8) -> None:
        self._codes = codes
        self._gradients: F64 = np.zeros(0)

    def begin(self, tree: str, gradients: F64) -> None:  # noqa: ARG002 (the name is for those who send)
        """See `Histograms`."""
        self._gradients = gradients

    def add(self, nodes: I64, count: int, columns: I64) -> F64:
        """See `Histograms`."""
        return add_up(self._codes, nodes, self._gradients, columns, count)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
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


@dataclass(eq=False)
class Tree:
    """Splits by node in heap order: column (-1 a leaf), the last bin that goes left, the value of a leaf."""

    column: I64
    bin: I64
    value: F64

    def leaves(self, codes: U8) -> I64:
        """[places]: the node where each place ends."""
        at = np.zeros(codes.shape[0], np.int64)
        for _ in range(12):
            column = self.column[at]
            inner = column >= 0
            if not inner.any():
                break
            right = codes[np.arange(at.size), np.maximum(column, 0)] > self.bin[at]
            at = np.where(inner, 2 * at + 1 + right, at)
        return at


@dataclass(eq=False)
class Forest:
    """Trees over a start, in units of the label."""

    start: float
    unit: float
    rate: float
    trees: list[Tree] = field(default_factory=list)

    def predict(self, codes: U8) -> F64:
        """[places]."""
        out = np.zeros(codes.shape[0])
        for tree in self.trees:
            out += tree.value[tree.leaves(codes)]
        return self.start + self.unit * out


def boost(
    federation: Federation, histograms: Histograms, codes: U8, label: F64, rows: NDArray[np.bool_],
    settings: TreeSettings, name: str, seed: int,
) -> Forest:  # fmt: skip
    """Trees for ``label`` [places] (this owner's, anything elsewhere) on the places ``rows`` (bool) of all owners.

    ``rows`` marks own places only; other owners mark theirs. ``codes`` decide directions, which are public.
    """
    mine = np.where(rows, np.nan_to_num(label), 0.0)
    count, total, squares = federation.sum(
        f"{name}.start", np.array([float(rows.sum()), mine.sum(), (mine**2).sum()])
    )
    if count < 2 * LEAST or codes.shape[1] == 0:
        return Forest(total / max(count, 1.0), 1.0, settings.rate)
    start = total / count
    unit = float(np.sqrt(max(squares / count - start**2, 1e-12)))
    forest = Forest(float(start), unit, settings.rate)
    aim = np.where(rows, (np.nan_to_num(label) - start) / unit, 0.0)
    score = np.zeros(aim.size)
    everybody = federation.sum(f"{name}.rows", rows.astype(np.float64)) > 0.5
    chance = np.random.default_rng(seed)  # which rows and columns a tree sees is public
    for number in range(settings.trees):
        sampled = everybody & (chance.random(aim.size) < settings.row_share)
        columns = np.sort(
            chance.permutation(codes.shape[1])[
                : max(1, int(codes.shape[1] * settings.column_share))
            ]
        )
        slope = np.where(rows, np.clip(aim - score, -settings.clip, settings.clip), 0.0)
        histograms.begin(f"{name}.{number}", slope)
        tree = _grow(
            federation,
            histograms,
            codes,
            slope,
            everybody,
            sampled,
            columns,
            settings,
            f"{name}.{number}",
        )
        score += tree.value[tree.leaves(codes)]
        forest.trees.append(tree)
    return forest


def _grow(
    federation: Federation, histograms: Histograms, codes: U8, slope: F64, everybody: NDArray[np.bool_],
    sampled: NDArray[np.bool_], columns: I64, settings: TreeSettings, name: str,
) -> Tree:  # fmt: skip
    size = 2 ** (settings.depth + 1) - 1
    tree = Tree(np.full(size, -1, np.int64), np.zeros(size, np.int64), np.zeros(size))
    at = np.where(sampled, 0, -1)
    open_nodes = np.array([0], np.int64)
    ones = np.ones(codes.shape[0])
    for level in range(settings.depth):
        place = np.full(size, -1, np.int64)
        place[open_nodes] = np.arange(open_nodes.size)
        nodes = np.where(at >= 0, place[np.maximum(at, 0)], -1)
        counts = add_up(
            codes, nodes, ones, columns, open_nodes.size
        )  # which rows are where is public
        sums = federation.sum(f"{name}.{level}", histograms.add(nodes, open_nodes.size, columns))
        chosen = _best(sums, counts, settings.l2)
        following = []
        for number, node in enumerate(open_nodes):
            column, bin_ = chosen[number]
            if column < 0:
                continue
            tree.column[node], tree.bin[node] = columns[column], bin_
            following += [2 * node + 1, 2 * node + 2]
        if not following:
            break
        inner = (at >= 0) & (tree.column[np.maximum(at, 0)] >= 0)
        split = tree.column[np.maximum(at, 0)]
        right = codes[np.arange(at.size), np.maximum(split, 0)] > tree.bin[np.maximum(at, 0)]
        at = np.where(inner, 2 * at + 1 + right, np.where(at >= 0, -1, at))
        open_nodes = np.array(following, np.int64)
    ends = tree.leaves(codes)
    mine = np.stack([
        np.bincount(ends[sampled], slope[sampled], minlength=size),
        np.bincount(ends[sampled], minlength=size).astype(np.float64),
    ])  # fmt: skip
    gradient = federation.sum(f"{name}.leaves", mine[0])
    tree.value[:] = settings.rate * gradient / (mine[1] + settings.l2)
    return tree


def _best(sums: F64, counts: F64, l2: float) -> list[tuple[int, int]]:
    """Per node the (column, bin) that saves most loss, (-1, 0) if none leaves enough places on both sides."""
    left, count = sums.cumsum(axis=2)[..., :-1], counts.cumsum(axis=2)[..., :-1]
    total, whole = sums.sum(axis=2)[..., None], counts.sum(axis=2)[..., None]
    other = whole - count
    fine = (count >= LEAST) & (other >= LEAST)
    gain = left**2 / (count + l2) + (total - left) ** 2 / (other + l2) - total**2 / (whole + l2)
    gain = np.where(fine, gain, -np.inf).reshape(len(sums), -1)
    best = gain.argmax(axis=1) if gain.shape[1] else np.zeros(len(sums), np.int64)
    out = []
    for node, at in enumerate(best):
        good = gain.shape[1] > 0 and gain[node, at] > 1e-9
        out.append((int(at) // left.shape[2], int(at) % left.shape[2]) if good else (-1, 0))
    return out
