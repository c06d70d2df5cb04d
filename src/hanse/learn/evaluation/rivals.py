"""What a joint model is measured beside: all in one place, each party alone, an ensemble of their own models.

Computed in the clear, so in rehearsals only: a feature holder of a vertical model has no label to learn alone from,
and what it could do if it had is the fair question to ask of a joint model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Learn = Callable[[Matrix, Matrix, Matrix], Matrix]
"""(rows to learn from, their labels, rows to judge) to expected labels [rows] or [rows, classes]."""
Judge = Callable[[Matrix, Matrix], dict[str, float]]
"""(expected labels, labels) to metrics."""


@dataclass(frozen=True)
class Rivals:
    """Metrics on the same rows."""

    centralised: dict[str, float]
    alone: dict[str, dict[str, float]]
    ensemble: dict[str, float]


def of_columns(
    blocks: Mapping[str, Matrix], y: Matrix, learning: NDArray[np.bool_], judging: NDArray[np.bool_],
    learn: Learn, judge: Judge, centralised: dict[str, float] | None = None,
) -> Rivals:  # fmt: skip
    """Rivals of a vertical model: matched rows' columns by party [rows, columns], the label party first.

    ``learning`` and ``judging`` mark rows. The ensemble is the mean of the parties' expected labels; a party
    without columns expects the mean. ``centralised`` spares that fit where it is known.
    """
    means = {party: _own(block, y, learning, judging, learn) for party, block in blocks.items()}
    known = centralised
    if known is None:
        everything = np.concatenate(list(blocks.values()), axis=1)
        known = judge(learn(everything[learning], y[learning], everything[judging]), y[judging])
    return Rivals(
        known,
        {party: judge(mean, y[judging]) for party, mean in means.items()},
        judge(np.mean(list(means.values()), axis=0), y[judging]),
    )


def _own(
    block: Matrix, y: Matrix, learning: NDArray[np.bool_], judging: NDArray[np.bool_], learn: Learn
) -> Matrix:
    if block.shape[1] == 0:
        block = np.zeros((block.shape[0], 1))
    return learn(block[learning], y[learning], block[judging])


def of_rows(
    parts: Mapping[str, tuple[Matrix, Matrix]], tests: Sequence[tuple[Matrix, Matrix]], learn: Learn, judge: Judge,
) -> Rivals:  # fmt: skip
    """Rivals of a horizontal model: (columns, labels) to learn from by party, and to judge by, of all parties."""
    x = np.concatenate([x for x, _ in tests])
    y = np.concatenate([y for _, y in tests])
    means = {party: learn(own, labels, x) for party, (own, labels) in parts.items()}
    pooled = learn(
        np.concatenate([own for own, _ in parts.values()]),
        np.concatenate([labels for _, labels in parts.values()]), x,
    )  # fmt: skip
    return Rivals(
        judge(pooled, y), {party: judge(mean, y) for party, mean in means.items()},
        judge(np.mean(list(means.values()), axis=0), y),
    )  # fmt: skip
