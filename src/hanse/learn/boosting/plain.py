"""The plain twin of boosting: the same bins, gains and leaves in the clear, by recursion, everything in one place.

No groups of at least k rows, no noise, no messages: what the joint model must not fall behind. Level-wise, without
row or column sampling and without a holdout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.learn.boosting.bins import Binned, Flags, bin_columns, checked_texts
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.settings import Settings

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class PlainNode:
    """A leaf (``values``), or a split of a column: which codes go left."""

    values: F64
    column: int = -1
    lefts: Flags | None = None
    left: PlainNode | None = None
    right: PlainNode | None = None


@dataclass(frozen=True)
class PlainModel:
    """Trees in the clear."""

    loss: Loss
    start: F64
    trees: list[PlainNode]
    binned: Binned

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> F64:
        """Expected labels [rows], of several classes probabilities."""
        codes = self._codes(columns)
        score = np.repeat(self.start[:, None], codes.shape[1], axis=1)
        for tree in self.trees:
            _walk(tree, codes, np.arange(codes.shape[1]), score)
        return self.loss.mean(score)

    def _codes(self, columns: Mapping[str, NDArray[Any]]) -> U8:
        out = []
        for number, name in enumerate(self.binned.names):
            raw = np.asarray(columns[name])
            if number in self.binned.categories:
                texts = checked_texts(raw, raw.size, name)
                out.append(self.binned.categories[number].codes(texts))
            else:
                values = raw.astype(np.float64)
                found = np.searchsorted(self.binned.edges[number], values, side="left") + 1
                out.append(np.where(np.isnan(values), 0, found).astype(np.uint8))
        return np.array(out)


def plain_boosting(
    columns: Mapping[str, NDArray[Any]], y: F64, settings: Settings, weights: F64 | None = None,
    monotone: Mapping[str, int] | None = None,
) -> PlainModel:  # fmt: skip
    """Histogram gradient boosting of y [rows] over all columns in one place."""
    binned = bin_columns(columns, settings.bins, y.size, "plain")
    weighed = np.ones(y.size) if weights is None else weights
    loss = Loss(settings.loss, settings.classes)
    start = loss.start(y, weighed)
    signs = [(monotone or {}).get(name, 0) for name in binned.names]
    score, trees = np.repeat(start[:, None], y.size, axis=1), []
    for _ in range(settings.trees):
        grower = _Grower(binned, loss.gradients(y, score, weighed), settings, signs)
        tree = grower.grow(np.arange(y.size), settings.depth, (-np.inf, np.inf))
        _walk(tree, binned.codes, np.arange(y.size), score)
        trees.append(tree)
    return PlainModel(loss, start, trees, binned)


def _walk(node: PlainNode, codes: U8, rows: I64, score: F64) -> None:
    if node.left is None or node.right is None or node.lefts is None:
        score[:, rows] += node.values[:, None]
        return
    left = node.lefts[codes[node.column, rows]]
    _walk(node.left, codes, rows[left], score)
    _walk(node.right, codes, rows[~left], score)


@dataclass(frozen=True)
class _Grower:
    binned: Binned
    numbers: F64  # [2 * classes, rows]
    settings: Settings
    signs: list[int]

    def grow(self, rows: I64, depth: int, bounds: Bounds) -> PlainNode:
        total = self.numbers[:, rows].sum(axis=1)
        leaf = PlainNode(self.settings.learning_rate * self._weight(total, bounds))
        if depth == 0 or rows.size < 2 * self.settings.minimum_rows:
            return leaf
        top, chosen = self.settings.minimum_gain, None
        for column in range(len(self.binned.names)):
            for gain, lefts in self._splits(column, rows, total, bounds):
                if gain > top:
                    top, chosen = gain, (column, lefts)
        if chosen is None:
            return leaf
        column, lefts = chosen
        goes = lefts[self.binned.codes[column, rows]]
        one, two = rows[goes], rows[~goes]
        inner = (bounds, bounds)
        sign = self.signs[column]
        if sign:
            weights = [
                self._weight(self.numbers[:, part].sum(axis=1), bounds) for part in (one, two)
            ]
            middle = float(weights[0][0] + weights[1][0]) / 2
            below, above = (bounds[0], middle), (middle, bounds[1])
            inner = (below, above) if sign > 0 else (above, below)
        return PlainNode(leaf.values, column, lefts, self.grow(one, depth - 1, inner[0]),
                         self.grow(two, depth - 1, inner[1]))  # fmt: skip

    def _weight(self, total: F64, bounds: Bounds) -> F64:
        slope, curve = np.split(total, 2)
        return np.asarray(np.clip(-slope / (curve + self.settings.l2), *bounds))

    def _splits(
        self, column: int, rows: I64, total: F64, bounds: Bounds
    ) -> list[tuple[float, Flags]]:
        """(gain, codes that go left) of every split of a column that leaves enough rows on both sides."""
        code, size = self.binned.codes[column, rows], self.binned.positions
        sums = np.array([np.bincount(code, w, size) for w in (None, *self.numbers[:, rows])])
        category = column in self.binned.categories
        orders = self._sorted(sums) if category else [(np.arange(size), 0), (np.arange(size), 1)]
        out = []
        for whole_order, way in orders:
            if way and not sums[0, 0]:
                continue
            order = whole_order[way:]  # without the first: missing values right
            left = sums[:, order].cumsum(axis=1)
            whole = np.concatenate([[rows.size], total])[:, None]
            fine = np.minimum(left[0], whole[0] - left[0]) >= self.settings.minimum_rows
            gain = self._gains(left[1:], total[:, None] - left[1:], total, category, bounds,
                               self.signs[column])  # fmt: skip
            for k in np.flatnonzero(fine):
                lefts = np.zeros(size, np.bool_)
                lefts[order[: k + 1]] = True
                out.append((float(gain[k]), lefts))
        return out

    def _sorted(self, sums: F64) -> list[tuple[I64, int]]:
        """Categories by mean slope, for each class; those without rows are left out."""
        classes = (sums.shape[0] - 1) // 2
        there = np.flatnonzero(sums[0])
        out = []
        for c in range(classes):
            slope = sums[1 + c, there] / (sums[1 + classes + c, there] + self.settings.category_l2)
            out.append((there[np.argsort(slope, kind="stable")], 0))
        return out

    def _gains(
        self, left: F64, right: F64, total: F64, category: bool, bounds: Bounds, sign: int
    ) -> F64:
        l2 = self.settings.l2 + (self.settings.category_l2 if category else 0.0)

        def saved(side: F64, penalty: float) -> tuple[F64, F64]:
            slope, curve = np.split(side, 2)
            score = np.clip(-slope / (curve + penalty + 1e-12), *bounds)
            return score, -(slope * score + (curve + penalty) * score**2 / 2).sum(axis=0)

        low, one = saved(left, l2)
        high, two = saved(right, l2)
        _, before = saved(total[:, None], l2)
        gain = one + two - before
        return np.where(sign * (high - low)[0] >= 0, gain, -np.inf) if sign else gain
