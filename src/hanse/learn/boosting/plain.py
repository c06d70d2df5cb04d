"""The plain twin of boosting: the same bins, gains and leaves in the clear, by recursion, everything in one place.

No groups of at least k rows, no noise, no messages: what the joint model must not fall behind. Without row
or column sampling and without a holdout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.learn.boosting.bins import Binned, bin_columns, goes_left
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.model import Settings

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class PlainNode:
    """A leaf (``value``), or a split of a column."""

    value: float
    column: str = ""
    threshold: float = 0.0
    missing_left: bool = False
    left: PlainNode | None = None
    right: PlainNode | None = None


@dataclass(frozen=True)
class PlainModel:
    """Trees in the clear."""

    loss: Loss
    start: float
    trees: list[PlainNode]

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> F64:
        """Expected labels."""
        rows = len(next(iter(columns.values())))
        score = np.full(rows, self.start)
        for tree in self.trees:
            _walk(tree, columns, np.arange(rows), score)
        return self.loss.mean(score)


def plain_boosting(columns: Mapping[str, NDArray[Any]], y: F64, settings: Settings) -> PlainModel:
    """Histogram gradient boosting of y [rows] over all columns in one place."""
    binned = bin_columns(columns, settings.bins, y.size, "plain")
    loss = Loss(settings.loss)
    start = loss.start(y)
    score, trees = np.full(y.size, start), []
    for _ in range(settings.trees):
        numbers = loss.gradients(y, score)
        tree = _grow(binned, numbers, np.arange(y.size), settings.depth, settings)
        _walk(tree, columns, np.arange(y.size), score)
        trees.append(tree)
    return PlainModel(loss, start, trees)


def _walk(node: PlainNode, columns: Mapping[str, NDArray[Any]], rows: I64, score: F64) -> None:
    if node.left is None or node.right is None:
        score[rows] += node.value
        return
    values = np.asarray(columns[node.column], np.float64)[rows]
    left = goes_left(values, node.threshold, node.missing_left)
    _walk(node.left, columns, rows[left], score)
    _walk(node.right, columns, rows[~left], score)


def _grow(binned: Binned, numbers: F64, rows: I64, depth: int, settings: Settings) -> PlainNode:
    slope, curve = numbers[:, rows].sum(axis=1)
    l2 = settings.l2
    leaf = PlainNode(float(-settings.learning_rate * slope / (curve + l2)))
    if depth == 0 or rows.size < 2 * settings.minimum_rows:
        return leaf
    top, chosen = settings.minimum_gain, (-1, -1, False)
    for column in range(len(binned.names)):
        code = binned.codes[column, rows]
        counts, g, h = (
            np.bincount(code, weights=w, minlength=binned.positions).cumsum()
            for w in (None, *numbers[:, rows])
        )
        for missing_left in (True, False):
            if not missing_left and counts[0] == 0:
                continue
            left = np.stack([counts, g, h])
            if not missing_left:
                left = left - left[:, :1]
            right = np.array([[rows.size], [slope], [curve]]) - left
            fine = np.minimum(left[0], right[0]) >= settings.minimum_rows
            gain = np.full(counts.size, -np.inf)
            gain[fine] = (
                left[1, fine] ** 2 / (left[2, fine] + l2)
                + right[1, fine] ** 2 / (right[2, fine] + l2)
                - slope**2 / (curve + l2)
            ) / 2
            at = int(gain.argmax())
            if gain[at] > top:
                top, chosen = float(gain[at]), (column, at, missing_left)
    column, position, missing_left = chosen
    if column < 0:
        return leaf
    code = binned.codes[column, rows]
    goes = np.where(code == 0, missing_left, code <= position)
    threshold = (
        binned.threshold(column, position) if position <= binned.edges[column].size else np.inf
    )
    return PlainNode(
        0.0,
        binned.names[column],
        threshold,
        missing_left,
        _grow(binned, numbers, rows[goes], depth - 1, settings),
        _grow(binned, numbers, rows[~goes], depth - 1, settings),
    )
